"""Proximal policy optimisation (Schulman et al., arXiv 1707.06347), one policy for all agents."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

import torch
from torch import nn

from mapush.cores import usable_cores
from mapush.errors import CheckpointError
from mapush.learners.config import PPOConfig
from mapush.learners.descent import Descent
from mapush.learners.network import Actor, Architecture, Critic, encode, load_weights
from mapush.learners.normalizer import ValueNormalizer
from mapush.learners.rollout import Cut, Rollout
from mapush.learners.team import Team, one_torch_thread


class PPOLearner:
    """The native learner; see `mapush.learners.base.Learner` for what its methods promise.

    Draws from its own generator only, so a run depends on nothing else that draws random numbers.
    How many threads an update has changes nothing of its result.
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
        threads: int = 0,
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
        self._generator = torch.Generator(device=device)
        self._generator.manual_seed(seed)
        self._rollout = Rollout(
            config.rollout_steps, envs, agents, self.architecture.input_size, action_size, device
        )
        # A GPU computes a minibatch at once; what asks it for that is one thread.
        team = Team((threads or usable_cores()) if device.type == "cpu" else 1)
        self._team = team
        self._descent = Descent(config, self.actor, self.critic, self._rollout, team)

    @torch.no_grad()
    def act(self, observation: torch.Tensor) -> torch.Tensor:
        """Sample actions and remember them with their probabilities."""
        rollout, index = self._rollout, self._rollout.filled
        features = rollout.features[index]
        features.copy_(encode(observation, self.architecture.angles))
        mean, log_std = self._descent.mean(features.flatten(0, 1)), self._descent.log_std.view(-1)
        action = rollout.action[index]
        noise = torch.randn(action.shape, generator=self._generator, device=action.device)
        torch.addcmul(mean.view_as(action), log_std.exp(), noise, out=action)
        torch.add(-log_std, noise.square_(), alpha=-0.5, out=rollout.log_probability[index])
        return action.clone()

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
            seen = encode(last_observation[truncated], self.architecture.angles)
            rollout.cuts.append(Cut(index, truncated.clone(), seen))
        rollout.not_done[index] = (~(terminated | truncated)).float()[:, None]
        rollout.filled = index + 1

    @torch.no_grad()
    def update(
        self, observation: torch.Tensor, progress: float, should_stop: Callable[[], bool]
    ) -> Optional[Dict[str, float]]:
        """Run the epochs of one update over the rollout."""
        config, descent = self.config, self._descent
        share = 1.0 + (config.learning_rate_end - 1.0) * min(max(progress, 0.0), 1.0)
        rate = config.learning_rate * share
        with one_torch_thread():
            gathered = self._evaluate(observation)
            generator = self._generator
            for number in range(config.epochs * config.minibatches):
                if should_stop():
                    return None
                if number % config.minibatches == 0:
                    order = torch.randperm(
                        len(gathered), generator=generator, device=generator.device
                    )
                    descent.minibatches.fill(gathered, order, self.normalizer, self._team)
                descent.step(number, rate)
        self._rollout.forget()
        losses = descent.losses()
        losses["learning_rate"] = rate
        losses["action_std"] = float(descent.log_std.exp().mean())
        return losses

    def _evaluate(self, observation: torch.Tensor) -> torch.Tensor:
        """The rollout's samples, with the values that the critic gives it now."""
        config, rollout = self.config, self._rollout
        after = encode(observation, self.architecture.angles)
        seen = [rollout.features, after, *(cut.features for cut in rollout.cuts)]
        predictions = [
            rollout.prediction,
            *(each.new_empty(each.shape[:-1]) for each in seen[1:]),
        ]
        self._descent.predict(
            [each.flatten(0, -2) for each in seen], [each.view(-1) for each in predictions]
        )
        values = [self.normalizer.denormalize(each) for each in predictions]
        rollout.value.copy_(values[0])
        for cut, value in zip(rollout.cuts, values[2:]):
            rollout.reward[cut.decision, cut.envs] += config.gamma * value
        advantage, returns = rollout.advantages(values[1], config.gamma, config.gae_lambda)
        spread = advantage.std(correction=int(config.sample_std))
        advantage = (advantage - advantage.mean()) / (spread + 1e-5)
        return self._descent.minibatches.gather(advantage, returns)

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
            "optimizer_state": self._descent.optimizer.state_dict(),
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
            self._descent.optimizer.load_state_dict(state["optimizer_state"])
            self._generator.set_state(state["rng"]["learner"].cpu())
        except (KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"the checkpoint's optimiser, normaliser or generator does not fit ({error}); "
                "resume with the learner and recipe that wrote it"
            ) from None
        self._rollout.forget()


def _initialize(network: nn.Module, head_gain: float) -> None:
    """Orthogonal weights and zero biases; the head starts small so that first actions do."""
    linears = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    for layer in linears:
        nn.init.orthogonal_(layer.weight, math.sqrt(2.0) if layer is not linears[-1] else head_gain)
        nn.init.zeros_(layer.bias)
