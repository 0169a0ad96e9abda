"""OpenRL 0.2.0, imported and set up: the one place that knows its quirks.

Nothing here runs before a learner or an export asks for OpenRL.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from dataclasses import dataclass
from importlib import import_module as load
from typing import Any, Iterator, Type

import torch

from mapush.errors import RequestError
from mapush.learners.config import PPOConfig
from mapush.learners.network import Architecture

# OpenRL's list: tanh, relu, leaky relu, elu.
_ACTIVATIONS = {"tanh": 0, "relu": 1, "elu": 3}

# What its networks, algorithm and buffer read beside the recipe, as the published runs had it.
_FIXED = {
    "layer_N": 1,
    "use_orthogonal": True,
    "gain": 0.01,
    "use_feature_normalization": False,
    "use_recurrent_policy": False,
    "use_naive_recurrent_policy": False,
    "use_share_model": False,
    "use_gae": True,
    "use_huber_loss": True,
    "use_max_grad_norm": True,
    "use_valuenorm": True,
    "use_popart": False,
    "use_adv_normalize": False,
    "use_policy_active_masks": True,
    "use_value_active_masks": True,
    "use_policy_vhead": False,
    "use_joint_action_loss": False,
    # Its own handling of time limits drops the cut step; the value is added to the reward instead.
    "use_proper_time_limits": False,
    "use_linear_lr_decay": False,
    "use_amp": False,
    "use_deepspeed": False,
    "dual_clip_ppo": False,
    "recurrent_N": 1,
    "weight_decay": 0,
}


@dataclass(frozen=True)
class OpenRL:
    """The classes and functions of OpenRL that mapush uses."""

    PPOModule: Type[Any]
    PPOAlgorithm: Type[Any]
    ReplayBuffer: Type[Any]
    Box: Type[Any]
    create_config_parser: Any


def import_openrl(wanted_by: str) -> OpenRL:
    """Import OpenRL.

    Args:
        wanted_by: the option that asks for it, for the message.

    Raises:
        RequestError: it, or something it needs, is not installed; says what to install.
    """
    try:
        with _quietly():
            # Its callbacks and runners import each other; what comes first here gets through.
            load("openrl.runners.common")
            return OpenRL(
                load("openrl.modules.ppo_module").PPOModule,
                load("openrl.algorithms.ppo").PPOAlgorithm,
                load("openrl.buffers").NormalReplayBuffer,
                load("gym.spaces").Box,
                load("openrl.configs.config").create_config_parser,
            )
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise RequestError(
            f"{wanted_by}: OpenRL cannot be imported by {sys.executable} ({reason:.200}); install "
            "it with: python -m pip install -r requirements/openrl.txt"
        ) from None


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep what an import says and sets from the user's screen and from child processes.

    gym prints that it is unmaintained, treevalue warns of torch, wandb hooks itself into stdout and
    stderr, and OpenCV changes LD_LIBRARY_PATH, which a video encoder started later would obey.
    """
    before = dict(os.environ)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            with contextlib.redirect_stderr(io.StringIO()):
                yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def check_config(config: PPOConfig) -> None:
    """Refuse what OpenRL's PPO cannot do.

    Raises:
        RequestError: naming each such hyper-parameter.
    """
    wrong = [
        f"--{name} {str(value).lower()}"
        for name, value in (
            ("joint_ratio", config.joint_ratio),
            ("sample_std", config.sample_std),
            ("activate_second", config.activate_second),
        )
        if value
    ]
    if wrong:
        raise RequestError(
            f"--learner openrl: OpenRL's PPO has no {', '.join(wrong)}; give --recipe published, "
            "or false for each"
        )


def make_config(
    package: OpenRL, config: PPOConfig, envs: int, agents: int, hidden_size: int, activation: str
) -> Any:  # noqa: ANN401
    """OpenRL's settings for ours: its own defaults where nothing of ours depends on them."""
    settings = package.create_config_parser().parse_args([])
    values = {
        **_FIXED,
        "num_agents": agents,
        "n_rollout_threads": envs,
        "learner_n_rollout_threads": envs,
        "episode_length": config.rollout_steps,
        "hidden_size": hidden_size,
        "rnn_hidden_size": hidden_size,
        "activation_id": _ACTIVATIONS[activation],
        "lr": config.learning_rate,
        "critic_lr": config.learning_rate,
        "opti_eps": config.adam_epsilon,
        "gamma": config.gamma,
        "gae_lambda": config.gae_lambda,
        "ppo_epoch": config.epochs,
        "num_mini_batch": config.minibatches,
        "clip_param": config.clip,
        "use_clipped_value_loss": config.clip_value,
        "entropy_coef": config.entropy,
        "value_loss_coef": config.value_weight,
        "huber_delta": config.huber_delta,
        "max_grad_norm": config.max_grad_norm,
    }
    for name, value in values.items():
        setattr(settings, name, value)
    return settings


def make_module(
    package: OpenRL,
    settings: Any,  # noqa: ANN401
    architecture: Architecture,
    device: torch.device,
) -> Any:  # noqa: ANN401
    """OpenRL's networks, normaliser and optimisers, freshly initialised by OpenRL."""
    return package.PPOModule(
        cfg=settings,
        policy_input_space=_box(package, architecture.input_size),
        critic_input_space=_box(package, architecture.input_size),
        act_space=_box(package, architecture.action_size),
        share_model=False,
        device=device,
        rank=0,
        world_size=1,
    )


def make_buffer(package: OpenRL, settings: Any, architecture: Architecture) -> Any:  # noqa: ANN401
    """OpenRL's replay buffer; numpy arrays, whatever the networks' device."""
    return package.ReplayBuffer(
        settings,
        settings.num_agents,
        _box(package, architecture.input_size),
        _box(package, architecture.action_size),
        data_client=None,
    )


def _box(package: OpenRL, size: int) -> Any:  # noqa: ANN401
    return package.Box(low=-float("inf"), high=float("inf"), shape=(size,))
