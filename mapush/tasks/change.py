"""A task with some of its values changed: what `--set reward.push=0.003` does.

A path names a value by the fields that lead to it, such as `rewards.push`; a part may leave out
the plural's s, and a number picks one of several, as in `object.shapes.0.mass`. The changed task
passes every check that its file has passed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, Mapping, Tuple

from pydantic import BaseModel, ValidationError

from mapush import schema
from mapush.errors import TaskError, nearest
from mapush.tasks.load import load_task

if TYPE_CHECKING:
    from mapush.tasks.base import TaskSpec

SET = "set"
"""What the files of a run call the changed values, by path."""


def load_changed_task(folder: Path, config: Mapping[str, Any]) -> TaskSpec:
    """The task of a run or a checkpoint: that of a folder with what was changed by `--set`.

    Args:
        folder: holds the `config.py`.
        config: settings of a run.yaml, or config of a `module.pt`.

    Raises:
        TaskError: the file is wrong, or a value does not fit it.
    """
    task, values = load_task(folder), config.get(SET) or {}
    if not isinstance(values, Mapping):
        raise TaskError(f"{folder}: was changed by {str(values)[:80]!r}, which is no named values")
    return change_task(task, {str(path): values[path] for path in values})


def read_changes(
    task: TaskSpec, texts: Mapping[str, str], beside: Iterable[str] = ()
) -> Dict[str, Any]:
    """The values that texts mean, by their full path, as plain values for a file.

    Args:
        task: what they are to change.
        texts: by path.
        beside: paths that lead elsewhere, to be suggested too.

    Raises:
        TaskError: a path leads nowhere, or a text is no value of its field.
    """
    found: Dict[str, Any] = {}
    for path, text in texts.items():
        full, kind = _find(task, path, tuple(beside))
        try:
            value = schema.read(kind, text)
        except ValueError as error:
            raise TaskError(f"--set {as_word(path, text)}: {error}") from None
        found.pop(full, None)
        found[full] = _plain(value)
    return {path: found[path] for path in sorted(found)}


def value_of(task: TaskSpec, path: str) -> Any:  # noqa: ANN401
    """What a task has at the full path of a value, as a plain value for a file."""
    node: Any = task
    for part in path.split("."):
        node = node[int(part)] if isinstance(node, tuple) else getattr(node, part)
    return _plain(node)


def change_task(task: TaskSpec, values: Mapping[str, Any]) -> TaskSpec:
    """A task with other values.

    Args:
        task: what is changed.
        values: by path; lists stand for tuples.

    Raises:
        TaskError: a path leads nowhere, or a value is not allowed, alone or beside the others.
    """
    tree: Dict[str, Any] = {}
    for path, value in values.items():
        full, _ = _find(task, path, ())
        *parents, last = full.split(".")
        branch = tree
        for part in parents:
            branch = branch.setdefault(part, {})
        branch[last] = _Leaf(f"--set {as_word(path, value)}", _tuple(value))
    return _rebuilt(task, tree) if tree else task


class _Leaf:
    def __init__(self, label: str, value: Any) -> None:  # noqa: ANN401
        self.label = label
        self.value = value


def _rebuilt(node: Any, tree: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """A model, or several, with its branches replaced: from the leaves up, each checked anew."""
    if isinstance(node, tuple):
        items = list(node)
        for part, branch in tree.items():
            items[int(part)] = _rebuilt(items[int(part)], branch)
        return tuple(items)
    fields = {name: getattr(node, name) for name in type(node).model_fields}
    for name, branch in tree.items():
        is_leaf = isinstance(branch, _Leaf)
        fields[name] = branch.value if is_leaf else _rebuilt(fields[name], branch)
    try:
        return type(node)(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        labels = list(_labels(tree.get(name, tree)))
        raise TaskError(f"{' '.join(labels)}: {schema.reason(type(node), first)}") from None


def _labels(branch: Any) -> Iterator[str]:  # noqa: ANN401
    if isinstance(branch, _Leaf):
        yield branch.label
    else:
        for each in branch.values():
            yield from _labels(each)


def _find(task: TaskSpec, path: str, beside: Tuple[str, ...]) -> Tuple[str, Any]:
    """The full path of a value and its type."""
    node: Any = task
    kind: Any = None
    found: List[str] = []
    for part in path.split("."):
        names = _parts(node)
        name = next((each for each in (part, f"{part}s") if each in names), None)
        if name is None:
            raise _unknown(task, path, ".".join(found), names, beside)
        found.append(name)
        kind = None if isinstance(node, tuple) else type(node).model_fields[name].annotation
        node = node[int(name)] if isinstance(node, tuple) else getattr(node, name)
    full = ".".join(found)
    if isinstance(node, BaseModel):
        raise TaskError(
            f"--set {path}: is a section; name one of its values: "
            f"{', '.join(f'{full}.{each}' for each in _parts(node))}"
        )
    if _parts(node):
        raise TaskError(
            f"--set {path}: there are {len(node)} of these; name a value of one, such as "
            f"{full}.0.{_parts(node[0])[0]}"
        )
    return full, kind


def _unknown(
    task: TaskSpec, path: str, where: str, names: Tuple[str, ...], beside: Tuple[str, ...]
) -> TaskError:
    """For a path that leads nowhere: the one that is likely meant, and what there is."""
    if where and not names:
        return TaskError(f"--set {schema.shown(path)}: {where} is one value and has no parts")
    paths = [*_leaves(task), *beside]
    last = path.rpartition(".")[2]
    same = [each for each in paths if each.rpartition(".")[2] == last]
    close = next(iter(same), None) or nearest(path, paths)
    if where and not same:
        inside = nearest(path[len(where) + 1 :], names)
        close = f"{where}.{inside}" if inside else close
    sections = (*names, *dict.fromkeys(each.partition(".")[0] for each in beside))
    listed = ", ".join(names if where else sections)
    guess = f"did you mean {close}? " if close else ""
    has = f"{where} has" if where else "there are"
    return TaskError(f"--set {schema.shown(path)}: {guess}{has}: {listed}")


def _parts(node: Any) -> Tuple[str, ...]:  # noqa: ANN401
    """What a path may lead on to; nothing from a value."""
    if isinstance(node, BaseModel):
        return tuple(type(node).model_fields)
    if isinstance(node, tuple) and any(isinstance(each, BaseModel) for each in node):
        return tuple(str(index) for index in range(len(node)))
    return ()


def _leaves(node: Any, before: str = "") -> Iterator[str]:  # noqa: ANN401
    parts = _parts(node)
    if not parts:
        yield before
    for part in parts:
        below = node[int(part)] if isinstance(node, tuple) else getattr(node, part)
        yield from _leaves(below, f"{before}.{part}" if before else part)


def _plain(value: Any) -> Any:  # noqa: ANN401
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _tuple(value: Any) -> Any:  # noqa: ANN401
    return tuple(_tuple(each) for each in value) if isinstance(value, (list, tuple)) else value


def as_word(path: str, value: Any) -> str:  # noqa: ANN401
    """A changed value as a user writes it after `--set`, and as messages show it."""
    return schema.shown(f"{path}={written(value)}")


def written(value: Any) -> str:  # noqa: ANN401
    """A value as a user writes it."""
    if not isinstance(value, (list, tuple)):
        return str(value)
    return ",".join(f"({written(e)})" if isinstance(e, (list, tuple)) else str(e) for e in value)
