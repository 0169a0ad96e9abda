"""Builds what a plan names, simulator, environment and learner, at a checkpoint if it has one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Tuple

import torch

from mapush.checkpoint import retention
from mapush.checkpoint.module import dumps
from mapush.environment.vector import ACTION_SIZE, PushEnvironment
from mapush.errors import CheckpointError
from mapush.learners.base import Learner
from mapush.learners.openrl import OpenRLLearner
from mapush.learners.ppo import PPOLearner
from mapush.simulators import make_simulator
from mapush.tasks.change import SET
from mapush.tasks.push.observation import angle_positions
from mapush.training.loop import capture, rollout_steps
from mapush.training.plan import Plan, Source
from mapush.training.space import Space, estimate

_LEARNERS = {"native": PPOLearner, "openrl": OpenRLLearner}
_NETWORKS = ("actor_network", "critic_network")


@dataclass(frozen=True)
class Parts:
    """What the training loop works with, and what a person should know about it."""

    environment: PushEnvironment
    learner: Learner
    step: int
    epoch: int
    notes: Tuple[str, ...]

    @property
    def steps_per_update(self) -> int:
        """Environment steps of one rollout."""
        return rollout_steps(self.learner, self.environment.num_envs)


def assemble(plan: Plan) -> Parts:
    """Build the parts of a plan, at its checkpoint if it has one.

    Raises:
        RequestError: a setting does not fit.
        CheckpointError: the checkpoint does not fit.
    """
    settings, task, source = plan.settings, plan.task, plan.source
    simulator = make_simulator(
        settings.simulator.sim,
        task,
        settings.environment.num_envs,
        settings.simulator.device,
        settings.simulator.sim_options,
        room=max(
            settings.evaluation.eval_freq and settings.evaluation.eval_envs,
            settings.evaluation.final_envs,
        ),
    )
    environment = PushEnvironment(task, simulator, settings.run.seed, plan.recipe.decimation)
    learner = _LEARNERS[settings.learner.learner](
        recipe=plan.recipe,
        envs=settings.environment.num_envs,
        robots=task.robots.count,
        observation_size=task.observation_size,
        action_size=ACTION_SIZE,
        angles=angle_positions(task.robots.count),
        device=environment.device,
        seed=settings.run.seed,
    )
    if source is None:
        return Parts(environment, learner, 0, 0, ())
    notes: List[str] = []
    if source.is_published:
        learner.load_weights(source.state)
        notes.append(
            f"{source.path}: has no optimiser or generator state that can be gone on from, so "
            "these begin anew"
        )
    else:
        learner.load_state_dict(source.state)
        now = settings.learner.learner
        before = source.state["config"].get("learner", now)
        if before != now:
            notes.append(
                f"{source.path}: was trained with --learner {before}, this run has "
                f"{now}: weights, optimiser and generators go on in its arithmetic"
            )
    reason = _misfit(plan, source)
    if reason:
        notes.append(f"{source.path}: {reason}, so the episodes begin anew")
    else:
        _restore(environment, source)
    return Parts(environment, learner, source.step, int(source.state.get("epoch", 0)), tuple(notes))


def expected_space(plan: Plan, parts: Parts) -> Space:
    """What the rest of the run will write, from the size of its first checkpoint."""
    settings = plan.settings
    state = capture(parts.learner, parts.environment, parts.step, parts.epoch, plan.config)
    return estimate(
        parts.step,
        settings.run.train_timesteps,
        parts.steps_per_update,
        settings.checkpointing.save_freq,
        # Adam's two moments are not there before the first update.
        len(dumps(state)) + 2 * sum(_bytes(state[name]) for name in _NETWORKS),
        retention.parse(settings.checkpointing.keep),
    )


def _bytes(weights: Mapping[str, torch.Tensor]) -> int:
    return sum(value.numel() * value.element_size() for value in weights.values())


def _misfit(plan: Plan, source: Source) -> str:
    """Why a checkpoint's episodes cannot go on under this plan; empty if they can."""
    if source.is_published:
        return "holds no episodes in flight"
    config: Dict[str, Any] = source.state["config"]
    own = plan.config
    for name in ("exp", "sim", "num_envs"):
        before, now = config.get(name), own[name]
        if before != now:
            return f"was trained with --{name} {before}, this run has {now}"
    return "was trained with other --set" if config.get(SET) != own.get(SET) else ""


def _restore(environment: PushEnvironment, source: Source) -> None:
    try:
        environment.load_state_dict(source.state["environment_state"])
    except (KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{source.path}: its environment_state does not fit this task ({error}); "
            "resume with the task and versions that wrote it"
        ) from None
