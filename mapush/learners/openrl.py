"""OpenRL's own networks, PPO and replay buffer as a learner that can be interrupted anywhere."""

from __future__ import annotations

import contextlib
import math
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Tuple

import numpy as np
import torch

from mapush.errors import CheckpointError
from mapush.learners.config import PPOConfig
from mapush.learners.network import Architecture, encode
from mapush.learners.openrl_networks import Networks
from mapush.learners.openrl_package import (
    check_config,
    import_openrl,
    make_buffer,
    make_config,
    make_module,
)


class OpenRLLearner:
    """The published learner; see `mapush.learners.base.Learner` for what its methods promise.

    OpenRL draws from torch's global generators. They are set to this learner's own state before
    each piece of its work and back afterwards, so a run depends on nothing else that draws from
    them. On the CPU the draws are those of the native learner: from the same state both choose
    the same actions and the same minibatches.

    The state has the native learner's layout, with the moments of OpenRL's two Adams in one dict,
    so that either learner resumes from the other's checkpoints.
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
        check_config(config)
        config.check_samples(envs, agents)
        self.config = config
        self.decimation, self.rollout_steps = config.decimation, config.rollout_steps
        self.architecture = Architecture(
            observation_size=observation_size,
            action_size=action_size,
            hidden_size=config.hidden_size,
            activation=config.activation,
            angles=angles if config.encode_angles else (),
        )
        package = import_openrl("--learner openrl")
        settings = make_config(package, config, envs, agents, config.hidden_size, config.activation)
        self._shape = (envs, agents)
        self._device = device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.module = make_module(package, settings, self.architecture, device)
        self._networks = Networks(self.module, self.architecture)
        self._normalizer = self._networks.normalizer
        self._normalizer.beta = config.normalizer_decay
        with torch.no_grad():
            self._networks.log_std.fill_(math.log(config.initial_std))
        self._algorithm = _stoppable(package.PPOAlgorithm)(
            settings, self.module, agent_num=agents, device=device
        )
        self._buffer = make_buffer(package, settings, self.architecture)
        # What the last decision led to; OpenRL's buffer takes it with the observation after it.
        self._pending: Optional[Dict[str, np.ndarray]] = None
        self._rng = {"learner": torch.Generator().manual_seed(seed).get_state()}
        if device.type == "cuda":
            generator = torch.Generator(device=device)
            generator.manual_seed(seed)
            self._rng["learner_cuda"] = generator.get_state()

    @torch.no_grad()
    def act(self, observation: torch.Tensor) -> torch.Tensor:
        """Sample actions as OpenRL's driver does; what they lead to is remembered by `step`."""
        seen = self._seen(observation)
        if self._pending is None:
            self._buffer.init_buffer(seen)
        else:
            self._insert(seen)
        data, step = self._buffer.data, self._buffer.data.step
        self._algorithm.prep_rollout()
        with self._own_random():
            values, actions, log_probabilities, _, _ = self.module.get_actions(
                *(
                    data.get_batch_data(name, step)
                    for name in (
                        *("critic_obs", "policy_obs"),
                        *("rnn_states", "rnn_states_critic", "masks"),
                    )
                )
            )
        self._pending = {
            "actions": self._array(actions),
            "action_log_probs": self._array(log_probabilities),
            "value_preds": self._array(values),
        }
        return actions.reshape(*self._shape, -1)

    @torch.no_grad()
    def step(
        self,
        reward: torch.Tensor,
        terminated: torch.Tensor,
        truncated: torch.Tensor,
        last_observation: torch.Tensor,
    ) -> None:
        """Remember what the last actions led to; a cut episode may earn its last state's value."""
        if self._pending is None:
            raise RuntimeError("step() without act() before it")
        rewards = reward.cpu().numpy()[..., None].copy()
        if self.config.bootstrap_timeouts and bool(truncated.any()):
            values = self._values(self._seen(last_observation[truncated]))
            rewards[truncated.cpu().numpy()] += self.config.gamma * values
        not_done = (~(terminated | truncated)).float().cpu().numpy()
        masks = np.broadcast_to(not_done[:, None, None], (*self._shape, 1))
        self._pending.update(rewards=rewards, masks=masks)

    def update(
        self, observation: torch.Tensor, progress: float, should_stop: Callable[[], bool]
    ) -> Optional[Dict[str, float]]:
        """Run OpenRL's epochs over its buffer."""
        share = 1.0 + (self.config.learning_rate_end - 1.0) * min(max(progress, 0.0), 1.0)
        rate = self.config.learning_rate * share
        self._networks.set_learning_rate(rate)
        if self._pending is not None:
            self._insert(self._seen(observation))
            self._pending = None
        self._algorithm.prep_rollout()
        data = self._buffer.data
        with torch.no_grad():
            next_values = self._array(
                self.module.get_values(
                    data.get_batch_data("critic_obs", -1),
                    data.get_batch_data("rnn_states_critic", -1),
                    data.get_batch_data("masks", -1),
                )
            )
        self._buffer.compute_returns(next_values, self._normalizer)
        self._algorithm.prep_training()
        self._algorithm.begin(should_stop)
        with self._own_random():
            told = self._algorithm.train(data)
        if self._algorithm.is_stopped:
            return None
        self._buffer.after_update()
        return {
            "value_loss": float(told["value_loss"]),
            "policy_loss": float(told["policy_loss"]),
            "entropy": float(told["dist_entropy"]),
            "ratio": float(told["ratio"]),
            "actor_grad_norm": float(told["actor_grad_norm"]),
            "critic_grad_norm": float(told["critic_grad_norm"]),
            "learning_rate": rate,
            "action_std": float(self._networks.log_std.detach().exp().mean()),
        }

    @torch.no_grad()
    def policy(self, observation: torch.Tensor) -> torch.Tensor:
        """Deterministic actions of OpenRL's policy network."""
        seen = encode(observation, self.architecture.angles).flatten(0, -2)
        none = torch.zeros(0)
        actions, _ = self.module.act(seen, none, none, deterministic=True)
        return actions.reshape(*observation.shape[:-1], -1)

    def state_dict(self) -> Dict[str, Any]:
        """Weights, normaliser, optimisers and generators, under the keys of a `module.pt`.

        Nothing of the buffer matters at an update boundary: it is filled anew from its first row.
        The tensors are the live ones: whoever keeps them past the next update copies them.
        """
        return {**self._networks.state_dict(), "rng": dict(self._rng)}

    def load_weights(self, state: Mapping[str, Any]) -> None:
        """Take over networks and value normaliser alone, as from a published checkpoint."""
        self._networks.load_weights(state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore an update boundary exactly, also one of the native learner on the CPU."""
        try:
            self.load_weights(state)
            self._networks.load_optimizers(state)
            rng = {name: state["rng"][name].cpu() for name in self._rng}
            for name, value in rng.items():
                # Refuses what is no generator's state.
                kind = "cuda" if name == "learner_cuda" else "cpu"
                torch.Generator(device=kind).set_state(value)
            self._rng = rng
        except (KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
            raise CheckpointError(
                "the checkpoint's optimiser, normaliser or generator does not fit "
                f"({' '.join(str(error).split()):.200}); resume with the learner and recipe that "
                "wrote it"
            ) from None
        self._buffer.data.step = 0
        self._pending = None

    def _seen(self, observation: torch.Tensor) -> np.ndarray:
        return encode(observation, self.architecture.angles).cpu().numpy()

    def _array(self, batch: torch.Tensor) -> np.ndarray:
        """A batch of all robots as (envs, robots, size)."""
        return batch.detach().cpu().numpy().reshape(*self._shape, -1)

    def _values(self, seen: np.ndarray) -> np.ndarray:
        """Values (..., 1) in rewards' units of states that the networks see as (..., size)."""
        none = torch.zeros(0)
        values = self.module.get_values(seen.reshape(-1, seen.shape[-1]), none, none)
        return self._normalizer.denormalize(values).reshape(*seen.shape[:-1], 1)

    def _insert(self, seen: np.ndarray) -> None:
        if self._pending is None or "rewards" not in self._pending:
            raise RuntimeError("act() or update() without step() before it")
        self._buffer.insert(seen, None, None, **self._pending)

    @contextlib.contextmanager
    def _own_random(self) -> Iterator[None]:
        """Let this learner's generators be the global ones, which OpenRL draws from."""
        cuda = "learner_cuda" in self._rng
        with torch.random.fork_rng(devices=[self._device] if cuda else []):
            torch.set_rng_state(self._rng["learner"])
            if cuda:
                torch.cuda.set_rng_state(self._rng["learner_cuda"], self._device)
            try:
                yield
            finally:
                self._rng["learner"] = torch.get_rng_state()
                if cuda:
                    self._rng["learner_cuda"] = torch.cuda.get_rng_state(self._device)


def _stoppable(algorithm: Any) -> Any:  # noqa: ANN401
    """OpenRL's algorithm, but asking between gradient steps whether to stop.

    It has no more samples then, so that its own loops over them come to their end.
    """

    class Stoppable(algorithm):
        def begin(self, should_stop: Callable[[], bool]) -> None:
            self.is_stopped = False
            self._should_stop = should_stop

        def get_data_generator(self, buffer: Any, advantages: Any) -> Iterator[Any]:  # noqa: ANN401
            samples = super().get_data_generator(buffer, advantages)
            while not self._stops_now():
                sample = next(samples, None)
                if sample is None:
                    return
                yield sample

        def _stops_now(self) -> bool:
            self.is_stopped = self.is_stopped or self._should_stop()
            return self.is_stopped

    return Stoppable
