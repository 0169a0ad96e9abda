"""Which checkpoints of a run retention rules do not keep, and their deletion.

Whatever the rules say, the newest checkpoint stays, the newest valid one stays, and so does one
that another process needs: an evaluation that is under way, a run that began from it. The rules
are the run's own, `mapush.checkpoint.retention`, and so is the way of deleting.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Tuple

from mapush.arguments import command_line
from mapush.checkpoint import retention
from mapush.checkpoint.names import step_of
from mapush.checkpoint.store import CheckpointEntry, CheckpointStore, load_newest
from mapush.errors import CheckpointError, OwnershipError, RequestError
from mapush.files import size_of
from mapush.runs import record
from mapush.runs.directory import RunDirectory
from mapush.runs.lease import living, trainer_of
from mapush.runs.listing import runs
from mapush.runs.pins import in_use, living_pins


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A checkpoint with the reasons to keep it; without any it goes."""

    entry: CheckpointEntry
    size: int
    """Bytes."""
    score: Optional[float]
    """Success rate; None if it was not evaluated."""
    reasons: Tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Pruning:
    """What is to happen to the checkpoints of one run."""

    run: RunDirectory
    candidates: Tuple[Candidate, ...]
    """In numeric order."""

    @property
    def doomed(self) -> List[Candidate]:
        """Those that go."""
        return [each for each in self.candidates if not each.reasons]

    def carry_out(self) -> Iterator[Candidate]:
        """Delete one after the other what is to go; what a process needs by now stays.

        Yields:
            What is deleted.

        Raises:
            OwnershipError: A process has begun to train the run.
            StorageError: The storage refuses.
        """
        store = CheckpointStore(
            self.run.checkpoints,
            guard=lambda: refuse_if_trained(self.run),
            in_use=in_use(self.run),
        )
        for candidate in self.doomed:
            if store.retire(candidate.entry):
                yield candidate


def plan(run: RunDirectory, policy: retention.Policy, scores: Mapping[int, float]) -> Pruning:
    """Judge every checkpoint of a run; nothing is changed.

    Args:
        run: The run.
        policy: The rules.
        scores: Success rates by step.

    Raises:
        RequestError: The run is half moved to its results.
        OwnershipError: A live process trains it, whose own retention does the work.
        CheckpointError: It has checkpoints and none is valid.
        StorageError: Something cannot be read.
    """
    refuse_if_trained(run)
    if run.read().status == record.FINISHING:
        raise RequestError(
            f"{run.name}: is half moved to its results; finish that first with: "
            f"{command_line('mapush.train', '--run', run.name, root=run.root)}"
        )
    entries = run.entries()
    infos = [retention.CheckpointInfo(each.step, scores.get(each.step)) for each in entries]
    reasons: Dict[int, List[str]] = {entry.step: [] for entry in entries}
    for step, reason in (*retention.reasons(policy, infos), *_needed(run, entries)):
        if step in reasons:
            reasons[step].append(reason)
    if not all(reasons.values()):
        newest = load_newest(entries)
        if newest is None:
            verify = command_line("mapush.runs", "verify", run.name, root=run.root)
            raise CheckpointError(
                f"{run.name}: none of its {len(entries)} checkpoints is valid, so none is "
                f"deleted; see what is wrong with: {verify}"
            )
        reasons[newest[0].step].append("newest valid")
    return Pruning(
        run,
        tuple(
            Candidate(each, size_of(each.path), scores.get(each.step), tuple(reasons[each.step]))
            for each in entries
        ),
    )


def refuse_if_trained(run: RunDirectory) -> None:
    """Raise if a live process trains the run.

    Raises:
        OwnershipError: naming it.
        StorageError: The storage does not tell.
    """
    trainer = living(run)
    if trainer is not None:
        raise OwnershipError(
            f"{run.name}: is being trained by {trainer}; its own retention deletes what its --keep "
            "does not keep, so wait for it to end"
        )


def _needed(run: RunDirectory, entries: List[CheckpointEntry]) -> Iterator[Tuple[int, str]]:
    """Steps that live processes and unfinished runs need, and why."""
    for pin in living_pins(run.checkpoints):
        yield from ((entry.step, str(pin)) for entry in entries if pin.holds(entry.step))
    here = {run.live.resolve(), run.results.resolve()}
    for other in runs(run.root):
        known = other.read()
        source = known.more.get("checkpoint")
        if other.name == run.name or not isinstance(source, str):
            continue
        directory = Path(source).parent
        step = step_of(directory.name)
        if (
            step is not None
            and directory.parent.parent.resolve() in here
            and known.status != record.COMPLETE
            # It is alive, or could only begin from that checkpoint again.
            and (trainer_of(other) is not None or not other.entries())
        ):
            yield step, f"{other.name} began from it"
