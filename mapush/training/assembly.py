"""Builds what a plan names, simulator, environment and learner, at a checkpoint if it has one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Tuple

import torch

from mapush.checkpoint import retention
from mapush.checkpoint.module import dumps
from mapush.environment.base import Environment
from mapush.environment.build import make_environment
from mapush.errors import CheckpointError
from mapush.learners.base import Learner
from mapush.learners.openrl import OpenRLLearner
from mapush.learners.ppo import PPOLearner
from mapush.training.loop import capture, rollout_steps
from mapush.training.plan import Plan, Source
from mapush.training.space import Space, estimate

_LEARNERS = {"native": PPOLearner, "openrl": OpenRLLearner}
_NETWORKS = ("actor_network", "critic_network")


@dataclass(frozen=True)
class Parts:
    """What the training loop works with, and what a person should know about it."""

    environment: Environment
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
    environment = make_environment(
        task,
        settings.num_envs,
        plan.simulator,
        settings.seed,
        plan.recipe.hold,
        room=max(settings.eval_freq and settings.eval_envs, settings.final_envs),
    )
    learner = _LEARNERS[settings.learner](
        recipe=plan.recipe,
        envs=settings.num_envs,
        robots=environment.agents,
        observation_size=environment.observation_size,
        action_size=environment.action_size,
        angles=environment.angles,
        device=environment.device,
        seed=settings.seed,
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
        before = source.state["config"].get("learner", settings.learner)
        if before != settings.learner:
            notes.append(
                f"{source.path}: was trained with --learner {before}, this run has "
                f"{settings.learner}: weights, optimiser and generators go on in its arithmetic"
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
        settings.train_timesteps,
        parts.steps_per_update,
        settings.save_freq,
        # Adam's two moments are not there before the first update.
        len(dumps(state)) + 2 * sum(_bytes(state[name]) for name in _NETWORKS),
        retention.parse(settings.keep),
    )


def _bytes(weights: Mapping[str, torch.Tensor]) -> int:
    return sum(value.numel() * value.element_size() for value in weights.values())


def _misfit(plan: Plan, source: Source) -> str:
    """Why a checkpoint's episodes cannot go on under this plan; empty if they can."""
    if source.is_published:
        return "holds no episodes in flight"
    config: Dict[str, Any] = source.state["config"]
    for name in ("exp", "sim", "num_envs"):
        before, now = config.get(name), getattr(plan.settings, name)
        if before != now:
            return f"was trained with --{name} {before}, this run has {now}"
    return ""


def _restore(environment: Environment, source: Source) -> None:
    try:
        environment.load_state_dict(source.state["environment_state"])
    except (KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{source.path}: its environment_state does not fit this task ({error}); "
            "resume with the task and versions that wrote it"
        ) from None
