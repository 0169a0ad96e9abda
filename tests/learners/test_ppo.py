from __future__ import annotations

from typing import Dict

import pytest
import torch

from mapush.errors import CheckpointError, RequestError
from mapush.learners import minibatch
from mapush.learners.config import RECIPES, build_ppo
from mapush.learners.ppo import PPOLearner
from mapush.training.config import EnvironmentConfig
from tests.support import differences

CPU = torch.device("cpu")
ENVS, ROBOTS, SIZE = 8, 2, 5


def learner(name: str = "default", seed: int = 1, **changes: object) -> PPOLearner:
    small = {"decisions": 16, "minibatches": 2, "epochs": 4, **changes}
    return PPOLearner(build_ppo(name, small), ENVS, ROBOTS, SIZE, 3, (4,), CPU, seed)


def roll(agent: PPOLearner, generator: torch.Generator) -> Dict[str, float]:
    """One rollout of a bandit: the reward is higher the nearer the first action is to 1."""
    nobody = torch.zeros(ENVS, dtype=torch.bool)
    for _ in range(agent.rollout_steps):
        observation = torch.randn(ENVS, ROBOTS, SIZE, generator=generator)
        action = agent.act(observation)
        reward = -((action[..., 0] - 1.0) ** 2)
        agent.step(reward, ~nobody, nobody, observation)
    losses = agent.update(observation, 0.0, lambda: False)
    assert losses is not None
    return losses


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(RECIPES))
def test_it_learns_a_bandit(name: str) -> None:
    agent, generator = learner(name), torch.Generator().manual_seed(0)
    observation = torch.randn(64, ROBOTS, SIZE, generator=generator)
    before = (agent.policy(observation)[..., 0] - 1.0).abs().mean()
    for _ in range(60):
        roll(agent, generator)
    after = (agent.policy(observation)[..., 0] - 1.0).abs().mean()
    assert after < 0.35 * before


def test_it_goes_on_exactly_from_a_state() -> None:
    first = learner()
    generator = torch.Generator().manual_seed(0)
    roll(first, generator)
    second = learner(seed=99)
    second.load_state_dict(first.state_dict())
    place = generator.get_state()
    roll(first, generator)
    generator.set_state(place)
    roll(second, generator)
    assert differences(first.state_dict(), second.state_dict()) == []


def test_nothing_else_that_draws_random_numbers_changes_it() -> None:
    states = []
    for disturbance in (0, 5):
        agent = learner()
        torch.rand(disturbance)
        roll(agent, torch.Generator().manual_seed(0))
        states.append(agent.state_dict())
    assert differences(*states) == []


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_the_number_of_threads_changes_no_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minibatch, "SHARD", 24)  # of 128 or 256 samples
    update = PPOLearner.update
    torchs = 1

    def on_more_of_torchs_threads(*arguments: object) -> object:
        before = torch.get_num_threads()
        torch.set_num_threads(torchs)
        try:
            return update(*arguments)
        finally:
            torch.set_num_threads(before)

    monkeypatch.setattr(PPOLearner, "update", on_more_of_torchs_threads)
    states = []
    for threads, torchs in ((1, 1), (2, 1), (3, 1), (8, 1), (1, 2), (3, 2)):  # noqa: B007
        recipe = build_ppo(name, {"decisions": 16, "minibatches": 2, "epochs": 4})
        agent = PPOLearner(recipe, ENVS, ROBOTS, SIZE, 3, (4,), CPU, 1, threads)
        losses = [roll(agent, torch.Generator().manual_seed(seed)) for seed in range(3)]
        states.append({**agent.state_dict(), "losses": losses})
    for state in states[1:]:
        assert differences(state, states[0]) == []


