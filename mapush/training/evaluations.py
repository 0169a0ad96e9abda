"""The evaluations of a run: of the learner while it trains, of what is kept of it at its end."""

from __future__ import annotations

from typing import Callable, Dict

import torch

from mapush.checkpoint.manifest import read as read_manifest
from mapush.checkpoint.retention import AnyOf, CheckpointInfo, KeepBest, KeepFinal
from mapush.evaluation.assess import TEST_SEED, TRAINING_SEED, assess
from mapush.evaluation.calculator import Figures
from mapush.evaluation.ledger import FILE_NAME, read_success_rates, write_success_rate
from mapush.evaluation.policy import load_policy
from mapush.runs.directory import RunDirectory
from mapush.training.plan import Plan


def evaluate_learner(
    plan: Plan, policy: Callable[[torch.Tensor], torch.Tensor], check: Callable[[], None]
) -> Dict[str, float]:
    """The figures of a policy in training, which choose the best checkpoint.

    Args:
        plan: Says in what, and how many episodes.
        policy: Deterministic actions of observations.
        check: Called at every control step; may raise to stop.
    """
    episodes = plan.config.evaluation.eval_envs
    figures = _assess(plan, policy, plan.config.ppo.decimation, episodes, TRAINING_SEED, check)
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
    episodes = plan.config.evaluation.final_envs
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
        policy = load_policy(entry.module, plan.config.task)
        figures = _assess(plan, policy, policy.hold, episodes, TEST_SEED, check)
        write_success_rate(path, figures.entry(entry.step))
        low, high = figures.interval
        say(
            f"{entry.path.name}: success rate {figures.success_rate:.3f} "
            f"({low:.3f} to {high:.3f}, {figures.episodes} episodes)"
        )


def _assess(
    plan: Plan,
    policy: Callable[[torch.Tensor], torch.Tensor],
    decimation: int,
    episodes: int,
    seed: int,
    check: Callable[[], None],
) -> Figures:
    simulator = plan.config.simulator
    return assess(
        policy,
        decimation,
        plan.config.task,
        simulator.sim,
        episodes,
        seed,
        check,
        simulator.device,
        simulator.sim_options,
    )
