"""Prints which checkpoints go and which stay, and why."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import List, Sequence

from rich.console import Console

from mapush.checkpoint import retention
from mapush.checkpoint.names import directory_name
from mapush.evaluation import success_rates
from mapush.evaluation.scores import scores_of
from mapush.runs.directory import RunDirectory
from mapush.runs.listing import open_run
from mapush.runs.pruning import Candidate, Pruning, plan
from mapush.views import tables

_HEADINGS = ("checkpoints", "size", "success", "verdict")


def prune_runs(root: Path, names: Sequence[str], keep: str, dry_run: bool) -> None:
    """Delete what the rules do not keep and print what that was; all runs are judged first.

    Args:
        root: Holds `log/` and `results/`.
        names: The runs.
        keep: Rules, as `--keep` of mapush.train takes them.
        dry_run: Print only what would be deleted.

    Raises:
        RequestError: A run or a rule is unknown, or a run is half moved to its results.
        OwnershipError: A live process trains a run, whose own retention does the work.
        CheckpointError: A run has checkpoints and none is valid.
        StorageError: Something cannot be read or deleted.
    """
    policy = retention.parse(keep)
    out = tables.screen()
    for pruning in [_plan(open_run(root, name), policy) for name in names]:
        if dry_run:
            _show(out, pruning, pruning.doomed, "would delete", "would free")
            continue
        deleted: List[Candidate] = []
        try:
            for candidate in pruning.carry_out():
                deleted.append(candidate)
        finally:
            _show(out, pruning, deleted, "deleted", "freed")


def _plan(run: RunDirectory, policy: retention.Policy) -> Pruning:
    scores = scores_of(run.entries(), run.part(success_rates.FILE_NAME))
    return plan(run, policy, {step: score.rate for step, score in scores.items()})


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
    freed = tables.human_bytes(sum(each.size for each in gone))
    left = len(pruning.candidates) - len(gone)
    out.print(f"{verb} {len(gone)} of {len(pruning.candidates)}, {effect} {freed}, {left} stay")


def _alone(kept: Candidate) -> List[str]:
    why = ", ".join(kept.reasons) or "another process needs it by now, or it could not be deleted"
    return [kept.entry.path.name, tables.human_bytes(kept.size), _success(kept), f"kept: {why}"]


def _together(gone: Sequence[Candidate], verb: str) -> List[str]:
    """Neighbours that go as one line, since there may be thousands."""
    first, last = gone[0].entry, gone[-1].entry
    name = first.path.name
    if len(gone) > 1:
        name = f"{directory_name(f'{first.step}..{last.step}')} ({len(gone)})"
    size = tables.human_bytes(sum(each.size for each in gone))
    return [name, size, _success(gone[0]) if len(gone) == 1 else "", verb]


def _success(candidate: Candidate) -> str:
    return "-" if candidate.score is None else f"{candidate.score:.3f}"
