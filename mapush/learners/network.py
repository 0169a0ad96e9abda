"""The actor and the critic, laid out and named as in OpenRL's published checkpoints."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import asdict, dataclass
from typing import Any, Dict, Iterable, Mapping, Tuple

import torch
from torch import nn

from mapush.errors import CheckpointError

_ACTIVATIONS = {"relu": nn.ReLU, "elu": nn.ELU, "tanh": nn.Tanh}


@dataclass(frozen=True)
class Architecture:
    """The shape of both networks.

    Attributes:
        observation_size: length of one robot's observation.
        action_size: numbers in one robot's action.
        hidden_size: width of both hidden layers.
        activation: after the first layer: relu, elu or tanh.
        activate_second: whether the second layer has the activation too (published: no).
        angles: positions in the observation that are angles and enter as sine and cosine.
    """

    observation_size: int
    action_size: int
    hidden_size: int = 64
    activation: str = "relu"
    activate_second: bool = False
    angles: Tuple[int, ...] = ()

    @property
    def input_size(self) -> int:
        """Length of what the first layer sees."""
        return self.observation_size + len(self.angles)

    def as_dict(self) -> Dict[str, Any]:
        """Plain values for a checkpoint."""
        return {**asdict(self), "angles": list(self.angles)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Architecture:
        """The inverse of `as_dict`.

        Raises:
            CheckpointError: a field is unknown, missing or of the wrong kind.
        """
        try:
            found = cls(**{**values, "angles": tuple(int(i) for i in values.get("angles", ()))})
            sizes = (found.observation_size, found.action_size, found.hidden_size)
            if not all(isinstance(size, int) and 0 < size <= 65536 for size in sizes):
                raise ValueError(f"sizes {sizes} out of range")
            if not all(0 <= index < found.observation_size for index in found.angles):
                raise ValueError(f"angles {found.angles} out of range")
            _ACTIVATIONS[found.activation]
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            told = " ".join(f"{dict(values)} is not one mapush knows ({error}".split())
            raise CheckpointError(f"network_architecture {told:.400})") from None
        return found


def encode(observation: torch.Tensor, angles: Tuple[int, ...]) -> torch.Tensor:
    """Replace the angles of observations (..., size) by their cosine in place and sine at the end.

    An angle jumps at 2 pi where nothing in the world does; sine and cosine do not.
    """
    if not angles:
        return observation
    index = list(angles)
    turned = observation[..., index]
    out = torch.cat((observation, torch.sin(turned)), dim=-1)
    out[..., index] = torch.cos(turned)
    return out


class _Layers(nn.Module):
    """Two hidden layers, `fc1` and `fc3` in OpenRL's counting."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        activation, width = _ACTIVATIONS[shape.activation], shape.hidden_size
        second = [activation()] if shape.activate_second else []
        self.fc1 = nn.Sequential(
            nn.Linear(shape.input_size, width), activation(), nn.LayerNorm(width)
        )
        self.fc3 = nn.Sequential(nn.Linear(width, width), *second, nn.LayerNorm(width))


class _Base(nn.Module):
    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.mlp = _Layers(shape)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.mlp.fc3(self.mlp.fc1(features))


class _LogStd(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self._bias = nn.Parameter(torch.zeros(size, 1))

    @property
    def bias(self) -> nn.Parameter:
        return self._bias


class _ActionOut(nn.Module):
    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.fc_mean = nn.Linear(shape.hidden_size, shape.action_size)
        self.logstd = _LogStd(shape.action_size)


class _Act(nn.Module):
    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.action_out = _ActionOut(shape)


class Actor(nn.Module):
    """The policy: a Gaussian around a mean that depends on the observation."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.shape = shape
        self.base = _Base(shape)
        self.act = _Act(shape)

    @property
    def log_std(self) -> nn.Parameter:
        """Logarithm of the standard deviation, (action_size, 1) as published."""
        return self.act.action_out.logstd.bias

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Mean actions (..., action_size) of observations (..., observation_size)."""
        return self.act.action_out.fc_mean(self.base(encode(observation, self.shape.angles)))


class Critic(nn.Module):
    """The value of a state as one robot sees it, in the value normaliser's units."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.shape = shape
        self.base = _Base(shape)
        self.v_out = nn.Linear(shape.hidden_size, 1)

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Values (...) of observations (..., observation_size)."""
        return self.v_out(self.base(encode(observation, self.shape.angles))).squeeze(-1)


def load_weights(network: nn.Module, weights: Mapping[str, Any], what: str) -> None:
    """Load a checkpoint's weights into a network.

    Raises:
        CheckpointError: names or shapes differ; both are quoted.
    """
    check_weights(network, weights, what)
    network.load_state_dict(OrderedDict(weights))


def check_weights(network: nn.Module, weights: Mapping[str, Any], what: str) -> None:
    """Make sure that a checkpoint's weights fit a network, which may lie on the meta device.

    Raises:
        CheckpointError: names or shapes differ; both are quoted.
    """
    own = network.state_dict()
    missing, extra = own.keys() - weights.keys(), weights.keys() - own.keys()
    if missing or extra:
        raise CheckpointError(
            f"{what}: the checkpoint's parameter names differ from this network's "
            f"(missing: {_some(missing)}; unknown: {_some(extra)}); use its own task and recipe"
        )
    for name, value in own.items():
        if tuple(weights[name].shape) != tuple(value.shape):
            raise CheckpointError(
                f"{what}: {name} has shape {tuple(weights[name].shape)!s:.80} in the checkpoint "
                f"but {tuple(value.shape)} in this network; use the task it was trained on"
            )


def _some(names: Iterable[object]) -> str:
    """The first few of some names, each cut short: a file may hold any number of any length."""
    listed = sorted(str(name) for name in names)
    shown = ", ".join(f"{name:.60}" for name in listed[:3]) or "none"
    return shown if len(listed) <= 3 else f"{shown} and {len(listed) - 3} more"
