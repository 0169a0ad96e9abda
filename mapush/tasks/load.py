"""Reads a task folder.

A `config.py` is Python that says one thing, `task = PushTask(...)`. It is read as data and never
run: constructors of the registered kinds of task, numbers, strings, tuples, arithmetic and earlier
names are all it can hold. So a results directory from anybody can be evaluated, and an error names
its line.
"""

from __future__ import annotations

import ast
import math
import operator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional

from pydantic import ValidationError

from mapush.errors import TaskError, there_are
from mapush.tasks import registry

if TYPE_CHECKING:
    from mapush.tasks.base import TaskSpec

CONFIG = "config.py"
_BINARY = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_UNARY = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_MAX_BYTES = 1_000_000


def task_root() -> Path:
    """Where experiments lie: `task/` of the working directory, else the one beside the package."""
    here = Path("task")
    return here if here.is_dir() else Path(__file__).resolve().parents[2] / "task"


def known_experiments(root: Optional[Path] = None) -> List[str]:
    """Names of the folders under `task/` that hold a `config.py`."""
    return sorted(path.parent.name for path in (root or task_root()).glob(f"*/{CONFIG}"))


def task_folder(experiment: str, root: Optional[Path] = None) -> Path:
    """The folder of one experiment.

    Raises:
        TaskError: there is none of that name; the message lists those there are.
    """
    root = root or task_root()
    known = known_experiments(root)
    if experiment not in known:
        listed = there_are(experiment, known)
        raise TaskError(f"--exp {experiment!r}: no such folder under {root}/; {listed}")
    return root / experiment


def load_task(folder: Path) -> TaskSpec:
    """Read `config.py` of a task folder.

    Raises:
        TaskError: naming the file, the line or field, the value and what is allowed.
    """
    path = folder / CONFIG
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise TaskError(f"{path}: larger than {_MAX_BYTES} bytes, which no task file is")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(
            f"{path}: cannot be read ({error}); name a folder with a {CONFIG}"
        ) from None
    return parse_task(text, str(path))


def parse_task(text: str, path: str) -> TaskSpec:
    """Read the text of a `config.py`; `path` names it in messages."""
    try:
        tree = ast.parse(text, filename=path)
        return _Reader(path).read(tree)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise TaskError(f"{path}:{line}: not Python ({getattr(error, 'msg', error)})") from None
    except (RecursionError, MemoryError):
        raise TaskError(f"{path}: nested too deeply for a task file") from None


class _Reader:
    def __init__(self, path: str) -> None:
        self.path = path
        self.names: Dict[str, Any] = {}
        self.constructors = registry.constructors()

    def read(self, tree: ast.Module) -> TaskSpec:
        for statement in tree.body:
            if isinstance(statement, (ast.Import, ast.ImportFrom)) or (
                isinstance(statement, ast.Expr)
                and isinstance(statement.value, ast.Constant)
                and isinstance(statement.value.value, str)
            ):
                continue  # imports please editors; a docstring says what the task is
            if isinstance(statement, ast.Assign) and all(
                isinstance(target, ast.Name) for target in statement.targets
            ):
                value = self.value(statement.value)
                for target in statement.targets:
                    if isinstance(target, ast.Name):
                        self.names[target.id] = value
                continue
            raise self.error(statement, "only imports and assignments can stand here")
        task = self.names.get("task")
        classes = registry.task_classes()
        if not isinstance(task, classes):
            wanted = " or ".join(f"`task = {kind.__name__}(...)`" for kind in classes)
            raise TaskError(f"{self.path}: holds no {wanted}")
        return task  # pyright: ignore[reportReturnType] - what is registered is one

    def value(self, node: ast.expr) -> Any:  # noqa: ANN401
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str)):
            return node.value
        if isinstance(node, (ast.Tuple, ast.List)):
            return tuple(self.value(item) for item in node.elts)
        if isinstance(node, ast.Name) and node.id in self.names:
            return self.names[node.id]
        if isinstance(node, ast.Attribute) and ast.dump(node) == ast.dump(_MATH_PI):
            return math.pi
        if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
            return _UNARY[type(node.op)](self.number(node.operand))
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            left, right = self.number(node.left), self.number(node.right)
            try:
                return _BINARY[type(node.op)](left, right)
            except (ArithmeticError, OverflowError) as error:
                raise self.error(node, str(error)) from None
        if isinstance(node, ast.Call):
            return self.construct(node)
        raise self.error(
            node,
            "only numbers, strings, tuples, + - * /, math.pi and "
            + ", ".join(self.constructors)
            + " can stand here",
        )

    def number(self, node: ast.expr) -> float:
        value = self.value(node)
        if isinstance(value, (int, float)) and abs(value) < 1e100:
            return value
        raise self.error(node, f"{value!r} is not a number to calculate with")

    def construct(self, node: ast.Call) -> Any:  # noqa: ANN401
        kind = self.constructors.get(node.func.id) if isinstance(node.func, ast.Name) else None
        if kind is None:
            raise self.error(node, "only " + ", ".join(self.constructors) + " can be called")
        if node.args or any(keyword.arg is None for keyword in node.keywords):
            raise self.error(node, f"{kind.__name__} takes its fields by name: field=value")
        fields = {str(keyword.arg): self.value(keyword.value) for keyword in node.keywords}
        try:
            return kind(**fields)
        except ValidationError as error:
            raise self.invalid(node, kind.__name__, fields, error) from None

    def invalid(
        self, node: ast.Call, kind: str, fields: Dict[str, Any], error: ValidationError
    ) -> TaskError:
        # A misspelt field is also a missing one; what stands in the file helps more.
        found = error.errors()
        first = next((each for each in found if each["type"] == "extra_forbidden"), found[0])
        where = first["loc"]
        if not where:  # a rule about several fields, which says what it is about
            return self.error(node, f"{kind}: {first['msg'].replace('Value error, ', '')}")
        name = ".".join(
            str(part) for part in where if not isinstance(part, str) or part.isidentifier()
        )
        if first["type"] == "extra_forbidden":
            allowed = ", ".join(self.constructors[kind].model_fields)
            return self.error(node, f"{kind} has no field {name!r}; it has: {allowed}")
        if first["type"] == "missing":
            return self.error(node, f"{kind} needs a value for {name!r}")
        return self.error(node, f"{kind}.{name} = {first['input']!r}: {first['msg'].lower()}")

    def error(self, node: ast.AST, why: str) -> TaskError:
        return TaskError(f"{self.path}:{getattr(node, 'lineno', 1)}: {why}")


_MATH_PI = ast.parse("math.pi", mode="eval").body
