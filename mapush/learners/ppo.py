"""Proximal policy optimisation (Schulman et al., arXiv 1707.06347), one policy for all agents."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import nn

from mapush.cores import usable_cores
from mapush.errors import CheckpointError
from mapush.learners.adam import FlatAdam
from mapush.learners.config import PPOConfig
from mapush.learners.descent import Descent
from mapush.learners.flat import FlatNetwork
from mapush.learners.losses import PolicyLoss, ValueLoss
from mapush.learners.minibatch import Minibatches, shard
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
        self._team = Team((threads or usable_cores()) if device.type == "cpu" else 1)
        self._minibatches = Minibatches(self._rollout, config.minibatches)
        networks = [FlatNetwork(self.actor), FlatNetwork(self.critic)]
        self._optimizer = FlatAdam(networks, config.learning_rate, config.adam_epsilon)
        log_std, size = networks[0].tensors[-1], self._minibatches.size
        shards = len(self._minibatches.shards[0])
        losses = (
            PolicyLoss(config, log_std, size, shards),
            ValueLoss(config, log_std, size, shards),
        )
        self._actor, self._critic = (
            Descent(
                config,
                self.architecture,
                network,
                loss,
                self._minibatches,
                partial(self._optimizer.descend, index),
            )
            for index, (network, loss) in enumerate(zip(networks, losses))
        )

    @torch.no_grad()
    def act(self, observation: torch.Tensor) -> torch.Tensor:
        """Sample actions and remember them with their probabilities."""
        rollout, index = self._rollout, self._rollout.filled
        features, action = rollout.features[index], rollout.action[index]
        features.copy_(encode(observation, self.architecture.angles))
        mean = self._actor.output(features.flatten(0, 1)).t()
        log_std = self.actor.log_std[:, 0]
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
        config = self.config
        share = 1.0 + (config.learning_rate_end - 1.0) * min(max(progress, 0.0), 1.0)
        rate = config.learning_rate * share
        self._optimizer.set_learning_rate(rate)
        with one_torch_thread():
            self._finish_rollout(observation)
            for number in range(config.epochs * config.minibatches):
                if should_stop():
                    return None
                if number % config.minibatches == 0:
                    self._shuffle()
                self._gradient_step(number)
        self._rollout.forget()
        return {
            **self._actor.losses(),
            **self._critic.losses(),
            "actor_grad_norm": self._actor.gradient_norm(),
            "critic_grad_norm": self._critic.gradient_norm(),
            "learning_rate": rate,
            "action_std": float(self.actor.log_std.exp().mean()),
        }

    def _finish_rollout(self, observation: torch.Tensor) -> None:
        """Compute what follows from the rollout; the critic is still that of its time."""
        config, rollout = self.config, self._rollout
        last = encode(observation, self.architecture.angles)
        ends = [last, *(cut.features for cut in rollout.cuts)]
        seen = (rollout.features.flatten(0, 2), torch.cat([end.flatten(0, 1) for end in ends]))
        predictions = self._predict(seen)
        rollout.prediction.view(-1).copy_(predictions[0])
        values = [self.normalizer.denormalize(prediction) for prediction in predictions]
        rollout.value.view(-1).copy_(values[0])
        after, *cuts = values[1].view(-1, last.shape[1]).split([len(end) for end in ends])
        for cut, value in zip(rollout.cuts, cuts):
            rollout.reward[cut.decision, cut.envs] += config.gamma * value
        advantage, returns = rollout.advantages(after, config.gamma, config.gae_lambda)
        spread = advantage.std(correction=int(config.sample_std))
        advantage = (advantage - advantage.mean()) / (spread + 1e-5)
        self._minibatches.take(advantage, returns)

    def _predict(self, features: Sequence[torch.Tensor]) -> List[torch.Tensor]:
        """The critic's values (n,) in its own units for batches of features (n, size)."""
        values = [batch.new_empty(len(batch)) for batch in features]

        def predict(seen: torch.Tensor, out: torch.Tensor) -> None:
            out.copy_(self._critic.output(seen)[0])

        self._team.run(
            [
                partial(predict, batch[begin:end], out[begin:end])
                for batch, out in zip(features, values)
                for begin, end in shard(len(batch), batch.device)
            ]
        )
        return values

    def _shuffle(self) -> None:
        generator = self._generator
        samples = self._rollout.reward.numel()
        order = torch.randperm(samples, generator=generator, device=generator.device)
        self._minibatches.shuffle(order, self.normalizer, self._team)

    def _gradient_step(self, number: int) -> None:
        # The actor's pieces take longer, so they come first.
        self._team.run([*self._actor.pieces(number), *self._critic.pieces(number)])

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
            self._optimizer.load_state_dict(state["optimizer_state"])
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
