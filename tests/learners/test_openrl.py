from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple, Union

import pytest
import torch

from mapush.checkpoint import published
from mapush.checkpoint.archive import read_archive
from mapush.checkpoint.inert import build
from mapush.errors import CheckpointError, RequestError
from mapush.learners.config import RECIPES, build_ppo
from mapush.learners.network import Actor, Architecture
from mapush.learners.openrl import OpenRLLearner
from mapush.learners.openrl_package import import_openrl, make_config
from mapush.learners.ppo import PPOLearner
from tests.support import PROJECT, differences, without_openrl

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(without_openrl()), reason=without_openrl()),
]

CPU = torch.device("cpu")
ENVS, ROBOTS, SIZE = 10, 2, 8
TOLERANCE = 1e-5  # the promise; what differs is the order of sums, some 1e-7
PUBLISHED = PROJECT.parent / "shared" / "reference" / "checkpoints"

Learner = Union[PPOLearner, OpenRLLearner]


def learner(kind: type, seed: int = 1, **changes: object) -> Any:
    small = {"decisions": 20, "epochs": 4, **changes}
    recipe = build_ppo("published", small)
    return kind(recipe, ENVS, ROBOTS, SIZE, 3, (4, 7), CPU, seed)


def roll(agent: Learner, seed: int = 0, progress: float = 0.3) -> Dict[str, float]:
    """One rollout in which episodes end in both ways, and the update that follows."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(agent.rollout_steps):
        observation = torch.randn(ENVS, ROBOTS, SIZE, generator=generator)
        reward = 3.0 - (agent.act(observation)[..., 0] - 1.0) ** 2
        chance = torch.rand(ENVS, generator=generator)
        terminated, truncated = chance < 0.05, (chance > 0.05) & (chance < 0.15)
        agent.step(reward, terminated, truncated, observation + 0.1)
    observation = torch.randn(ENVS, ROBOTS, SIZE, generator=generator)
    losses = agent.update(observation, progress, lambda: False)
    assert losses is not None
    return losses


def distance(first: Learner, second: Learner) -> float:
    """The largest difference between any two weights or normaliser's moments."""
    one, other = first.state_dict(), second.state_dict()
    return max(
        float((one[part][name] - other[part][name]).abs().max())
        for part in ("actor_network", "critic_network", "value_normalizer")
        for name in one[part]
    )


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="published"),
        pytest.param({"minibatches": 4}, id="minibatches"),
        pytest.param({"bootstrap_timeouts": True}, id="bootstrap"),
        pytest.param({"clip_value": False, "max_grad_norm": 0.1}, id="no-value-clip-small-norm"),
        pytest.param({"learning_rate_end": 0.1, "entropy": 0.1}, id="schedule-and-entropy"),
        pytest.param({"huber_delta": 0.1, "clip": 0.01}, id="beyond-huber-and-clip"),
        pytest.param(
            {"encode_angles": True, "activation": "elu", "initial_std": 0.5}, id="networks"
        ),
        pytest.param(
            {"normalizer_decay": 0.9, "gamma": 0.9, "gae_lambda": 0.5, "value_weight": 2.0},
            id="values",
        ),
    ],
)
def test_both_learners_make_the_same_of_one_rollout(changes: Dict[str, object]) -> None:
    ours, theirs = learner(PPOLearner, **changes), learner(OpenRLLearner, **changes)
    ours.load_state_dict(theirs.state_dict())
    before = learner(OpenRLLearner, **changes)
    losses, expected = roll(ours), roll(theirs)
    assert distance(theirs, before) > 1e-3
    assert distance(ours, theirs) < TOLERANCE
    shared = losses.keys() & expected.keys()
    assert {"value_loss", "policy_loss", "entropy", "actor_grad_norm"} <= shared
    for name in shared:
        assert losses[name] == pytest.approx(expected[name], abs=TOLERANCE), name


def test_the_learners_stay_together_over_many_updates() -> None:
    ours, theirs = learner(PPOLearner, minibatches=2), learner(OpenRLLearner, minibatches=2)
    ours.load_state_dict(theirs.state_dict())
    for seed in range(8):
        roll(ours, seed)
        roll(theirs, seed)
    assert distance(ours, theirs) < TOLERANCE
    assert torch.equal(ours.state_dict()["rng"]["learner"], theirs.state_dict()["rng"]["learner"])


