"""Deletes what retention rules do not keep, from runs that no process trains.

Whatever the rules say, the newest checkpoint stays, the newest valid one stays, and so does one
that another process needs: an evaluation that is under way, a run that began from it. The rules
are the run's own, `mapush.checkpoint.retention`, and so is the way of deleting.
"""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Set, Tuple

from rich.console import Console

from mapush.arguments import command_line
from mapush.checkpoint import retention
from mapush.checkpoint.store import CheckpointEntry, CheckpointStore, step_of
from mapush.errors import CheckpointError, OwnershipError, RequestError
from mapush.runs import record
from mapush.runs.directory import RunDirectory
from mapush.runs.lease import living
from mapush.runs.listing import open_run, runs
from mapush.runs.pins import in_use, living_pins
from mapush.views import facts, tables
from mapush.views.verify import damage

_PLAIN_RULES = {
    retention.KeepAll: "all",
    retention.KeepFirst: "first",
    retention.KeepFinal: "newest",
}
_HEADINGS = ("checkpoints", "size", "success", "verdict")


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A checkpoint with the reasons to keep it; without any it goes."""

    entry: CheckpointEntry
    size: int
    """Bytes."""
    success: str
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


def prune_runs(root: Path, names: Sequence[str], keep: str, dry_run: bool) -> None:
    """Delete what the rules do not keep and print what that was; all runs are judged first.

    Args:
        root: Holds `log/` and `results/`.
        names: The runs.
        keep: Rules, as `--keep` of mapush.train takes them.
        dry_run: Print only what would be deleted.

    Raises:
        RequestError: A run or a rule is unknown, or a run is on its way home.
        OwnershipError: A live process trains a run, whose own retention does the work.
        CheckpointError: A run has checkpoints and none is valid.
        StorageError: Something cannot be read or deleted.
    """
    policy = retention.parse(keep)
    out = tables.screen()
    for pruning in [plan(open_run(root, name), policy) for name in names]:
        if dry_run:
            _show(out, pruning, pruning.doomed, "would delete", "would free")
            continue
        deleted: List[Candidate] = []
        try:
            for candidate in carry_out(pruning):
                deleted.append(candidate)
        finally:
            _show(out, pruning, deleted, "deleted", "freed")


def plan(run: RunDirectory, policy: retention.Policy) -> Pruning:
    """Judge every checkpoint of a run; nothing is changed.

    Raises:
        MapushError: As for `prune_runs`.
    """
    refuse_if_trained(run)
    if run.read().status == record.FINISHING:
        raise RequestError(
            f"{run.name}: is half moved to its results; finish that first with: "
            f"{command_line('mapush.train', '--run', run.name, root=run.root)}"
        )
    entries = facts.entries_of(run)
    scores = facts.scores_of(run, entries)
    infos = [
        retention.CheckpointInfo(
            entry.step, scores[entry.step].rate if entry.step in scores else None
        )
        for entry in entries
    ]
    reasons: Dict[int, List[str]] = {entry.step: [] for entry in entries}
    for rule, steps in _by_rule(policy, infos):
        for step in steps:
            reasons[step].append(rule)
    for step, reason in _needed(run):
        if step in reasons:
            reasons[step].append(reason)
    if not all(reasons.values()):
        reasons[_newest_valid(run, entries).step].append("newest valid")
    return Pruning(
        run,
        tuple(
            Candidate(
                entry,
                facts.size_of(entry.path),
                f"{scores[entry.step].rate:.3f}" if entry.step in scores else "-",
                tuple(reasons[entry.step]),
            )
            for entry in entries
        ),
    )


def carry_out(pruning: Pruning) -> Iterator[Candidate]:
    """Delete one after the other what is to go; what a process has come to need by now stays.

    Yields:
        What is deleted.

    Raises:
        OwnershipError: A process has begun to train the run.
        StorageError: The storage refuses.
    """
    run = pruning.run
    store = CheckpointStore(
        run.checkpoints, guard=lambda: refuse_if_trained(run), in_use=in_use(run)
    )
    for candidate in pruning.doomed:
        if store.retire(candidate.entry):
            yield candidate


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


def _by_rule(
    policy: retention.Policy, infos: Sequence[retention.CheckpointInfo]
) -> Iterator[Tuple[str, Set[int]]]:
    """What each rule of a policy keeps, with the rule as `--keep` has it."""
    for rule in policy.policies if isinstance(policy, retention.AnyOf) else (policy,):
        kept = rule.keep(infos)
        if isinstance(rule, (retention.KeepLast, retention.KeepBest)):
            name = "last" if isinstance(rule, retention.KeepLast) else "best"
            yield f"{name}={rule.count}", kept
        elif isinstance(rule, retention.KeepEvery):
            yield f"every={rule.steps}", kept
        else:
            yield _PLAIN_RULES[type(rule)], kept


def _needed(run: RunDirectory) -> Iterator[Tuple[int, str]]:
    """Steps that live processes and unfinished runs need, and why."""
    for pin in living_pins(run.checkpoints):
        for entry in facts.entries_of(run):
            if pin.holds(entry.step):
                yield entry.step, str(pin)
    here = {run.live.resolve(), run.results.resolve()}
    for other in runs(run.root):
        source = other.read().more.get("checkpoint")
        if other.name == run.name or not isinstance(source, str):
            continue
        place = Path(source).parent
        step = step_of(place.name)
        if step is not None and place.parent.parent.resolve() in here and _still_needs(other):
            yield step, f"{other.name} began from it"


def _still_needs(other: RunDirectory) -> bool:
    """Whether a run that began from a checkpoint is alive, or could only begin from it again."""
    if other.read().status == record.COMPLETE:
        return False
    return facts.trainer_of(other) is not None or not facts.entries_of(other)


def _newest_valid(run: RunDirectory, entries: Sequence[CheckpointEntry]) -> CheckpointEntry:
    """The checkpoint that a resume would take."""
    for entry in reversed(entries):
        if damage(entry) is None:
            return entry
    raise CheckpointError(
        f"{run.name}: none of its {len(entries)} checkpoints is valid, so none is deleted; "
        f"see what is wrong with: {command_line('mapush.runs', 'verify', run.name, root=run.root)}"
    )


def _show(
    out: Console, pruning: Pruning, gone: Sequence[Candidate], verb: str, effect: str
) -> None:
    steps = {each.entry.step for each in gone}
    out.print(str(pruning.run.results))
    rows = []
    for is_gone, group in itertools.groupby(
        pruning.candidates, key=lambda each: each.entry.step in steps
    ):
        some = list(group)
        rows += [_together(some, verb)] if is_gone else [_alone(each) for each in some]
    tables.show_table(out, _HEADINGS, rows, right=("size", "success"))
    freed = facts.human_bytes(sum(each.size for each in gone))
    left = len(pruning.candidates) - len(gone)
    out.print(f"{verb} {len(gone)} of {len(pruning.candidates)}, {effect} {freed}, {left} stay")


def _alone(kept: Candidate) -> List[str]:
    why = ", ".join(kept.reasons) or "another process needs it by now, or it could not be deleted"
    return [kept.entry.path.name, facts.human_bytes(kept.size), kept.success, f"kept: {why}"]


def _together(gone: Sequence[Candidate], verb: str) -> List[str]:
    """Neighbours that go as one line, since there may be thousands."""
    first, last = gone[0].entry, gone[-1].entry
    name = first.path.name
    if len(gone) > 1:
        name = f"rl_model_{first.step}..{last.step}_steps ({len(gone)})"
    size = facts.human_bytes(sum(each.size for each in gone))
    return [name, size, gone[0].success if len(gone) == 1 else "", verb]
