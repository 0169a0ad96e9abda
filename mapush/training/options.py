"""The options of `mapush.train`, made from the tree; no torch, since a launcher checks them too."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Type

from mapush import schema
from mapush.arguments import NUMBERS, Parser, add_root, add_section, given
from mapush.errors import RequestError, there_are
from mapush.learners.config import PPOConfig
from mapush.schema import Section
from mapush.training.config import SECTIONS

_SET = "--set"
_TASK = "task."  # may stand before a path of the task
_ALL: Dict[str, Type[Section]] = {**SECTIONS, "ppo": PPOConfig}

PATHS: Tuple[str, ...] = tuple(
    f"{section}.{name}" for section, kind in _ALL.items() for name in kind.model_fields
)
"""Of the values that have an option of their own."""


@dataclass(frozen=True)
class Asked:
    """What a command line asks for.

    Attributes:
        options: values that were given, by their names in files.
        changes: hyper-parameters that were given, by theirs.
        sets: texts of the task's values that were given, by path.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)
    sets: Mapping[str, str] = field(default_factory=dict)


def build_parser() -> Parser:
    """The command's options."""
    parser = Parser(
        prog="mapush.train",
        usage="python -m mapush.train --exp NAME [option ...]",
        description="Train a policy in the foreground. Exit code 0: complete; 75: stopped by a "
        "signal with a durable checkpoint, run it again; 2: the request is wrong.",
        epilog=NUMBERS,
    )
    for name, kind in SECTIONS.items():
        add_section(parser.add_argument_group(f"{name}", _about.get(name)), kind)
        if name == "run":
            _add_start(parser.add_argument_group("where it starts, and what is shown"))
        if name == "learner":
            add_section(parser.add_argument_group("ppo", _about["ppo"]), PPOConfig)
    task = parser.add_argument_group("task", _about["task"])
    task.add_argument(
        _SET,
        nargs="+",
        action="extend",
        default=[],
        metavar="PATH=VALUE",
        help="any value of the task, such as reward.push=0.003, object.friction=0.3,0.4 or "
        "goal.radius=0.8; one of a group above by the group's name, such as ppo.learning_rate=3e-4",
    )
    return parser


_about = {
    "ppo": "Hyper-parameters. The defaults are those of --recipe default.",
    "task": "What config.py of the folder under task/ says. See docs/tasks.md.",
}


def _add_start(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--checkpoint",
        type=Path,
        metavar="PATH",
        help="module.pt that a new run starts from; steps count on from its own",
    )
    group.add_argument(
        "--run",
        metavar="NAME",
        help="resume this run from its newest valid checkpoint; its job's id names it too; a "
        "complete one is trained no further, but a new run may start with --checkpoint from it",
    )
    add_root(group)
    group.add_argument(
        "--use_tensorboard",
        type=bool,
        nargs="?",
        const=True,
        default=True,
        metavar="BOOL",
        help="write TensorBoard scalars (default: true)",
    )
    group.add_argument(
        "--headless", action="store_true", help="accepted; training never opens a window"
    )


def read_options(arguments: argparse.Namespace) -> Asked:
    """What the options of `build_parser` ask for.

    Raises:
        RequestError: a `--set` is none, is wrong, or says what an option says too.
    """
    options, changes = given(arguments, *SECTIONS.values()), given(arguments, PPOConfig)
    by_option = {**options, **changes}
    sets: Dict[str, str] = {}
    for word in arguments.set:
        path, text = _parted(word)
        found = _find(path)
        if found is None:
            path = path[len(_TASK) :] if path.startswith(_TASK) else path
            sets.pop(path, None)  # the last one counts, and stands last
            sets[path] = text
            continue
        kind, name = found
        key = schema.stored(name, kind.model_fields[name])
        if key in by_option:
            raise RequestError(f"--{name} and {_SET} {path}: are the same value; give one of them")
        where = changes if kind is PPOConfig else options
        where[key] = _value(kind, name, path, text)
    return Asked(options, changes, sets)


def with_options(words: Sequence[str]) -> Tuple[str, ...]:
    """A command line in which an option stands for each `--set` of a value that has one.

    So that, as for any option, the last one counts wherever lines are put one after another.
    """
    found: List[str] = []
    for name, value in _words(words):
        known = _find(value.partition("=")[0]) if name == _SET else None
        if known is not None:
            found += [f"--{known[1]}={value.partition('=')[2]}"]
        elif name == _SET:
            found += [_SET, value]
        else:
            found.append(value)
    return tuple(found)


def _words(words: Sequence[str]) -> Iterator[Tuple[str, str]]:
    """Each word, and those after `--set` one by one with that name before them."""
    is_set = False
    for word in words:
        if word == _SET or word.startswith(f"{_SET}="):
            is_set = word == _SET
            if not is_set:
                yield _SET, word.partition("=")[2]
            continue
        is_set = is_set and not word.startswith("-")
        yield (_SET if is_set else "", word)


def _parted(word: str) -> Tuple[str, str]:
    path, mark, text = word.partition("=")
    if not path or not mark:
        raise RequestError(
            f"{_SET} {schema.shown(word)}: write PATH=VALUE, such as {_SET} reward.push=0.003"
        )
    return path.strip(), text.strip()


def _find(path: str) -> Optional[Tuple[Type[Section], str]]:
    """The section and the field of a value that has an option; None for one of the task."""
    section, _, name = path.strip().partition(".")
    kind = _ALL.get(section)
    if kind is None:
        return None
    for each, info in kind.model_fields.items():
        if name in schema.spellings(each, info):
            return kind, each
    raise RequestError(
        f"{_SET} {schema.shown(path)}: {section} has no {name or 'value of that name'}; "
        + there_are(name, kind.model_fields)
    )


def _value(kind: Type[Section], name: str, path: str, text: str) -> Any:  # noqa: ANN401
    label = f"{_SET} {schema.shown(f'{path}={text}')}"
    try:
        value = schema.read(kind.model_fields[name].annotation, text)
    except ValueError as error:
        raise RequestError(f"{label}: {error}") from None
    wrong = schema.complaint(kind, name, value)
    if wrong:
        raise RequestError(f"{label}: {wrong}")
    return value
