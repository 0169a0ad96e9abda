"""A task's functions, as recorded, written down for Warp."""

from __future__ import annotations

import linecache
import math
from dataclasses import dataclass
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
import torch
import warp as wp

from mapush.environment.fused.numbers import ROWS, Entry, Number
from mapush.environment.fused.trace import Recorder
from mapush.simulators.base import Start, State
from mapush.tasks.base import TaskSpec
from mapush.tasks.registry import make_logic

_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "and": "and", "or": "or"}
_INFIX.update({"lt": "<", "gt": ">", "le": "<=", "ge": ">=", "eq": "==", "ne": "!="})
_CALLS = {"cos", "sin", "sqrt", "exp", "abs", "atan2", "tanh", "min", "max", "where"}


@dataclass(frozen=True)
class Function:
    """One of the task's functions.

    Attributes:
        name: in the source.
        inputs: names of its parameters, local arrays of floats, before `result`.
        outputs: what it writes to `result`.
    """

    name: str
    inputs: Tuple[str, ...]
    outputs: Tuple[Entry, ...]

    def source(self) -> str:
        """Its text."""
        parameters = ", ".join(f"{name}: wp.array(dtype=float)" for name in self.inputs)
        lines = [f"def {self.name}({parameters}, result: wp.array(dtype=float)):"]
        names: Dict[int, str] = {}
        for index, output in enumerate(self.outputs):
            text = _write(output, names, lines)
            if isinstance(output, bool) or (isinstance(output, Number) and output.is_bool):
                text = f"wp.where({text}, 1.0, 0.0)"
            lines.append(f"    result[{index}] = {text}")
        return "\n".join(lines) + "\n"

    def build(self) -> Any:  # noqa: ANN401 - a Warp function
        """The Warp function."""
        source = self.source()
        # Warp reads a function's text from its file; the name tells two texts apart.
        file = f"<mapush {self.name} {hash(source):x}>"
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        scope: Dict[str, Any] = {"wp": wp}
        exec(compile(source, file, "exec"), scope)
        return wp.func(scope[self.name], name=self.name)


def _write(entry: Entry, names: Dict[int, str], lines: List[str]) -> str:
    """An expression for an entry, after lines that compute it; each number is computed once."""
    if isinstance(entry, bool):
        return repr(entry)
    if not isinstance(entry, Number):
        if math.isinf(entry):
            return "wp.inf" if entry > 0 else "-wp.inf"
        return repr(float(np.float32(entry)))
    if id(entry) in names:
        return names[id(entry)]
    if entry.operation == "leaf":
        name, index = entry.arguments
        text = f"{name}[{index}]"
    else:
        text = _expression(
            entry.operation, [_write(each, names, lines) for each in entry.arguments]
        )
    names[id(entry)] = f"v{len(names)}"
    lines.append(f"    {names[id(entry)]} = {text}")
    return names[id(entry)]


def _expression(operation: str, values: Sequence[str]) -> str:
    if operation in _INFIX:
        return f"{values[0]} {_INFIX[operation]} {values[1]}"
    if operation in _CALLS:
        return f"wp.{operation}({', '.join(values)})"
    if operation == "neg":
        return f"-{values[0]}"
    if operation == "not":
        return f"not {values[0]}"
    if operation == "nonzero":
        return f"{values[0]} != 0.0"
    if operation == "float":
        return f"wp.where({values[0]}, 1.0, 0.0)"
    if operation == "remainder":  # of the sign of the divisor, as torch's
        return f"{values[0]} - {values[1]} * wp.floor({values[0]} / {values[1]})"
    if operation == "argmin":
        best, at = values[0], "0"
        for index, value in enumerate(values[1:], 1):
            at = f"wp.where({value} < {best}, {index}, {at})"
            best = f"wp.min({best}, {value})"
        return at
    if operation == "lookup":
        text = values[-1]
        for index in reversed(range(len(values) - 2)):
            text = f"wp.where({values[0]} == {index}, {values[1 + index]}, {text})"
        return text
    raise KeyError(operation)


