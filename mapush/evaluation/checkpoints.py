"""Evaluates checkpoints as `mapush.test` does: one, or every one of a run."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

from rich.console import Console
from rich.progress import track

from mapush.checkpoint.names import directory_name
from mapush.checkpoint.store import CheckpointEntry, CheckpointStore, load_entry
from mapush.errors import CheckpointError, RequestError
from mapush.evaluation.evaluator import Evaluator
from mapush.evaluation.policy import LoadedPolicy, build_policy, read_checkpoint
from mapush.evaluation.success_rates import (
    FILE_NAME,
    Entry,
    read_success_rates,
    write_success_rate,
)
from mapush.runs.listing import open_run
from mapush.runs.owner import Owner
from mapush.runs.pins import Pin
from mapush.simulators import SimulatorChoice
from mapush.tasks import load_task, task_folder
from mapush.tasks.base import TaskSpec
from mapush.tasks.change import load_changed_task

_out = Console(highlight=False, markup=False, soft_wrap=True)


def evaluate_one(
    path: Path,
    exp: Optional[str],
    simulator: SimulatorChoice,
    num_envs: int,
    seed: int,
) -> None:
    """Print the figures of one checkpoint.

    Raises:
        CheckpointError: it cannot be used.
        TaskError: its task cannot be found.
    """
    policy, task = open_policy(path, exp)
    evaluator = Evaluator(task, simulator, num_envs, seed, policy.decimation)
    with contextlib.closing(evaluator):
        figures = evaluator.evaluate(policy)
    _out.print(figures.entry(policy.step).figures(), end="")


def evaluate_run(
    root: Path,
    name: str,
    simulator: SimulatorChoice,
    num_envs: int,
    seed: int,
) -> None:
    """Evaluate every checkpoint of a run into its success_rate.txt.

    A checkpoint counts as done when the file has its figures over as many episodes.

    Raises:
        RequestError: there is no such run, or its task or figures cannot be read.
        StorageError: the figures cannot be written.
    """
    run = open_run(root, name)
    task = load_changed_task(run.task, run.read().more.get("settings") or {})
    if not CheckpointStore(run.checkpoints).entries():
        raise RequestError(f"{run.checkpoints}: holds no checkpoint yet; train first")
    done = {
        known.step
        for known in read_success_rates(run.current / FILE_NAME)
        if known.episodes == num_envs
    }
    damaged = []
    evaluators: Dict[int, Evaluator] = {}  # by decimation, which is the same all over as a rule
    with contextlib.ExitStack() as held:
        pin = held.enter_context(Pin(run.checkpoints, Owner.current(), "evaluation"))
        # Listed once they are kept: what is there now stays until it has been evaluated.
        entries = CheckpointStore(run.checkpoints).entries()
        left = {entry.step for entry in entries} - done
        for listed in track(entries, "evaluating", console=_out, disable=not _out.is_terminal):
            pin.narrow(left)
            if listed.step in done:
                _out.print(f"{listed.path.name}: done before")
                continue
            # The run may have moved to its results since.
            entry = CheckpointEntry(listed.step, run.checkpoints / listed.path.name)
            try:
                state = load_entry(entry)
            except CheckpointError as error:
                _out.print(f"WARNING: {error}")
                damaged.append(entry.path.name)
                continue
            policy = build_policy(state, task, entry.module)
            if policy.decimation not in evaluators:
                built = Evaluator(task, simulator, num_envs, seed, policy.decimation)
                evaluators[policy.decimation] = held.enter_context(contextlib.closing(built))
            figures = evaluators[policy.decimation].evaluate(policy)
            write_success_rate(run.current / FILE_NAME, figures.entry(entry.step))
            _out.print(_line(figures.entry(entry.step)))
            left.discard(entry.step)
    _out.print(f"figures: {run.current / FILE_NAME}")
    if damaged:
        raise CheckpointError(f"{run.name}: not evaluated, for they are damaged: {damaged}")


def open_policy(path: Path, exp: Optional[str]) -> Tuple[LoadedPolicy, TaskSpec]:
    """A checkpoint's policy with its task; see `task_of`.

    Raises:
        CheckpointError: there is no such file, or it cannot be used.
    """
    if exp is None and not path.exists():
        raise CheckpointError(f"{path}: there is no such file; name a module.pt")
    state = read_checkpoint(path)
    task = task_of(path, exp, state)
    return build_policy(state, task, path), task


def task_of(path: Path, exp: Optional[str], state: Mapping[str, Any]) -> TaskSpec:
    """The task of a checkpoint: its run's own copy, or the one that `--exp` names.

    Either with the values that were changed when the checkpoint was trained on it.

    Args:
        path: the `module.pt`.
        exp: folder under `task/`, or None.
        state: what the file holds.

    Raises:
        RequestError: it lies in no run, and `--exp` names no task.
        TaskError: the changed values do not fit the task.
    """
    own, config = path.resolve().parent.parent.parent / "task", state.get("config") or {}
    if exp is None:
        if not (own / "config.py").is_file():
            raise RequestError(f"{path}: lies in no run; name its task with --exp, such as cuboid")
        return load_changed_task(own, config)
    named = load_task(task_folder(exp))
    if (own / "config.py").is_file():
        copy = load_task(own)
        if copy.name == named.name:
            return load_changed_task(own, config)
        _out.print(f"{path}: was trained on {copy.name}; used for {named.name}, as asked")
        return named
    return load_changed_task(task_folder(exp), config) if config.get("exp") == exp else named


def _line(entry: Entry) -> str:
    return (
        f"{directory_name(entry.step)}: success rate {entry.success_rate:.3f} "
        f"({entry.low:.3f} to {entry.high:.3f}), finished time {entry.finished_time:.2f} s"
    )
