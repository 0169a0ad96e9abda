"""Finds the checkpoint that a user names, with its policy and task."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from mapush.arguments import command_line
from mapush.checkpoint.store import MODULE, CheckpointEntry, load_entry, load_newest
from mapush.errors import CheckpointError, RequestError
from mapush.evaluation import success_rates
from mapush.evaluation.checkpoints import task_of
from mapush.evaluation.policy import LoadedPolicy, build_policy, read_checkpoint
from mapush.evaluation.scores import scores_of
from mapush.runs.directory import RunDirectory
from mapush.runs.listing import open_run
from mapush.schema import read_whole_number
from mapush.tasks import PushTask
from mapush.tasks.base import TaskSpec
from mapush.tasks.change import load_changed_task

_log = logging.getLogger("mapush")


@dataclass(frozen=True)
class Source:
    """A checkpoint to export.

    Attributes:
        path: its `module.pt`.
        state: what that holds.
        policy: its deterministic policy.
        task: what it was trained for.
        name: of its run, or of its task if it lies in none.
    """

    path: Path
    state: Dict[str, Any]
    policy: LoadedPolicy
    task: PushTask
    name: str


def find_source(root: Path, named: str, step: Optional[str], exp: Optional[str]) -> Source:
    """The checkpoint that `named` means.

    Args:
        root: holds `results/`.
        named: a `module.pt`, its directory, or a run.
        step: of a run: `last`, `best` or a number of environment steps; None for the last.
        exp: task of a checkpoint that lies in no run.

    Raises:
        RequestError: there is none such.
        CheckpointError: it cannot be used.
    """
    path = Path(named)
    module = path / MODULE if (path / MODULE).is_file() else path
    if not module.is_file():
        run = open_run(root, named)
        if exp is not None:
            raise RequestError(f"--exp {exp}: {run.name} has its own task; leave --exp out")
        return _of_run(run, step or "last")
    if step is not None:
        raise RequestError(f"--step {step}: {module} is one checkpoint; name its run instead")
    state = read_checkpoint(module)
    task = _pushing(task_of(module, exp, state))
    own = module.resolve().parent.parent.parent
    in_run = (own / "task" / "config.py").is_file()
    return Source(
        module, state, build_policy(state, task, module), task, own.name if in_run else task.name
    )


def _pushing(task: TaskSpec) -> PushTask:
    """The task, if it is one whose commands a robot's program knows how to give."""
    if not isinstance(task, PushTask):
        raise RequestError(f"{task.name}: is no pushing task; only the policies of these export")
    return task


def _of_run(run: RunDirectory, step: str) -> Source:
    entries = run.entries()
    if not entries:
        raise RequestError(f"{run.name}: holds no checkpoint yet; train first")
    if step == "last":
        entry, state = _newest_valid(entries)
    else:
        entry = _chosen(run, entries, step)
        state = load_entry(entry)
    task = _pushing(load_changed_task(run.part("task"), state.get("config") or {}))
    policy = build_policy(state, task, entry.module)
    return Source(entry.module, state, policy, task, run.name)


def _newest_valid(entries: List[CheckpointEntry]) -> Tuple[CheckpointEntry, Dict[str, Any]]:
    """The newest that loads. Nothing is set aside: that is for the process that trains."""
    failures: List[CheckpointError] = []

    def pass_over(error: CheckpointError) -> None:
        _log.warning("passed over: %s", error)
        failures.append(error)

    found = load_newest(entries, pass_over)
    if found is None:
        raise CheckpointError(
            f"none of the {len(entries)} checkpoints can be loaded; {failures[-1]}"
        )
    return found


def _chosen(run: RunDirectory, entries: List[CheckpointEntry], step: str) -> CheckpointEntry:
    steps = {entry.step: entry for entry in entries}
    if step == "best":
        scores = scores_of(entries, run.part(success_rates.FILE_NAME))
        rated = [(scores[each].rate, each) for each in steps if each in scores]
        if not rated:
            raise RequestError(
                f"--step best: no checkpoint of {run.name} was evaluated; run "
                f"{command_line('mapush.test', '--run', run.name, root=run.root)} first"
            )
        return steps[max(rated)[1]]
    number = read_whole_number(step)
    if number in steps:
        return steps[number]
    there = ", ".join(str(each) for each in list(steps)[-5:])
    raise RequestError(
        f"--step {step:.40}: must be last, best or a step of which {run.name} has a checkpoint; "
        f"the newest are {there}"
    )
