"""OpenRL's networks, normaliser and optimisers, seen through the fields of a `module.pt`."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

import torch
from torch import nn

from mapush.learners.network import Actor, Architecture, Critic, check_weights
from mapush.learners.openrl_adam import Part, joint_state, load_joint_state

_NORMALIZER = ("running_mean", "running_mean_sq", "debiasing_term")


class Networks:
    """A `PPOModule` whose state is laid out as the native learner's.

    Attributes:
        module: OpenRL's `PPOModule`.
        architecture: the shape of its networks.
        normalizer: OpenRL's `ValueNorm`.
    """

    def __init__(self, module: Any, architecture: Architecture) -> None:  # noqa: ANN401
        self.module = module
        self.architecture = architecture
        self.normalizer = module.get_critic_value_normalizer()
        self._policy: nn.Module = module.models["policy"]
        self._critic: nn.Module = module.models["critic"]

    @property
    def log_std(self) -> torch.Tensor:
        """Logarithm of the actions' standard deviation, (action_size, 1)."""
        return self._policy.get_parameter("act.action_out.logstd._bias")

    def state_dict(self) -> Dict[str, Any]:
        """Weights, normaliser and optimisers; the tensors are the live ones."""
        return {
            "actor_network": dict(self._policy.state_dict()),
            "critic_network": {
                name: value
                for name, value in self._critic.state_dict().items()
                if not name.startswith("value_normalizer.")
            },
            # On a GPU these are plain tensors, which OpenRL's own state_dict leaves out.
            "value_normalizer": {
                name: getattr(self.normalizer, name).detach() for name in _NORMALIZER
            },
            "optimizer_state": joint_state(self._parts()),
            "network_architecture": self.architecture.as_dict(),
        }

    def load_weights(self, state: Mapping[str, Any]) -> None:
        """Take over networks and normaliser.

        Raises:
            CheckpointError: they are of another network.
        """
        with torch.device("meta"):
            actor, critic = Actor(self.architecture), Critic(self.architecture)
        check_weights(actor, state["actor_network"], "actor_network")
        check_weights(critic, state["critic_network"], "critic_network")
        self._policy.load_state_dict(dict(state["actor_network"]))
        # Not strict, for OpenRL counts the normaliser among the critic's parameters on a CPU.
        self._critic.load_state_dict(dict(state["critic_network"]), strict=False)
        with torch.no_grad():
            for name in _NORMALIZER:
                getattr(self.normalizer, name).copy_(state["value_normalizer"][name])

    def load_optimizers(self, state: Mapping[str, Any]) -> None:
        """Take over the moments of both Adams.

        Raises:
            ValueError: they are of other parameters; KeyError, TypeError or AttributeError: they
                are none.
        """
        load_joint_state(self._parts(), state["optimizer_state"])

    def set_learning_rate(self, rate: float) -> None:
        """Set the rate of both Adams."""
        for optimizer in self.module.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate

    def _parts(self) -> List[Part]:
        with torch.device("meta"):
            shapes = {"policy": Actor(self.architecture), "critic": Critic(self.architecture)}
        return [
            (
                self.module.optimizers[key],
                [self.module.models[key].get_parameter(name) for name, _ in net.named_parameters()],
            )
            for key, net in shapes.items()
        ]