def test_shards_add_up_to_their_minibatch(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, losses = [], []
    for size in (16, 1000):
        monkeypatch.setattr(minibatch, "SHARD", size)
        agent = learner(epochs=1)
        losses.append(roll(agent, torch.Generator().manual_seed(0)))
        state = agent.state_dict()
        vectors.append(torch.cat([w.flatten() for w in state["critic_network"].values()]))
    assert torch.allclose(*vectors, atol=1e-6)
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_an_action_that_is_changed_changes_nothing_that_is_remembered() -> None:
    agent = learner()
    observation = torch.zeros(ENVS, ROBOTS, SIZE)
    action = agent.act(observation)
    kept = agent._rollout.action[0].clone()
    observation.add_(1.0)
    action.zero_()
    assert torch.equal(agent._rollout.action[0], kept)
    assert float(agent._rollout.features[0].abs().max()) == 1.0  # the cosine of 0


def test_a_cut_episode_is_worth_its_last_states_value_and_a_finished_one_is_not() -> None:
    agent = learner(decisions=1, minibatches=1)
    observation = torch.randn(ENVS, ROBOTS, SIZE, generator=torch.Generator().manual_seed(0))
    agent.act(observation)
    cut = torch.zeros(ENVS, dtype=torch.bool)
    cut[0] = True
    reward = torch.ones(ENVS, ROBOTS)
    value = agent.normalizer.denormalize(agent.critic(observation)).detach()
    agent.step(reward, ~cut, cut, observation)
    agent.update(observation, 0.0, lambda: False)
    stored = agent._rollout.reward[0]
    assert torch.allclose(stored[0], 1.0 + agent.config.gamma * value[0])
    assert torch.equal(stored[1:], reward[1:])
    assert agent._rollout.not_done.sum() == 0


@pytest.mark.parametrize("asked", [1, 3])
def test_an_update_that_is_stopped_ends_between_gradient_steps_and_raises_nothing(
    asked: int,
) -> None:
    agent, calls = learner(), []
    before = {name: value.clone() for name, value in agent.state_dict()["actor_network"].items()}

    def should_stop() -> bool:
        calls.append(None)
        return len(calls) == asked

    assert agent.update(torch.zeros(ENVS, ROBOTS, SIZE), 0.0, should_stop) is None
    assert len(calls) == asked
    after = dict(agent.state_dict()["actor_network"])
    assert bool(differences(after, before)) == (asked > 1)


def test_the_learning_rate_falls_with_progress_to_its_end() -> None:
    agent = learner(learning_rate=1e-3, learning_rate_end=0.1)
    observation = torch.zeros(ENVS, ROBOTS, SIZE)
    rates = [
        agent.update(observation, progress, lambda: False)["learning_rate"]
        for progress in (0.0, 0.5, 1.0, 2.0)
    ]
    assert rates == pytest.approx([1e-3, 5.5e-4, 1e-4, 1e-4])


def test_a_state_of_another_optimizer_is_refused() -> None:
    agent = learner()
    state = agent.state_dict()
    state["optimizer_state"] = {"state": {}, "param_groups": []}
    with pytest.raises(CheckpointError, match="does not fit"):
        learner().load_state_dict(state)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("fast", {}, "--recipe 'fast'.*default, published"),
        ("default", {"speed": 1}, "'speed'"),
        ("default", {"hold": 0}, "--decimation 0: must be a whole number, 1 or more"),
        ("default", {"clip_value": 1}, "--clip_value 1: must be true or false"),
        ("default", {"epochs": 0}, "--epochs 0: must be a whole number, 1 or more"),
        ("default", {"gamma": 1.01}, "--gamma 1.01: must be a number from 0 to 1"),
        ("default", {"clip": 0.0}, "--clip 0.0: must be a finite number greater than 0"),
        ("default", {"learning_rate": float("inf")}, "finite"),
        ("default", {"epochs": 2.5}, "--epochs 2.5: must be a whole number"),
        ("default", {"activation": "cube"}, "relu, elu, tanh"),
    ],
)
def test_a_wrong_hyper_parameter_is_refused(name: str, changes: dict, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        build_ppo(name, changes)


def test_the_default_recipes_rollouts_divide_20000_steps() -> None:
    recipe = RECIPES["default"]
    envs = EnvironmentConfig().num_envs
    assert 20_000 % (envs * recipe.rollout_steps * recipe.decimation) == 0
