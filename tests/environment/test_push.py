"""Episodes: what ends them, what is counted while an action is held, what a capture restores."""

from __future__ import annotations

import io
import math
from typing import List, Tuple

import pytest
import torch

from mapush.environment.base import Episode
from mapush.environment.vector import VectorEnvironment
from mapush.errors import RequestError
from mapush.simulators.base import State
from mapush.tasks import PushTask
from mapush.tasks.push.reward import REWARDS
from tests.environment.scripted import ScriptedSimulator, bodies_at, task_of
from tests.support import differences

FAR, TOUCHING = [(-1.0, 0.0, 0.0), (1.0, 0.0, 0.0)], [(-1.0, 0.0, 0.0), (-1.0, 0.1, 0.0)]
STILL = torch.zeros(2, 2, 3)


class Story:
    """What two environments see: the first one's object or robots jump at control step `at`."""

    def __init__(self) -> None:
        self.at = math.inf
        self.until = math.inf
        self.place = (0.0, 0.0, 0.0)
        self.collision_at = math.inf

    def __call__(self, step: int) -> State:
        bodies = bodies_at(FAR, envs=2)
        if self.at <= step < self.until:
            bodies.object[0] = torch.tensor(self.place)
        if step >= self.collision_at:
            bodies.robots[0] = torch.tensor(TOUCHING)
        return bodies


def short(control_steps: int) -> PushTask:
    task = task_of("cuboid")
    limits = task.termination.model_copy(update={"control_steps": control_steps})
    return task.model_copy(update={"termination": limits})


def begin(
    decimation: int, control_steps: int = 20
) -> Tuple[VectorEnvironment, ScriptedSimulator, Story]:
    story = Story()
    simulator = ScriptedSimulator(2, story)
    return VectorEnvironment(short(control_steps), simulator, 1, decimation), simulator, story


def arrive(environment: VectorEnvironment, story: Story, at: int) -> None:
    """Let the first environment's object lie on its target from control step `at` on."""
    assert environment.target is not None
    x, y = environment.target[0].tolist()
    story.at, story.place = at, (x, y, 0.0)


def flags(value: torch.Tensor) -> List[bool]:
    return value.tolist()


def test_the_command_is_the_clipped_action_at_half_gain() -> None:
    environment, simulator, _ = begin(decimation=2)
    action = torch.tensor([[[0.0, 1.0, -1.0], [2.0, -3.0, 90.0]]] * 2)
    environment.step(action)
    expected = torch.tensor([[[0.0, 0.25, -0.25], [0.5, -0.5, 0.5]]] * 2)
    assert len(simulator.commands) == 2
    assert all(torch.equal(command, expected) for command in simulator.commands)


@pytest.mark.parametrize("decimation", [0, -1, 3, 40])
def test_a_hold_that_does_not_divide_the_episode_is_refused(decimation: int) -> None:
    with pytest.raises(RequestError, match=f"--hold {decimation}: .*20"):
        begin(decimation)


def test_an_arrival_inside_a_hold_earns_nothing_more() -> None:
    environment, simulator, story = begin(decimation=5)
    arrive(environment, story, at=3)
    outcome = environment.step(STILL)

    stepwise, _, again = begin(decimation=1)
    arrive(stepwise, again, at=3)
    earned = sum(stepwise.step(STILL).reward[0] for _ in range(3))
    torch.testing.assert_close(outcome.reward[0], earned)
    assert float(outcome.reward[0, 0]) > 10
    assert flags(outcome.terminated) == [True, False]
    assert flags(outcome.truncated) == [False, False]
    assert simulator.resets == [[0, 1], [0]]
    (episode,) = environment.take_episodes()
    assert episode == Episode(
        pytest.approx(float(outcome.reward[0].mean())), 3, success=True, failure=False
    )
    assert environment.take_episodes() == []
    assert environment.success_rate == 1.0


def test_an_exception_inside_a_hold_costs_once() -> None:
    environment, _, story = begin(decimation=5)
    story.collision_at = 2
    outcome = environment.step(STILL)
    assert flags(outcome.terminated) == [True, False]
    assert -6 < float(outcome.reward[0, 0]) < -5
    (episode,) = environment.take_episodes()
    assert (episode.control_steps, episode.success, episode.failure) == (2, False, True)
    assert environment.success_rate == 0.0


@pytest.mark.parametrize("collision_at", [1, 2])
@pytest.mark.parametrize("until", [2, math.inf])
def test_an_exception_with_or_after_the_arrival_changes_nothing(
    collision_at: int, until: float
) -> None:
    environment, _, story = begin(decimation=5)
    arrive(environment, story, at=1)
    story.until, story.collision_at = until, collision_at
    outcome = environment.step(STILL)
    (episode,) = environment.take_episodes()
    assert (episode.control_steps, episode.success, episode.failure) == (1, True, False)
    assert float(outcome.reward[0, 0]) > 9


def test_a_new_episode_begins_with_nothing_earned() -> None:
    environment, _, story = begin(decimation=5)
    arrive(environment, story, at=3)
    environment.step(STILL)
    story.at = math.inf
    earned = sum(float(environment.step(STILL).reward[0].mean()) for _ in range(4))
    assert environment.take_episodes()[-1].reward == pytest.approx(earned)