@dataclass(frozen=True)
class TaskProgram:
    """Everything a task's logic does, for one environment.

    Arrays are flat; see `mapush.environment.fused.kernel` for how they follow one another.

    Attributes:
        draw: of `random`, numbers in [0, 1): robots (n, 3), their velocity (n, 2) and, where there
            is an object, its pose (3) and its friction (1), then the target (2) if one is drawn.
        begin: of `start` and `state`: the memory.
        observe: of `state` and `memory`: (agents, size).
        command: of `action`: (robots, 3).
        judge: of the states `before` and `after` a control step and `memory`: success, failure,
            the terms (terms, agents), the metrics.
        random_count: numbers that a start takes.
        memory_shapes: of what the logic remembers, by its names, in order.
        terms: of the reward.
        metrics: of the evaluation.
    """

    draw: Function
    begin: Function
    observe: Function
    command: Function
    judge: Function
    random_count: int
    memory_shapes: Dict[str, Tuple[int, ...]]
    terms: Tuple[str, ...]
    metrics: Tuple[str, ...]

    @property
    def functions(self) -> Tuple[Function, ...]:
        """All of them."""
        return (self.draw, self.begin, self.observe, self.command, self.judge)


class _Leaves:
    """The random numbers of a start, as leaves."""

    def __init__(self, recorder: Recorder) -> None:
        self.device = torch.device("cpu")
        self.count = 0
        self._recorder = recorder

    def rand(self, *shape: int) -> torch.Tensor:
        size = math.prod(shape[1:])
        flat = self._recorder.leaf("random", size, first=self.count)
        self.count += size
        return flat.reshape(ROWS, *shape[1:])


_PARTS = ("robots", "robot_velocity", "object", "friction", "target")


@torch.no_grad()
def record(task: TaskSpec) -> TaskProgram:
    """Record a task's logic.

    Raises:
        TaskError: it does what a kernel cannot.
    """
    logic = make_logic(task, ROWS, torch.device("cpu"))
    scene = task.scene
    with Recorder(f"task {task.name}") as recorder:
        random = _Leaves(recorder)
        start = logic.draw(ROWS, random)
        parts = {name: getattr(start, name) for name in _PARTS if len(getattr(start, name))}
        missing = [] if scene.object is None else [n for n in _PARTS[2:4] if n not in parts]
        if missing:
            raise recorder.error(f"a start of a scene with an object leaves out {missing[0]}")
        sizes = {name: math.prod(part.shape[1:]) for name, part in parts.items()}

        def flat(tensors: Sequence[torch.Tensor]) -> Tuple[Entry, ...]:
            return tuple(entry for each in tensors for entry in recorder.entries(each).flatten())

        draw = Function("draw", ("random",), flat(list(parts.values())))

        def state(name: str) -> State:
            numbers = recorder.leaf(name, state_size(scene.robots, scene.object is not None))
            robots = numbers[:, : 3 * scene.robots].reshape(ROWS, scene.robots, 3)
            if scene.object is None:
                return State(robots)
            rest = numbers[:, 3 * scene.robots :]
            return State(robots, rest[:, :3], rest[:, 3:5], rest[:, 5])

        drawn = recorder.leaf("start", sum(sizes.values()))
        begun = {
            name: piece.reshape(ROWS, *parts[name].shape[1:])
            for name, piece in zip(sizes, drawn.split(list(sizes.values()), dim=1))
        }
        logic.begin(torch.ones(ROWS, dtype=torch.bool), Start(**begun), state("state"))
        begin = Function("begin", ("start", "state"), flat(list(logic.memory.values())))
        shapes = {name: tuple(value.shape[1:]) for name, value in logic.memory.items()}
        memory = recorder.leaf("memory", sum(math.prod(shape) for shape in shapes.values()))
        pieces = memory.split([math.prod(shape) for shape in shapes.values()], dim=1)
        for (name, shape), piece in zip(shapes.items(), pieces):
            logic.memory[name] = piece.reshape(ROWS, *shape)
        observe = Function("observe", ("state", "memory"), flat([logic.observe(state("state"))]))
        action = recorder.leaf("action", task.agents, task.action_size)
        command = Function("command", ("action",), flat([logic.command(action)]))
        logic.before_step(state("before"))
        judged = logic.judge(state("after"))
        terms = [each.expand(ROWS, task.agents) for each in judged.rewards]
        results = [judged.success, judged.failure, *terms, *logic.measure()]
        judge = Function("judge", ("before", "after", "memory"), flat(results))
    return TaskProgram(
        draw=draw,
        begin=begin,
        observe=observe,
        command=command,
        judge=judge,
        random_count=random.count,
        memory_shapes=shapes,
        terms=tuple(logic.reward_names),
        metrics=tuple(metric.name for metric in logic.metrics),
    )


def state_size(robots: int, has_object: bool) -> int:
    """Numbers of a state: robots' x, y, yaw; the object's, its velocity and its height."""
    return 3 * robots + 6 * int(has_object)