@pytest.mark.parametrize(
    ("first", "second"), [(PPOLearner, OpenRLLearner), (OpenRLLearner, PPOLearner)]
)
def test_either_learner_goes_on_from_the_others_state(first: type, second: type) -> None:
    one, other = learner(first), learner(second, seed=99)
    roll(one)
    other.load_state_dict(one.state_dict())
    assert distance(one, other) == 0.0
    roll(one, seed=1)
    roll(other, seed=1)
    assert distance(one, other) < TOLERANCE
    assert differences(_layout(one.state_dict()), _layout(other.state_dict())) == []


def _layout(value: Any) -> Any:
    """A state without its numbers and the options of its optimiser."""
    if isinstance(value, dict):
        return {key: _layout(each) for key, each in value.items() if key != "param_groups"}
    return tuple(value.shape) if isinstance(value, torch.Tensor) else value


def test_it_goes_on_exactly_from_a_state() -> None:
    first = learner(OpenRLLearner, minibatches=2)
    roll(first)
    second = learner(OpenRLLearner, minibatches=2, seed=99)
    second.act(torch.zeros(ENVS, ROBOTS, SIZE))  # a rollout in hand is forgotten
    second.load_state_dict(first.state_dict())
    losses = [roll(agent, seed=1) for agent in (first, second)]
    assert differences(first.state_dict(), second.state_dict()) == []
    assert losses[0] == losses[1]


def test_a_state_that_was_loaded_does_not_change_with_training() -> None:
    first = learner(OpenRLLearner)
    roll(first)
    kept = {k: v.clone() for k, v in first.state_dict()["optimizer_state"]["state"][0].items()}
    state = first.state_dict()
    second = learner(OpenRLLearner)
    second.load_state_dict(state)
    roll(second)
    assert differences(dict(state["optimizer_state"]["state"][0]), kept) == []


def test_nothing_else_that_draws_random_numbers_changes_it_nor_is_changed() -> None:
    states, places = [], []
    for disturbance in (0, 5):
        torch.manual_seed(7)
        agent = learner(OpenRLLearner)
        torch.rand(disturbance)
        before = torch.get_rng_state()
        roll(agent)
        places.append(torch.equal(before, torch.get_rng_state()))
        states.append(agent.state_dict())
    assert differences(*states) == []
    assert places == [True, True]


def test_its_deterministic_policy_is_that_of_its_checkpoint() -> None:
    agent = learner(OpenRLLearner, encode_angles=True)
    roll(agent)
    state = agent.state_dict()
    actor = Actor(Architecture.from_dict(state["network_architecture"]))
    actor.load_state_dict(state["actor_network"])
    observation = torch.randn(5, ROBOTS, SIZE, generator=torch.Generator().manual_seed(3))
    assert torch.allclose(agent.policy(observation), actor(observation), atol=1e-6)


@pytest.mark.parametrize("asked", [1, 3])
def test_an_update_that_is_stopped_ends_between_gradient_steps_and_raises_nothing(
    asked: int,
) -> None:
    agent, calls = learner(OpenRLLearner), []
    before = {name: value.clone() for name, value in agent.state_dict()["actor_network"].items()}

    def should_stop() -> bool:
        calls.append(None)
        return len(calls) == asked

    assert agent.update(torch.zeros(ENVS, ROBOTS, SIZE), 0.0, should_stop) is None
    assert len(calls) == asked
    after = dict(agent.state_dict()["actor_network"])
    assert bool(differences(after, before)) == (asked > 1)


def test_the_learning_rate_falls_with_progress_to_its_end() -> None:
    agent = learner(OpenRLLearner, learning_rate=1e-3, learning_rate_end=0.1)
    rates = [roll(agent, progress=at)["learning_rate"] for at in (0.0, 0.5, 1.0, 2.0)]
    assert rates == pytest.approx([1e-3, 5.5e-4, 1e-4, 1e-4])


