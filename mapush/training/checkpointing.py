"""Update boundaries: a copy of each, the policies that say which are evaluated and saved, saving.

What is kept of the saved ones is a policy of the same form, in `mapush.checkpoint.retention`.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Protocol, Tuple

import torch

from mapush.checkpoint import retention
from mapush.checkpoint.store import CheckpointStore
from mapush.errors import StorageError
from mapush.runs.directory import RunDirectory
from mapush.runs.lease import Lease
from mapush.runs.pins import in_use
from mapush.training.config import CheckpointingConfig

NETWORKS = ("actor_network", "critic_network")

_ALIGNMENT = 64  # bytes; of what processors copy fast
# What a module.pt has beside its tensors' bytes, as measured: an entry for each, plain values.
_ENTRY_BYTES = 256
_PLAIN_BYTES = 8_000


@dataclass
class Boundary:
    """Everything at an update boundary, copied, so that training can resume in place.

    Attributes:
        state: The content of a `module.pt`; its tensors share one block of CPU memory.
        tensors: How many there are.
        nbytes: Of that block.
        evaluation: Figures of this boundary's policy, if it was evaluated.
    """

    state: Dict[str, Any]
    tensors: int
    nbytes: int
    evaluation: Optional[Dict[str, float]] = None

    @property
    def step(self) -> int:
        """Environment steps done."""
        return self.state["training_step"]

    @property
    def file_bytes(self) -> int:
        """About the size of a `module.pt` after the first update, found without writing one."""
        moments = tensors = 0
        if not self.state["optimizer_state"]["state"]:  # Adam has none before it
            weights = [w for name in NETWORKS for w in self.state[name].values()]
            moments, tensors = 2 * sum(w.nbytes for w in weights), 3 * len(weights)
        return self.nbytes + moments + _ENTRY_BYTES * (self.tensors + tensors) + _PLAIN_BYTES


def capture(state: Mapping[str, Any], expected: int = 0) -> Boundary:
    """Copy a state of tensors on any device and plain values, in one walk.

    Args:
        state: The content of a `module.pt`.
        expected: Bytes of the last boundary's copy. Tensors beyond are copied one by one, as all
            of the first boundary are, so a wrong number costs some time and nothing else.
    """
    memory = torch.empty(expected, dtype=torch.uint8).numpy() if expected else None
    tensors = used = 0

    def copy(value: Any) -> Any:  # noqa: ANN401
        nonlocal tensors, used
        if isinstance(value, torch.Tensor):
            begin = used
            used += -(-value.nbytes // _ALIGNMENT) * _ALIGNMENT
            tensors += 1
            if memory is None or used > expected or not value.nbytes:
                return value.detach().to("cpu", copy=True)
            # Its own storage on the shared memory: a file holds these bytes alone, as they are.
            there = torch.frombuffer(memory, dtype=value.dtype, count=value.numel(), offset=begin)
            return there.view(value.shape).copy_(value.detach())
        if isinstance(value, Mapping):
            return {key: copy(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(copy(each) for each in value)
        return value

    return Boundary(copy(state), tensors, used)


@dataclass(frozen=True)
class Moment:
    """A boundary as the policies see it; steps are environment steps.

    Attributes:
        step: Done.
        before: Done at the boundary before.
        first: Done when the run, not this process, began.
        last: To reach.
        evaluated: Whether this boundary's policy was evaluated just now.
        refused: Whether the storage has refused the last save.
    """

    step: int
    before: int
    first: int
    last: int
    evaluated: bool = False
    refused: bool = False


class Policy(Protocol):
    """Decides at a boundary."""

    def due(self, moment: Moment) -> bool:
        """Whether to act."""
        ...


@dataclass(frozen=True)
class Every:
    """At the first boundary at or past each multiple of a number of steps."""

    steps: int

    def due(self, moment: Moment) -> bool:
        """Whether the last update reached or passed a multiple."""
        return moment.step // self.steps > moment.before // self.steps


@dataclass(frozen=True)
class First:
    """After a run's first update."""

    def due(self, moment: Moment) -> bool:
        """Whether the boundary before is where the run began."""
        return moment.before <= moment.first


