"""A checkpoint as a policy to evaluate: its actor, its task, its decimation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

import torch

from mapush.checkpoint import module
from mapush.errors import CheckpointError
from mapush.learners.network import Actor, Architecture, check_weights, load_weights
from mapush.tasks.base import TaskSpec


@dataclass(frozen=True)
class LoadedPolicy:
    """Deterministic actions of observations, both (envs, agents, size).

    Attributes:
        actor: the network.
        decimation: control steps for which one action is held.
        step: environment steps it was trained for.
        exp: folder under `task/` it was trained on, if the checkpoint says.
    """

    actor: Actor
    decimation: int
    step: int
    exp: Optional[str]

    @torch.no_grad()
    def __call__(self, observation: torch.Tensor) -> torch.Tensor:
        """Mean actions."""
        return self.actor.to(observation.device)(observation)


def read_checkpoint(path: Path) -> Dict[str, Any]:
    """Read a `module.pt` of mapush or a published one of the original project.

    Raises:
        CheckpointError: it is missing, damaged or hostile.
    """
    return module.load_any(path)


def load_policy(path: Path, task: TaskSpec) -> LoadedPolicy:
    """Load a checkpoint's actor for a task.

    Raises:
        CheckpointError: it cannot be read, or was trained on another task; dimensions are quoted.
    """
    return build_policy(read_checkpoint(path), task, path)


def build_policy(state: Mapping[str, Any], task: TaskSpec, path: Path) -> LoadedPolicy:
    """The policy in a checkpoint that has been read; `path` names it in messages."""
    architecture = network_architecture(state, path)
    if (architecture.observation_size, architecture.action_size) != (
        task.observation_size,
        task.action_size,
    ):
        raise CheckpointError(
            f"{path}: is for observations of {architecture.observation_size} numbers and actions "
            f"of {architecture.action_size}, but {task.name} ({task.agents} robots) has "
            f"{task.observation_size} and {task.action_size}; name its own task with --exp"
        )
    what = f"{path}: actor_network"
    with torch.device("meta"):  # a network may claim more memory than its weights have
        check_weights(Actor(architecture), state["actor_network"], what)
    actor = Actor(architecture)
    load_weights(actor, state["actor_network"], what)
    config = state.get("config") or {}
    recipe = config.get("recipe_values", {})
    exp = config.get("exp")
    return LoadedPolicy(
        actor.eval(),
        decimation=_decimation(recipe, path),
        step=int(state["training_step"]),
        exp=exp if isinstance(exp, str) else None,
    )


def network_architecture(state: Mapping[str, Any], path: Path) -> Architecture:
    """The shape of a checkpoint's networks; a published one is read off its weights.

    Raises:
        CheckpointError: it is none that mapush knows.
    """
    values = state["network_architecture"]
    if "hidden_sizes" in values:
        try:
            values = {
                "observation_size": values["observation_size"],
                "action_size": values["action_size"],
                "hidden_size": values["hidden_sizes"][0],
            }
        except (KeyError, IndexError, TypeError) as error:
            raise CheckpointError(
                f"{path}: its network_architecture lacks a part ({error!r:.80}); name another"
            ) from None
    return Architecture.from_dict(values)


def _decimation(recipe: Mapping[str, Any], path: Path) -> int:
    hold = recipe.get("hold", 1) if isinstance(recipe, Mapping) else None
    if not isinstance(hold, int) or isinstance(hold, bool) or hold < 1:
        raise CheckpointError(f"{path}: its recipe holds an action for {hold!s:.40} control steps")
    return hold
