"""The end of a run: its final and its best checkpoint are evaluated into success_rate.txt."""

from __future__ import annotations

from typing import Callable, List

from mapush.checkpoint.manifest import read as read_manifest
from mapush.checkpoint.store import CheckpointEntry, CheckpointStore
from mapush.evaluation.evaluator import Evaluator
from mapush.evaluation.policy import load_policy
from mapush.evaluation.success_rates import FILE_NAME, read_success_rates, write_success_rate
from mapush.runs.directory import RunDirectory
from mapush.training.log import RunLog
from mapush.training.plan import Plan


def evaluate_run(
    plan: Plan, run: RunDirectory, store: CheckpointStore, log: RunLog, check: Callable[[], None]
) -> None:
    """Evaluate what is not evaluated yet of the final and the best checkpoint.

    Raises:
        Interrupted: by `check`; what is done is kept.
        StorageError: the figures cannot be written.
    """
    if not plan.settings.final_envs:
        return
    path = run.current / FILE_NAME
    done = {entry.step for entry in read_success_rates(path)}
    for entry in _final_and_best(store.entries()):
        if entry.step in done:
            continue
        policy = load_policy(entry.module, plan.task)
        evaluator = Evaluator(
            plan.task, plan.simulator, plan.settings.final_envs, decimation=policy.decimation
        )
        figures = evaluator.evaluate(policy, check)
        evaluator.close()
        write_success_rate(path, figures.entry(entry.step))
        low, high = figures.interval
        log.say(
            f"{entry.path.name}: success rate {figures.success_rate:.3f} "
            f"({low:.3f} to {high:.3f}, {figures.episodes} episodes)"
        )


def _final_and_best(entries: List[CheckpointEntry]) -> List[CheckpointEntry]:
    scored = [(_score(entry), entry.step, entry) for entry in entries]
    best = [entry for score, _, entry in sorted(scored, key=lambda each: each[:2]) if score >= 0]
    chosen = {entry.step: entry for entry in (*best[-1:], *entries[-1:])}
    return [chosen[step] for step in sorted(chosen)]


def _score(entry: CheckpointEntry) -> float:
    """Success rate found during training; -1 where there is none."""
    return (read_manifest(entry.manifest).evaluation or {}).get("success_rate", -1.0)