@dataclass(frozen=True)
class Last:
    """At the end of a run."""

    def due(self, moment: Moment) -> bool:
        """Whether the steps to reach are reached."""
        return moment.step >= moment.last


@dataclass(frozen=True)
class Evaluated:
    """Where there are figures to save."""

    def due(self, moment: Moment) -> bool:
        """Whether the boundary was evaluated."""
        return moment.evaluated


@dataclass(frozen=True)
class Refused:
    """As soon as possible after a save that the storage has refused."""

    def due(self, moment: Moment) -> bool:
        """Whether it has."""
        return moment.refused


@dataclass(frozen=True)
class AnyOf:
    """Where at least one of some policies says so; with none of them, never."""

    policies: Tuple[Policy, ...] = ()

    def due(self, moment: Moment) -> bool:
        """Whether one of them does."""
        return any(policy.due(moment) for policy in self.policies)


def evaluation_policy(eval_freq: int) -> Policy:
    """When to evaluate; 0 for never."""
    return AnyOf((Every(eval_freq), Last())) if eval_freq else AnyOf()


def save_policy(save_freq: int) -> Policy:
    """When to save."""
    return AnyOf((First(), Every(save_freq), Last(), Evaluated(), Refused()))


class Checkpointer:
    """Saves boundaries on a thread of its own, one at a time, and knows what is durable.

    A save that the storage refused is no reason to throw training away: it is kept in `failure`
    until a later one succeeds, for so many steps.

    Args:
        run: Takes the checkpoints.
        lease: Of this process; nothing is written without it.
        config: What is kept, and how long training may do without checkpoints.
        durable_step: Environment steps of the newest checkpoint there is; None for none.
        warn: Takes one line about something a person should know.
    """

    def __init__(
        self,
        run: RunDirectory,
        lease: Lease,
        config: CheckpointingConfig,
        durable_step: Optional[int],
        warn: Callable[[str], None],
    ) -> None:
        self.durable_step = -1 if durable_step is None else durable_step
        self.failure: Optional[StorageError] = None
        self._store = CheckpointStore(
            run.checkpoints, retention.parse(config.keep), lease.check, warn, in_use(run)
        )
        if durable_step is not None:
            self._store.pin(durable_step)
        self._most_unprotected = config.max_unprotected_steps
        self._warn = warn
        self._has_warned = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Optional[Tuple[int, Future[Path]]] = None

    def save(self, boundary: Boundary) -> None:
        """Begin to save a boundary; waits for the save before it.

        Raises:
            StorageError: Saves are refused for too many steps by now.
        """
        self._begin(boundary)
        unprotected = boundary.step - self.durable_step
        if self.failure is None:
            if self._has_warned:
                self._warn("checkpoints are saved again")
        elif unprotected > self._most_unprotected:
            raise StorageError(
                f"{self.failure}; training has stopped after {unprotected:,} steps without a "
                f"checkpoint, more than --max_unprotected_steps {self._most_unprotected:,}"
            )
        elif not self._has_warned:
            self._warn(
                f"{self.failure}; training continues, and stops after {self._most_unprotected:,} "
                "steps without a checkpoint"
            )
        self._has_warned = self.failure is not None

    def settle(self) -> None:
        """Wait for the save in hand; what became of it is in `durable_step` and `failure`."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        step, future = pending
        try:
            future.result()
        except StorageError as error:
            self.failure = error
        else:
            self.durable_step, self.failure = step, None

    def ensure(self, boundary: Boundary) -> None:
        """Return when a boundary is durable, whether or not it was given before.

        Raises:
            StorageError: It cannot be saved.
        """
        self.settle()
        if self.durable_step != boundary.step:
            self._begin(boundary)
            self.settle()
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        """Stop the thread once the save in hand is through."""
        self._thread.shutdown(wait=True)

    def _begin(self, boundary: Boundary) -> None:
        self.settle()
        save = self._store.save
        future = self._thread.submit(save, boundary.state, boundary.evaluation)
        self._pending = (boundary.step, future)
