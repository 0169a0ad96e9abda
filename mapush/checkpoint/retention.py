"""Which checkpoints to keep: small pure rules, combined by `AnyOf`. Nothing here touches a disk."""

from __future__ import annotations

import dataclasses
import math
from typing import Dict, FrozenSet, Iterator, List, Optional, Sequence, Set, Tuple, Union

from mapush.errors import RequestError
from mapush.schema import read_whole_number


@dataclasses.dataclass(frozen=True)
class CheckpointInfo:
    """What the rules look at."""

    step: int
    """Environment steps, summed over environments."""
    score: Optional[float] = None
    """Success rate by evaluation; None if it was not evaluated."""


@dataclasses.dataclass(frozen=True)
class KeepAll:
    """Keep every checkpoint."""

    def keep(self, checkpoints: Sequence[CheckpointInfo]) -> Set[int]:
        """The steps of the checkpoints to keep."""
        return {checkpoint.step for checkpoint in checkpoints}


@dataclasses.dataclass(frozen=True)
class KeepLast:
    """Keep the newest ones."""

    count: int

    def keep(self, checkpoints: Sequence[CheckpointInfo]) -> Set[int]:
        """The steps of the checkpoints to keep."""
        return set(sorted(checkpoint.step for checkpoint in checkpoints)[-self.count :])


@dataclasses.dataclass(frozen=True)
class KeepEvery:
    """Keep the first checkpoint at or past each multiple of a number of steps."""

    steps: int

    def keep(self, checkpoints: Sequence[CheckpointInfo]) -> Set[int]:
        """The steps of the checkpoints to keep."""
        first: Dict[int, int] = {}
        for step in sorted(checkpoint.step for checkpoint in checkpoints):
            first.setdefault(step // self.steps, step)
        return {step for multiple, step in first.items() if multiple > 0}


@dataclasses.dataclass(frozen=True)
class KeepBest:
    """Keep those with the highest score; of equal ones the newer. Unevaluated ones do not count."""

    count: int

    def keep(self, checkpoints: Sequence[CheckpointInfo]) -> Set[int]:
        """The steps of the checkpoints to keep."""
        ranked = sorted(
            (checkpoint.score, checkpoint.step)
            for checkpoint in checkpoints
            if checkpoint.score is not None and math.isfinite(checkpoint.score)
        )
        return {step for _, step in ranked[-self.count :]}


@dataclasses.dataclass(frozen=True)
class KeepFirst:
    """Keep the first checkpoint of the run."""

    def keep(self, checkpoints: Sequence[CheckpointInfo]) -> Set[int]:
        """The steps of the checkpoints to keep."""
        return set(sorted(checkpoint.step for checkpoint in checkpoints)[:1])


@dataclasses.dataclass(frozen=True)
class KeepFinal:
    """Keep the newest checkpoint, which is the final one of a run that has ended."""

    def keep(self, checkpoints: Sequence[CheckpointInfo]) -> Set[int]:
        """The steps of the checkpoints to keep."""
        return set(sorted(checkpoint.step for checkpoint in checkpoints)[-1:])


@dataclasses.dataclass(frozen=True)
class KeepSteps:
    """Keep pinned checkpoints, such as the one a live process resumed from."""

    steps: FrozenSet[int]

    def keep(self, checkpoints: Sequence[CheckpointInfo]) -> Set[int]:
        """The steps of the checkpoints to keep."""
        return {checkpoint.step for checkpoint in checkpoints if checkpoint.step in self.steps}


@dataclasses.dataclass(frozen=True)
class AnyOf:
    """Keep what at least one of the rules keeps."""

    policies: Tuple[Policy, ...]

    def keep(self, checkpoints: Sequence[CheckpointInfo]) -> Set[int]:
        """The steps of the checkpoints to keep."""
        return set().union(*(policy.keep(checkpoints) for policy in self.policies))


Policy = Union[KeepAll, KeepLast, KeepEvery, KeepBest, KeepFirst, KeepFinal, KeepSteps, AnyOf]

DEFAULT = AnyOf((KeepLast(5), KeepEvery(10_000_000), KeepBest(1), KeepFirst(), KeepFinal()))

_COUNTED = {"last": KeepLast, "every": KeepEvery, "best": KeepBest}
_MOST = 10**18  # more steps than any run has
_ALLOWED = "all, or a list such as last=5,every=10000000,best=1,first"
_PLAIN = {KeepAll: "all", KeepFirst: "first", KeepFinal: "newest", KeepSteps: "in use"}


def reasons(policy: Policy, checkpoints: Sequence[CheckpointInfo]) -> Iterator[Tuple[int, str]]:
    """The steps of the checkpoints that a policy keeps, each by every rule, as `--keep` has it."""
    words = {kind: word for word, kind in _COUNTED.items()}
    for rule in policy.policies if isinstance(policy, AnyOf) else (policy,):
        name = _PLAIN.get(type(rule)) or f"{words[type(rule)]}={dataclasses.astuple(rule)[0]}"
        yield from ((step, name) for step in rule.keep(checkpoints))


def parse(text: str) -> Policy:
    """The policy of a `--keep` option: `all`, or rules separated by commas.

    Rules are `last=N`, `every=STEPS`, `best=N` and `first`. The newest checkpoint is always kept,
    since a run could not be resumed without it.

    Raises:
        RequestError: If the text is anything else.
    """
    if text.strip() == "all":
        return KeepAll()
    policies: List[Policy] = [KeepFinal()]
    for rule in text.split(","):
        name, equals, number = rule.strip().partition("=")
        if name == "first" and not equals:
            policies.append(KeepFirst())
        elif name in _COUNTED and 0 < (count := read_whole_number(number) or 0) < _MOST:
            policies.append(_COUNTED[name](count))
        else:
            raise RequestError(f"--keep {text!r}: {rule.strip()!r} is no rule; use {_ALLOWED}")
    return AnyOf(tuple(policies))
