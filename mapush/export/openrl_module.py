"""A checkpoint as the pickled module that OpenRL's own `agent.load` takes."""

from __future__ import annotations

import io
from typing import Any, Tuple

import torch

from mapush.errors import CheckpointError, RequestError
from mapush.export.selection import Source
from mapush.learners.config import PPOConfig, build_ppo
from mapush.learners.network import encode
from mapush.learners.openrl_networks import Networks
from mapush.learners.openrl_package import import_openrl, make_config, make_module


def make_openrl(source: Source) -> Tuple[bytes, Any]:
    """OpenRL's `PPOModule` with a checkpoint's networks, normaliser, optimisers and settings.

    Returns:
        The bytes, and how to compute actions of observations (n, size) with what they hold.

    Raises:
        RequestError: OpenRL is not installed, or has no such network.
        CheckpointError: the checkpoint's settings cannot be read.
    """
    state, path = source.state, source.path
    if "rng" not in state:
        raise RequestError(f"{path}: is OpenRL's own already; give it to agent.load as it is")
    package = import_openrl("--format openrl")
    shape = source.policy.actor.shape
    if shape.activate_second:
        raise RequestError(
            f"{path}: was trained with --activate_second true, which OpenRL's networks do not have"
        )
    config, recipe = state["config"], _recipe(source)
    envs, robots = config.get("num_envs"), source.task.robots.count
    if not isinstance(envs, int) or envs < 1:
        raise CheckpointError(f"{path}: its config has num_envs {envs!s:.40}; name another")
    settings = make_config(package, recipe, envs, robots, shape.hidden_size, shape.activation)
    settings.seed = config.get("seed", settings.seed)
    settings.experiment_name = str(config.get("exp_name", ""))
    with torch.random.fork_rng(devices=[]):
        module = make_module(package, settings, shape, torch.device("cpu"))
    networks = Networks(module, shape)
    try:
        networks.load_weights(state)
        networks.load_optimizers(state)
        networks.normalizer.beta = recipe.normalizer_decay
        networks.set_learning_rate(float(state["optimizer_state"]["param_groups"][0]["lr"]))
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        told = " ".join(str(error).split())
        raise CheckpointError(
            f"{path}: its optimiser or normaliser does not fit its networks ({told:.200}); "
            "name another"
        ) from None
    buffer = io.BytesIO()
    torch.save(module, buffer)
    data = buffer.getvalue()
    # Executes pickled code, which is harmless here: these bytes were made two lines above.
    loaded = torch.load(io.BytesIO(data), weights_only=False)

    def run(observation: torch.Tensor) -> torch.Tensor:
        none = torch.zeros(0)
        seen = encode(observation, shape.angles)
        with torch.no_grad():
            return loaded.act(seen, none, none, deterministic=True)[0]

    return data, run


def _recipe(source: Source) -> PPOConfig:
    config = source.state["config"]
    try:
        return build_ppo(str(config.get("recipe")), dict(config["recipe_values"]))
    except (RequestError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{source.path}: its recipe cannot be used: {error}") from None