@pytest.mark.parametrize("decimation", [1, 5])
def test_time_runs_out_after_the_task_s_control_steps(decimation: int) -> None:
    environment, simulator, _ = begin(decimation=decimation)
    for decision in range(1, 20 // decimation + 1):
        outcome = environment.step(STILL)
        assert flags(outcome.truncated) == [decision * decimation == 20] * 2
        assert not outcome.terminated.any()
    assert simulator.resets == [[0, 1], [0, 1]]
    assert [episode.control_steps for episode in environment.take_episodes()] == [20, 20]
    assert not environment.step(STILL).truncated.any()


def test_an_arrival_on_the_last_control_step_is_an_arrival() -> None:
    environment, _, story = begin(decimation=1)
    arrive(environment, story, at=20)
    for _ in range(20):
        outcome = environment.step(STILL)
    assert flags(outcome.terminated) == [True, False]
    assert flags(outcome.truncated) == [False, True]


def test_the_clock_of_a_new_episode_begins_with_the_next_decision() -> None:
    environment, _, story = begin(decimation=5)
    arrive(environment, story, at=3)
    environment.step(STILL)
    story.at = math.inf
    ends = [flags(environment.step(STILL).truncated) for _ in range(4)]
    assert ends == [[False, False], [False, False], [False, True], [True, False]]
    lengths = [episode.control_steps for episode in environment.take_episodes()]
    assert lengths == [3, 20, 20]


def test_the_last_observation_is_the_one_before_the_reset() -> None:
    environment, _, story = begin(decimation=1)
    before = environment.observe()
    arrive(environment, story, at=1)
    last = environment.step(STILL).last_observation
    object_seen, target_seen = last[0, :, 2:4], last[0, :, :2]
    torch.testing.assert_close(object_seen, target_seen)
    after = environment.observe()
    assert not torch.equal(after[0, :, :2], before[0, :, :2])  # a new target
    assert torch.equal(after[1], before[1])


def test_the_terms_are_means_per_control_step_and_robot() -> None:
    environment, _, story = begin(decimation=5)
    arrive(environment, story, at=3)
    outcome = environment.step(STILL)
    terms = environment.take_reward_terms()
    assert tuple(terms) == tuple(term.name for term in REWARDS)
    assert terms["reach_target_reward"] == pytest.approx(10 / (2 * 5))
    assert sum(terms.values()) == pytest.approx(float(outcome.reward.mean()) / 5)
    assert set(environment.take_reward_terms().values()) == {0.0}


def made(seed: int) -> VectorEnvironment:
    pytest.importorskip("mjbatch", reason="needs the mujoco extra")
    from mapush.simulators.mujoco.simulator import MujocoSimulator

    task = short(30)
    return VectorEnvironment(task, MujocoSimulator(task.scene, 8), seed=seed, decimation=5)


def played(environment: VectorEnvironment, decisions: int, seed: int) -> List[torch.Tensor]:
    """All that a learner sees over some decisions, new episodes included."""
    generator = torch.Generator().manual_seed(seed)
    seen = []
    for _ in range(decisions):
        outcome = environment.step(2 * torch.randn(8, 2, 3, generator=generator))
        seen += [outcome.reward, outcome.terminated, outcome.truncated, outcome.last_observation]
        seen += [environment.observe(), environment.target]
    return [*seen, torch.tensor([episode.reward for episode in environment.take_episodes()])]


def test_a_capture_restores_to_the_bit_into_another_environment() -> None:
    environment, other = made(seed=1), made(seed=2)
    played(environment, 4, seed=3)  # the middle of an episode
    file = io.BytesIO()
    torch.save(environment.state_dict(), file)
    expected = played(environment, 9, seed=4)
    assert len(expected[-1]) >= 8
    played(other, 5, seed=5)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert differences(played(other, 9, seed=4), expected) == []
    assert differences(other.state_dict(), environment.state_dict()) == []


def test_a_capture_does_not_change_when_its_environment_goes_on() -> None:
    environment = made(seed=1)
    state = environment.state_dict()
    copy = made(seed=1).state_dict()
    played(environment, 8, seed=3)
    assert differences(state, copy) == []


def test_an_environment_that_is_restarted_is_as_if_it_were_built_anew() -> None:
    environment, fresh = made(seed=1), made(seed=2)
    played(environment, 7, seed=3)
    environment.restart(2)
    assert differences(environment.state_dict(), fresh.state_dict()) == []
    assert differences(played(environment, 9, seed=4), played(fresh, 9, seed=4)) == []
    assert environment.take_reward_terms() == fresh.take_reward_terms()


def test_first_episodes_end_once_each_and_none_begins_anew() -> None:
    environment, simulator, story = begin(decimation=5)
    arrive(environment, story, at=3)
    steps = list(environment.first_episodes(lambda seen: STILL))
    assert [flags(each.live) for each in steps] == [[True, True]] * 3 + [[False, True]] * 17
    assert [flags(each.success) for each in steps[2:4]] == [[True, False]] * 2
    assert flags(steps[-1].timeout) == [True, True]
    assert simulator.resets == [[0, 1]]
    assert len(steps[0].metrics) == len(environment.metric_names) == 2
