"""What a task is: a specification that a folder holds, and the logic that judges states by it.

A task consists of a frozen specification (`TaskSpec`, pydantic, no torch) and a `TaskLogic`, which
is built from it for a batch of environments on one device. The environment does the rest. Reward
terms, terminations, metrics and parts of an observation are rows of tables, each a named function
of what the logic hands to it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Callable, ClassVar, Dict, Optional, Protocol, Tuple

import torch

from mapush.simulators.base import Start, State
from mapush.simulators.scene import Scene


class TaskSpec(Protocol):
    """What everybody but its own logic needs to know of a task."""

    @property
    def name(self) -> str:
        """For people and file names."""
        ...

    @property
    def scene(self) -> Scene:
        """What a simulator is to simulate."""
        ...

    @property
    def agents(self) -> int:
        """How many act; alike, one policy serves them all."""
        ...

    @property
    def observation_size(self) -> int:
        """Length of one agent's observation."""
        ...

    @property
    def angles(self) -> Tuple[int, ...]:
        """Where angles in radians stand in an observation."""
        ...

    @property
    def action_size(self) -> int:
        """Length of one agent's action."""
        ...

    @property
    def control_steps(self) -> int:
        """Length of an episode that nothing ends before."""
        ...

    @property
    def decimation(self) -> Optional[int]:
        """Control steps per decision; None where the task leaves that open."""
        ...


@dataclass(frozen=True)
class RewardTerm:
    """A row of a reward table.

    Attributes:
        name: in the log.
        weight: field of the task's weights.
        function: of what the logic hands over and the weight, to (envs, agents) or, if shared,
            (envs, 1). It takes the weight, for where in its arithmetic that stands is its own.
    """

    name: str
    weight: str
    function: Callable[[Any, float], torch.Tensor]


@dataclass(frozen=True)
class TerminationTerm:
    """A row of a termination table.

    Attributes:
        name: for people.
        function: of what the logic hands over, to (envs,) bool.
        success: whether what it finds is the aim; else it is a failure.
    """

    name: str
    function: Callable[[Any], torch.Tensor]
    success: bool = False


@dataclass(frozen=True)
class ObservationTerm:
    """A row of an observation table: a name and a function to (envs, agents, numbers)."""

    name: str
    function: Callable[[Any], torch.Tensor]


@dataclass(frozen=True)
class Metric:
    """A row of a table of metrics: the share of an episode's control steps at which a thing holds.

    It is averaged over the episodes that succeeded, each up to its end.

    Attributes:
        name: as in success_rate.txt: small letters and blanks.
        function: of what the logic hands over, to (envs,) bool.
    """

    name: str
    function: Callable[[Any], torch.Tensor]


@dataclass(frozen=True)
class Judgement:
    """What a control step led to.

    Attributes:
        success: (envs,) bool, the episode has reached its aim.
        failure: (envs,) bool, it is over otherwise; never where it succeeded.
        rewards: of every term, (envs, agents) or (envs, 1), in the order of `reward_names`.
    """

    success: torch.Tensor
    failure: torch.Tensor
    rewards: Tuple[torch.Tensor, ...]


class Random(Protocol):
    """Where the starts of episodes take their random numbers from.

    Attributes:
        device: on which they are.
    """

    device: torch.device

    def rand(self, *shape: int) -> torch.Tensor:
        """Uniform numbers in [0, 1), float32; the first dimension is that of the environments."""
        ...


class FromGenerator:
    """Random numbers in the order in which a generator gives them."""

    def __init__(self, generator: torch.Generator) -> None:
        self.device = generator.device
        self._generator = generator

    def rand(self, *shape: int) -> torch.Tensor:
        """Uniform numbers in [0, 1)."""
        return torch.rand(*shape, generator=self._generator, device=self.device)


class TaskLogic(ABC):
    """Observation, action, reward, end and start of a task, on a batch of environments.

    Attributes:
        reward_names: of the reward terms in the log, in the order in which they are summed.
        metrics: of control steps, for the evaluation.
        memory: tensors (envs, ...) of the episodes in flight that the state does not tell, by the
            name under which a checkpoint has them.
    """

    reward_names: ClassVar[Tuple[str, ...]] = ()
    metrics: ClassVar[Tuple[Metric, ...]] = ()

    def __init__(self) -> None:
        self.memory: Dict[str, torch.Tensor] = {}

    @abstractmethod
    def draw(self, count: int, random: Random) -> Start:
        """Draw where `count` episodes begin, on the random numbers' device."""

    @abstractmethod
    def begin(self, mask: torch.Tensor, start: Start, state: State) -> None:
        """Remember what has to be of the episodes that begin; all of them the first time.

        Args:
            mask: (envs,) bool, the environments whose episodes begin.
            start: a row for every environment; those of `mask` count.
            state: of all environments, those of `mask` where `start` put them.
        """

    @abstractmethod
    def observe(self, state: State) -> torch.Tensor:
        """Observations (envs, agents, size); tensors of their own."""

    @abstractmethod
    def command(self, action: torch.Tensor) -> torch.Tensor:
        """What a simulator takes (envs, robots, 3) for actions (envs, agents, size)."""

    def before_step(self, state: State) -> None:  # noqa: B027 - most tasks need nothing of it
        """Note what is needed of the state that the next control step leaves behind."""

    @abstractmethod
    def judge(self, state: State) -> Judgement:
        """Judge the state after a control step."""

    def measure(self) -> Tuple[torch.Tensor, ...]:
        """Whether each metric's thing held at the control step judged last, (envs,) bool each."""
        return ()

    @property
    def target(self) -> Optional[torch.Tensor]:
        """Where the targets are (envs, 2), m, for pictures; None where there are none."""
        return self.memory.get("target")

    def remember(self, name: str, mask: torch.Tensor, value: torch.Tensor) -> None:
        """Put the rows of `mask` of a value (envs, ...) into the memory of that name."""
        if name in self.memory:
            self.memory[name][mask] = value[mask].to(self.memory[name].dtype)
        else:
            self.memory[name] = value.clone()
