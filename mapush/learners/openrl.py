"""OpenRL's own networks, PPO and replay buffer as a learner that can be interrupted anywhere."""

from __future__ import annotations

import contextlib
import math
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Tuple

import numpy as np
import torch

from mapush.errors import CheckpointError, RequestError
from mapush.learners.config import PPOConfig
from mapush.learners.network import Architecture, encode
from mapush.learners.openrl_networks import Networks
from mapush.learners.openrl_package import (
    check_recipe,
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
    so that either learner goes on from the other's checkpoints.
    """

    def __init__(
        self,
        recipe: PPOConfig,
        envs: int,
        robots: int,
        observation_size: int,
        action_size: int,
        angles: Tuple[int, ...],
        device: torch.device,
        seed: int,
    ) -> None:
        check_recipe(recipe)
        samples = recipe.rollout_steps * envs * robots
        if samples % recipe.minibatches:
            raise RequestError(
                f"--minibatches {recipe.minibatches}: must divide the {samples} samples of a "
                f"rollout ({recipe.rollout_steps} decisions x {envs} environments x "
                f"{robots} robots)"
            )
        self.recipe = recipe
        self.hold, self.decisions = recipe.decimation, recipe.rollout_steps
        self.architecture = Architecture(
            observation_size=observation_size,
            action_size=action_size,
            hidden_size=recipe.hidden_size,
            activation=recipe.activation,
            angles=angles if recipe.encode_angles else (),
        )
        package = import_openrl("--learner openrl")
        config = make_config(package, recipe, envs, robots, recipe.hidden_size, recipe.activation)
        self._shape = (envs, robots)
        self._device = device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.module = make_module(package, config, self.architecture, device)
        self._networks = Networks(self.module, self.architecture)
        self._normalizer = self._networks.normalizer
        self._normalizer.beta = recipe.normalizer_decay
        with torch.no_grad():
            self._networks.log_std.fill_(math.log(recipe.initial_std))
        self._check: Callable[[], None] = lambda: None
        self._algorithm = _interruptible(package.PPOAlgorithm, self._stop_if_asked)(
            config, self.module, agent_num=robots, device=device
        )
        self._buffer = make_buffer(package, config, self.architecture)
        # What the last decision led to; OpenRL's buffer takes it with the observation after it.
        self._pending: Optional[Dict[str, np.ndarray]] = None
        self._rng = {"learner": torch.Generator().manual_seed(seed).get_state()}
        if device.type == "cuda":
            generator = torch.Generator(device=device)
            generator.manual_seed(seed)
            self._rng["learner_cuda"] = generator.get_state()

    @torch.no_grad()
    def act(self, observation: torch.Tensor) -> torch.Tensor:
        """Sample actions as OpenRL's driver does; what they lead to is remembered by `record`."""
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
    def record(
        self,
        reward: torch.Tensor,
        terminated: torch.Tensor,
        truncated: torch.Tensor,
        last_observation: torch.Tensor,
    ) -> None:
        """Remember what the last actions led to; a cut episode may earn its last state's value."""
        if self._pending is None:
            raise RuntimeError("record() without act() before it")
        rewards = reward.cpu().numpy()[..., None].copy()
        if self.recipe.bootstrap_timeouts and bool(truncated.any()):
            values = self._values(self._seen(last_observation[truncated]))
            rewards[truncated.cpu().numpy()] += self.recipe.gamma * values
        ongoing = (~(terminated | truncated)).float().cpu().numpy()
        masks = np.broadcast_to(ongoing[:, None, None], (*self._shape, 1))
        self._pending.update(rewards=rewards, masks=masks)

    def update(
        self, observation: torch.Tensor, progress: float, check: Callable[[], None]
    ) -> Dict[str, float]:
        """Run OpenRL's epochs over its buffer."""
        share = 1.0 + (self.recipe.learning_rate_end - 1.0) * min(max(progress, 0.0), 1.0)
        rate = self.recipe.learning_rate * share
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
        self._check = check
        try:
            with self._own_random():
                told = self._algorithm.train(data)
        finally:
            self._check = lambda: None
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

    def _stop_if_asked(self) -> None:
        self._check()

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
            raise RuntimeError("act() or update() without record() before it")
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


def _interruptible(algorithm: Any, check: Callable[[], None]) -> Any:  # noqa: ANN401
    """OpenRL's algorithm, but asking before each gradient step whether to stop."""

    class Interruptible(algorithm):
        def ppo_update(self, sample: Any, turn_on: bool = True) -> Any:  # noqa: ANN401
            check()
            return super().ppo_update(sample, turn_on)

    return Interruptible
