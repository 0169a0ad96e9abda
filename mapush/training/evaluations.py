"""The evaluations of a run: of the learner while it trains, of what is kept of it at its end."""

from __future__ import annotations

import contextlib
from typing import Callable, Dict

from mapush.checkpoint.manifest import read as read_manifest
from mapush.checkpoint.retention import AnyOf, CheckpointInfo, KeepBest, KeepFinal
from mapush.environment.vector import Policy
from mapush.evaluation.evaluator import TRAINING_SEED, Evaluator
from mapush.evaluation.policy import load_policy
from mapush.evaluation.success_rates import FILE_NAME, read_success_rates, write_success_rate
from mapush.runs.directory import RunDirectory
from mapush.training.plan import Plan


def learner_evaluator(plan: Plan) -> Evaluator:
    """What evaluates the learner while it trains; nothing is built before the first time."""
    config = plan.config
    return Evaluator(
        config.task,
        config.simulator.choice,
        config.evaluation.eval_envs,
        TRAINING_SEED,
        config.ppo.decimation,
    )


def evaluate_learner(
    evaluator: Evaluator, policy: Policy, check: Callable[[], None]
) -> Dict[str, float]:
    """The figures of a policy in training, which choose the best checkpoint.

    Args:
        evaluator: See `learner_evaluator`.
        policy: Deterministic actions of observations.
        check: Called at every control step; may raise to stop.
    """
    figures = evaluator.evaluate(policy, check)
    return {
        "success_rate": figures.success_rate,
        "finished_time": figures.finished_time,
        "episodes": float(figures.episodes),
    }


def evaluate_run(
    plan: Plan,
    run: RunDirectory,
    say: Callable[[str], None],
    check: Callable[[], None],
) -> None:
    """Evaluate what is not evaluated yet of the final and the best checkpoint.

    Args:
        plan: Says in what, and how many episodes.
        run: Its success_rate.txt is written.
        say: Takes a line for each.
        check: Called at every control step; may raise to stop. What is done by then is kept.

    Raises:
        StorageError: The figures cannot be written.
    """
    task, episodes = plan.config.task, plan.config.evaluation.final_envs
    if not episodes:
        return
    path = run.current / FILE_NAME
    done = {entry.step for entry in read_success_rates(path)}
    entries = run.entries()
    rates = [
        CheckpointInfo(each.step, read_manifest(each.manifest).success_rate) for each in entries
    ]
    chosen = AnyOf((KeepBest(1), KeepFinal())).keep(rates) - done
    for entry in entries:
        if entry.step not in chosen:
            continue
        policy = load_policy(entry.module, task)
        evaluator = Evaluator(
            task, plan.config.simulator.choice, episodes, decimation=policy.decimation
        )
        with contextlib.closing(evaluator):
            figures = evaluator.evaluate(policy, check)
        write_success_rate(path, figures.entry(entry.step))
        low, high = figures.interval
        say(
            f"{entry.path.name}: success rate {figures.success_rate:.3f} "
            f"({low:.3f} to {high:.3f}, {figures.episodes} episodes)"
        )