def damaged(state: Dict[str, Any], how: str) -> Dict[str, Any]:
    state = {**state, "optimizer_state": dict(state["optimizer_state"])}
    optimizer = state["optimizer_state"]
    if how == "no moments":
        optimizer.update(state={}, param_groups=[])
    elif how == "moments of another network":
        moments = {key: dict(value) for key, value in optimizer["state"].items()}
        moments[0]["exp_avg"] = torch.zeros(1)
        optimizer["state"] = moments
    elif how == "no generator":
        state["rng"] = {}
    elif how == "a generator that is none":
        state["rng"] = {"learner": torch.zeros(3, dtype=torch.uint8)}
    elif how == "no normaliser":
        state["value_normalizer"] = {}
    return state


@pytest.mark.parametrize(
    "how",
    [
        "no moments",
        "moments of another network",
        "no generator",
        "a generator that is none",
        "no normaliser",
    ],
)
def test_a_state_that_does_not_fit_is_refused(how: str) -> None:
    agent = learner(OpenRLLearner)
    roll(agent)
    with pytest.raises(CheckpointError, match="does not fit"):
        learner(OpenRLLearner).load_state_dict(damaged(agent.state_dict(), how))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"joint_ratio": True}, "no --joint_ratio true; give --recipe published"),
        ({"activate_second": True, "sample_std": True}, "--sample_std true, --activate_second"),
        ({"minibatches": 3}, "--minibatches 3: must divide the 400 samples"),
    ],
)
def test_what_openrl_cannot_do_is_refused(changes: Dict[str, object], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        learner(OpenRLLearner, **changes)


@pytest.mark.parametrize("missing", ["openrl", "pettingzoo"])
def test_where_openrl_is_missing_it_is_said_what_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("openrl", missing)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(RequestError, match=f"{missing}.*requirements/openrl.txt") as caught:
        learner(OpenRLLearner)
    assert "\n" not in str(caught.value)


def test_importing_openrl_leaves_the_process_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    program = (
        "import os, sys, warnings\n"
        "from mapush.learners.openrl_package import import_openrl\n"
        "assert not {'openrl', 'gym', 'wandb', 'cv2'} & set(sys.modules)\n"
        "before = dict(os.environ), sys.stdout.write, sys.stderr.write, list(warnings.filters)\n"
        "import_openrl('the test')\n"
        "assert {'openrl', 'gym'} <= set(sys.modules)\n"
        "after = dict(os.environ), sys.stdout.write, sys.stderr.write, list(warnings.filters)\n"
        "print([one == other for one, other in zip(before, after)])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.strip() == "[True, True, True, True]"


def published_modules() -> List[Path]:
    return sorted(PUBLISHED.glob("*/rl_model_100000000_steps/module.pt"))


needs_published = pytest.mark.skipif(
    not published_modules(), reason="the published checkpoints are not here (../shared)"
)


@needs_published
def test_the_settings_are_those_of_the_published_runs() -> None:
    root: Any = build(read_archive(published_modules()[0]))
    theirs = root.state["cfg"].state
    package, recipe = import_openrl("the test"), RECIPES["published"]
    ours = vars(make_config(package, recipe, 500, 2, 64, "relu"))
    read: Tuple[str, ...] = (
        *("gamma", "gae_lambda", "ppo_epoch", "num_mini_batch", "clip_param", "entropy_coef"),
        *("value_loss_coef", "huber_delta", "max_grad_norm", "lr", "critic_lr", "opti_eps"),
        *("weight_decay", "episode_length", "hidden_size", "activation_id", "layer_N", "gain"),
        *("n_rollout_threads", "dual_clip_ppo", "recurrent_N"),
    )
    flags = [name for name in ours if name.startswith("use_") and name in theirs]
    assert len(flags) > 20
    ignored = {"use_wandb", "use_tensorboard"}  # where the log goes
    names = [name for name in (*read, *flags) if name not in ignored]
    assert {name: ours[name] for name in names} == {name: theirs[name] for name in names}


@needs_published
def test_a_published_checkpoint_is_gone_on_from() -> None:
    path = published_modules()[0]
    state = published.load(path)
    agent = learner(OpenRLLearner)
    agent.load_weights(state)
    assert differences(agent.state_dict()["actor_network"], dict(state["actor_network"])) == []
    assert differences(agent.state_dict()["value_normalizer"], state["value_normalizer"]) == []
    assert all(map(torch.isfinite, map(torch.tensor, roll(agent).values())))
