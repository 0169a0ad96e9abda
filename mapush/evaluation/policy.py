"""A checkpoint as a policy to evaluate: its actor, its task, how long it holds an action."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

import torch

from mapush.checkpoint import module, published
from mapush.environment.push import ACTION_SIZE
from mapush.errors import CheckpointError
from mapush.learner.network import Actor, Architecture, load_weights
from mapush.task import PushTask


@dataclass(frozen=True)
class LoadedPolicy:
    """Deterministic actions (envs, robots, 3) of observations (envs, robots, size).

    Attributes:
        actor: the network.
        hold: control steps for which one action is held.
        step: environment steps it was trained for.
        exp: folder under `task/` it was trained on, if the checkpoint says.
    """

    actor: Actor
    hold: int
    step: int
    exp: Optional[str]

    @torch.no_grad()
    def __call__(self, observation: torch.Tensor) -> torch.Tensor:
        """Mean actions."""
        return self.actor(observation)


def read_checkpoint(path: Path) -> Dict[str, Any]:
    """Read a `module.pt` of mapush or a published one of the original project.

    Raises:
        CheckpointError: it is missing, damaged or hostile.
    """
    return published.load(path) if module.is_published(path) else module.load(path)


def load_policy(path: Path, task: PushTask) -> LoadedPolicy:
    """Load a checkpoint's actor for a task.

    Raises:
        CheckpointError: it cannot be read, or was trained on another task; dimensions are quoted.
    """
    return build_policy(read_checkpoint(path), task, path)


def build_policy(state: Mapping[str, Any], task: PushTask, path: Path) -> LoadedPolicy:
    """The policy in a checkpoint that has been read; `path` names it in messages."""
    architecture = network_architecture(state)
    if (architecture.observation_size, architecture.action_size) != (
        task.observation_size,
        ACTION_SIZE,
    ):
        raise CheckpointError(
            f"{path}: is for observations of {architecture.observation_size} numbers and actions "
            f"of {architecture.action_size}, but {task.name} ({task.robots.count} robots) has "
            f"{task.observation_size} and {ACTION_SIZE}; name its own task with --exp"
        )
    actor = Actor(architecture)
    load_weights(actor, state["actor_network"], f"{path}: actor_network")
    config = state.get("config") or {}
    recipe = config.get("recipe_values", {})
    exp = config.get("exp")
    return LoadedPolicy(
        actor.eval(),
        hold=_hold(recipe, path),
        step=int(state["training_step"]),
        exp=exp if isinstance(exp, str) else None,
    )


def network_architecture(state: Mapping[str, Any]) -> Architecture:
    """The shape of a checkpoint's networks; a published one is read off its weights."""
    values = state["network_architecture"]
    if "hidden_sizes" not in values:
        return Architecture.from_dict(values)
    return Architecture(
        observation_size=int(values["observation_size"]),
        action_size=int(values["action_size"]),
        hidden_size=int(values["hidden_sizes"][0]),
    )


def _hold(recipe: Mapping[str, Any], path: Path) -> int:
    hold = recipe.get("hold", 1)
    if not isinstance(hold, int) or isinstance(hold, bool) or hold < 1:
        raise CheckpointError(f"{path}: its recipe holds an action for {hold!r} control steps")
    return hold
