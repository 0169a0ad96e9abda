"""Proximal policy optimisation (Schulman et al., arXiv 1707.06347), one policy for all agents."""

from __future__ import annotations

import copy
import math
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

import torch
from torch import nn

from mapush.errors import CheckpointError
from mapush.learners.config import PPOConfig
from mapush.learners.network import Actor, Architecture, Critic, load_weights
from mapush.learners.normalizer import ValueNormalizer
from mapush.learners.rollout import Rollout

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class PPOLearner:
    """The native learner; see `mapush.learners.base.Learner` for what its methods promise.

    Draws from its own generator only, so a run depends on nothing else that draws random numbers.
    """

    def __init__(
        self,
        config: PPOConfig,
        envs: int,
        agents: int,
        observation_size: int,
        action_size: int,
        angles: Tuple[int, ...],
        device: torch.device,
        seed: int,
    ) -> None:
        config.check_samples(envs, agents)
        self.config = config
        self.decimation, self.rollout_steps = config.decimation, config.rollout_steps
        self.architecture = Architecture(
            observation_size=observation_size,
            action_size=action_size,
            hidden_size=config.hidden_size,
            activation=config.activation,
            activate_second=config.activate_second,
            angles=angles if config.encode_angles else (),
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.actor = Actor(self.architecture)
            self.critic = Critic(self.architecture)
            _initialize(self.actor, head_gain=0.01)
            _initialize(self.critic, head_gain=1.0)
        self.actor.to(device)
        self.critic.to(device)
        with torch.no_grad():
            self.actor.log_std.fill_(math.log(config.initial_std))
        self.normalizer = ValueNormalizer(config.normalizer_decay, device)
        self._optimizer = torch.optim.Adam(
            [
                {"params": list(self.actor.parameters())},
                {"params": list(self.critic.parameters())},
            ],
            lr=config.learning_rate,
            eps=config.adam_epsilon,
            foreach=True,
        )
        self._generator = torch.Generator(device=device)
        self._generator.manual_seed(seed)
        self._rollout = Rollout(
            config.rollout_steps, envs, agents, observation_size, action_size, device
        )

    @torch.no_grad()
    def act(self, observation: torch.Tensor) -> torch.Tensor:
        """Sample actions and remember them with their probabilities and the states' values."""
        rollout, index = self._rollout, self._rollout.filled
        mean, log_std = self.actor(observation), self.actor.log_std.squeeze(-1)
        noise = torch.randn(mean.shape, generator=self._generator, device=mean.device)
        action = mean + log_std.exp() * noise
        rollout.observation[index] = observation
        rollout.action[index] = action
        rollout.log_probability[index] = -0.5 * noise**2 - log_std - _HALF_LOG_2PI
        rollout.prediction[index] = prediction = self.critic(observation)
        rollout.value[index] = self.normalizer.denormalize(prediction)
        return action

    @torch.no_grad()
    def step(
        self,
        reward: torch.Tensor,
        terminated: torch.Tensor,
        truncated: torch.Tensor,
        last_observation: torch.Tensor,
    ) -> None:
        """Remember what the last actions led to; a cut episode may earn its last state's value."""
        rollout, index = self._rollout, self._rollout.filled
        rollout.reward[index] = reward
        if self.config.bootstrap_timeouts and bool(truncated.any()):
            value = self.normalizer.denormalize(self.critic(last_observation[truncated]))
            rollout.reward[index, truncated] += self.config.gamma * value
        rollout.not_done[index] = (~(terminated | truncated)).float()[:, None]
        rollout.filled = index + 1

    def update(
        self, observation: torch.Tensor, progress: float, should_stop: Callable[[], bool]
    ) -> Optional[Dict[str, float]]:
        """Run the epochs of one update over the rollout."""
        config, rollout = self.config, self._rollout
        with torch.no_grad():
            value = self.normalizer.denormalize(self.critic(observation))
            advantage, returns = rollout.advantages(value, config.gamma, config.gae_lambda)
            spread = advantage.std(correction=int(config.sample_std))
            advantage = (advantage - advantage.mean()) / (spread + 1e-5)
        data = [
            rollout.observation.flatten(0, 2),
            rollout.action.flatten(0, 2),
            rollout.log_probability.flatten(0, 2),
            rollout.prediction.flatten(),
            advantage.flatten(),
            returns.flatten(),
        ]
        share = 1.0 + (config.learning_rate_end - 1.0) * min(max(progress, 0.0), 1.0)
        for group in self._optimizer.param_groups:
            group["lr"] = config.learning_rate * share
        samples = len(data[0])
        size = samples // config.minibatches
        sums: Dict[str, torch.Tensor] = {}
        for _ in range(config.epochs):
            order = torch.randperm(
                samples, generator=self._generator, device=self._generator.device
            )
            for first in range(0, samples, size):
                if should_stop():
                    return None
                part = order[first : first + size]
                for name, scalar in self._gradient_step(*(column[part] for column in data)).items():
                    sums[name] = sums.get(name, 0.0) + scalar
        rollout.filled = 0
        count = config.epochs * config.minibatches
        losses = {name: float(total) / count for name, total in sums.items()}
        losses["learning_rate"] = config.learning_rate * share
        losses["action_std"] = float(self.actor.log_std.detach().exp().mean())
        return losses

    def _gradient_step(
        self,
        observation: torch.Tensor,
        action: torch.Tensor,
        old_log_probability: torch.Tensor,
        old_prediction: torch.Tensor,
        advantage: torch.Tensor,
        returns: torch.Tensor,
    ) -> Dict[str, torch.Tensor]:
        config = self.config
        self.normalizer.update(returns)
        target = self.normalizer.normalize(returns)
        log_std = self.actor.log_std.squeeze(-1)
        distance = (action - self.actor(observation)) * (-log_std).exp()
        log_probability = -0.5 * distance**2 - log_std - _HALF_LOG_2PI
        log_ratio = log_probability - old_log_probability
        if config.joint_ratio:
            log_ratio = log_ratio.sum(dim=-1, keepdim=True)
        ratio = log_ratio.exp()
        gain = advantage[:, None]
        clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
        policy_loss = -torch.min(ratio * gain, clipped * gain).sum(dim=-1).mean()
        entropy = (log_std + 0.5 + _HALF_LOG_2PI).sum()

        value = self.critic(observation)
        value_loss = nn.functional.huber_loss(
            value, target, reduction="none", delta=config.huber_delta
        )
        if config.clip_value:
            # In the units of their time, as OpenRL does, though the normaliser has moved since.
            near = old_prediction + (value - old_prediction).clamp(-config.clip, config.clip)
            clipped_loss = nn.functional.huber_loss(
                near, target, reduction="none", delta=config.huber_delta
            )
            value_loss = torch.max(value_loss, clipped_loss)
        value_loss = value_loss.mean()

        loss = policy_loss - config.entropy * entropy + config.value_weight * value_loss
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        actor_norm = nn.utils.clip_grad_norm_(self.actor.parameters(), config.max_grad_norm)
        critic_norm = nn.utils.clip_grad_norm_(self.critic.parameters(), config.max_grad_norm)
        self._optimizer.step()
        with torch.no_grad():
            return {
                "value_loss": value_loss.detach(),
                "policy_loss": policy_loss.detach(),
                "entropy": entropy.detach(),
                "approximate_kl": (ratio - 1 - log_ratio).mean(),
                "clip_fraction": (ratio != clipped).float().mean(),
                "actor_grad_norm": actor_norm,
                "critic_grad_norm": critic_norm,
            }

    @torch.no_grad()
    def policy(self, observation: torch.Tensor) -> torch.Tensor:
        """Deterministic actions."""
        return self.actor(observation)

    def state_dict(self) -> Dict[str, Any]:
        """Weights, normaliser, optimiser and generator, under the keys of a `module.pt`.

        The tensors are the live ones: whoever keeps them past the next update copies them.
        """
        return {
            "actor_network": dict(self.actor.state_dict()),
            "critic_network": dict(self.critic.state_dict()),
            "value_normalizer": self.normalizer.state_dict(),
            "optimizer_state": self._optimizer.state_dict(),
            "network_architecture": self.architecture.as_dict(),
            "rng": {"learner": self._generator.get_state()},
        }

    def load_weights(self, state: Mapping[str, Any]) -> None:
        """Take over networks and value normaliser alone, as from a published checkpoint."""
        load_weights(self.actor, state["actor_network"], "actor_network")
        load_weights(self.critic, state["critic_network"], "critic_network")
        self.normalizer.load_state_dict(state["value_normalizer"])

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore an update boundary exactly."""
        try:
            self.load_weights(state)
            # Adam keeps the tensors it is given; the caller's must not change with training.
            self._optimizer.load_state_dict(copy.deepcopy(state["optimizer_state"]))
            self._generator.set_state(state["rng"]["learner"].cpu())
        except (KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"the checkpoint's optimiser, normaliser or generator does not fit ({error}); "
                "resume with the learner and recipe that wrote it"
            ) from None
        self._rollout.filled = 0


def _initialize(network: nn.Module, head_gain: float) -> None:
    """Orthogonal weights and zero biases; the head starts small so that first actions do."""
    linears = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    for layer in linears:
        nn.init.orthogonal_(layer.weight, math.sqrt(2.0) if layer is not linears[-1] else head_gain)
        nn.init.zeros_(layer.bias)
