"""The embedded simulator: captures, resets, per-environment friction, walking, walls."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Callable, Dict, List

import pytest
import torch

pytest.importorskip("mjbatch", reason="needs the mujoco extra")

from scenes import advance, everyone, scene_of, start_of, task_of

from mapush.errors import CheckpointError
from mapush.robots.planar import ROBOT
from mapush.simulators import Scene, SimulatorChoice, known_simulators, make_simulator
from mapush.simulators.base import Start
from mapush.simulators.mujoco.simulator import MujocoSimulator
from mapush.tasks.base import FromGenerator
from mapush.tasks.push.reset import draw_start
from tests.support import differences

EXPERIMENTS = ("cuboid", "Tblock", "cylinder")
ENVS = 6


def begun(exp: str, envs: int = ENVS, threads: int = 0) -> MujocoSimulator:
    """Environments in the middle of drawn episodes, robots walking at random."""
    task = task_of(exp)
    simulator = MujocoSimulator(task.scene, envs, threads)
    generator = torch.Generator().manual_seed(7)
    simulator.reset(everyone(envs), draw_start(task, envs, FromGenerator(generator)))
    walk(simulator, 60, seed=1)
    return simulator


def walk(simulator: MujocoSimulator, control_steps: int, seed: int) -> List[torch.Tensor]:
    """Random commands; what was read after every control step."""
    generator = torch.Generator().manual_seed(seed)
    robots = simulator.read().robots.shape[1]
    seen = []
    for _ in range(control_steps):
        simulator.step(torch.rand(simulator.num_envs, robots, 3, generator=generator) - 0.5)
        now = simulator.read()
        seen += [now.robots, now.object, now.object_velocity, now.object_height]
    return seen


@pytest.mark.parametrize("exp", EXPERIMENTS)
def test_a_capture_restores_to_the_bit(exp: str) -> None:
    simulator = begun(exp)
    state = simulator.state_dict()
    expected = walk(simulator, 50, seed=2)
    other = MujocoSimulator(scene_of(exp), ENVS)
    walk(other, 5, seed=3)
    for restored in (simulator, other):
        restored.load_state_dict(state)
        assert differences(walk(restored, 50, seed=2), expected) == []
    assert differences(other.state_dict(), simulator.state_dict()) == []


def test_the_number_of_threads_changes_nothing() -> None:
    states = [begun("cylinder", threads=threads).state_dict() for threads in (1, 2, 3)]
    assert differences(states[0], states[1]) == []
    assert differences(states[0], states[2]) == []


def test_an_environment_does_not_depend_on_the_others() -> None:
    simulator = MujocoSimulator(scene_of("cuboid"), 3)
    alone = MujocoSimulator(scene_of("cuboid"), 1)
    start = start_of("cuboid", 3)
    simulator.reset(everyone(3), start)
    alone.reset(everyone(1), replace(start, **{k: v[2:] for k, v in vars(start).items()}))
    command = torch.tensor([0.5, 0.1, -0.3]).expand(3, 2, 3)
    advance(simulator, command, 80)
    advance(alone, command[:1], 80)
    assert torch.equal(simulator.read().robots[2], alone.read().robots[0])


def test_a_capture_is_a_copy() -> None:
    simulator = begun("cuboid")
    state = simulator.state_dict()
    before = {name: value.clone() for name, value in state.items()}
    walk(simulator, 3, seed=4)
    assert differences(state, before) == []


WRONG_STATES: Dict[str, Callable[[Dict[str, Any]], Dict[str, Any]]] = {
    "fewer environments": lambda state: {k: v[:-1] for k, v in state.items()},
    "a longer state": lambda state: {**state, "state": torch.zeros(ENVS, 999).double()},
    "one friction": lambda state: {**state, "friction": state["friction"][:1]},
    "single precision": lambda state: {**state, "state": state["state"].float()},
    "no friction": lambda state: {"state": state["state"]},
    "no tensor": lambda state: {**state, "state": "state"},
    "nothing": lambda state: {},
}


@pytest.mark.parametrize("wrong", WRONG_STATES)
def test_a_capture_that_does_not_fit_is_refused_and_changes_nothing(wrong: str) -> None:
    simulator = begun("cuboid")
    before = simulator.state_dict()
    with pytest.raises(CheckpointError, match=r"does not fit this scene's .*--num_envs"):
        simulator.load_state_dict(WRONG_STATES[wrong](simulator.state_dict()))
    assert differences(simulator.state_dict(), before) == []


def test_a_capture_of_another_task_is_refused() -> None:
    with pytest.raises(CheckpointError, match="simulator state"):
        begun("cylinder").load_state_dict(begun("cuboid").state_dict())


def test_a_reset_puts_bodies_where_it_says_and_leaves_the_others_untouched() -> None:
    simulator, start = begun("cuboid"), start_of("cuboid", ENVS, object_pose=(0.5, -0.4, 2.0))
    before, states = simulator.read(), simulator.state_dict()
    mask = torch.zeros(ENVS, dtype=torch.bool)
    mask[[1, 4]] = True
    simulator.reset(mask, start)
    now, after = simulator.read(), simulator.state_dict()
    others = [0, 2, 3, 5]
    for name, value in states.items():
        assert torch.equal(after[name][others], value[others])
    assert torch.equal(now.robots[others], before.robots[others])
    torch.testing.assert_close(now.robots[mask], start.robots[mask])
    torch.testing.assert_close(now.object[mask], start.object[mask])
    assert not now.object_velocity[[1, 4]].any()
    torch.testing.assert_close(now.object_height[[1, 4]], torch.tensor([0.25, 0.25]))


def test_a_reset_environment_has_no_memory() -> None:
    used, fresh = begun("cuboid"), MujocoSimulator(scene_of("cuboid"), ENVS)
    touching = torch.tensor([[[-0.88, 0.3, 0.0], [-0.88, -0.3, 0.1]]])
    for simulator in (used, fresh):
        simulator.reset(everyone(ENVS), start_of("cuboid", ENVS, robots=touching))
    assert differences(used.state_dict(), fresh.state_dict()) == []
    assert differences(walk(used, 40, seed=5), walk(fresh, 40, seed=5)) == []


def test_robots_start_with_the_velocity_they_are_given() -> None:
    velocity = torch.tensor([[[0.1, 0.0], [0.0, -0.1]]])
    simulator = MujocoSimulator(scene_of("cuboid"), 1)
    start = start_of("cuboid", 1)
    simulator.reset(everyone(1), replace(start, robot_velocity=velocity))
    advance(simulator, torch.zeros(1, 2, 3), 1)
    moved = simulator.read().robots[..., :2] - start.robots[..., :2]
    assert torch.equal(moved.sign(), velocity.sign())


@pytest.mark.parametrize("yaw", [0.0, 1.0, -2.5])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_robots_follow_commands_in_their_own_frame(axis: int, yaw: float) -> None:
    task = task_of("cuboid")
    simulator = MujocoSimulator(task.scene, 1)
    robots = torch.tensor([[[-4.0, -4.0, yaw], [4.0, 4.0, yaw + 1.0]]])
    simulator.reset(everyone(1), start_of("cuboid", 1, robots=robots))
    command = torch.zeros(1, 2, 3)
    command[..., axis] = 0.4
    advance(simulator, command, 25)  # long enough to reach the speed
    before = simulator.read().robots
    advance(simulator, command, 50)
    moved = (simulator.read().robots - before)[0]
    reached = 0.4 * ROBOT.tracking[axis]
    for robot, heading in enumerate((yaw, yaw + 1.0)):
        cos, sin = math.cos(heading), math.sin(heading)
        expected = {0: (cos, sin, 0.0), 1: (-sin, cos, 0.0), 2: (0.0, 0.0, 1.0)}[axis]
        torch.testing.assert_close(
            moved[robot], reached * torch.tensor(expected), atol=2e-3, rtol=0
        )


def test_a_command_is_reached_within_a_few_response_times() -> None:
    simulator = MujocoSimulator(scene_of("cuboid"), 1)
    simulator.reset(everyone(1), start_of("cuboid", 1))
    command = torch.zeros(1, 2, 3)
    command[..., 2] = 0.5
    speeds, last = [], simulator.read().robots[0, 0, 2]
    for _ in range(30):
        advance(simulator, command, 1)
        now = simulator.read().robots[0, 0, 2]
        speeds.append(float(now - last) / 0.02)
        last = now
    final = 0.5 * ROBOT.tracking[2]
    assert speeds[0] < 0.5 * final
    assert speeds[-1] == pytest.approx(final, rel=0.02)
    assert all(late >= early - 1e-4 for early, late in zip(speeds, speeds[1:]))


@pytest.mark.parametrize(("yaw", "axis", "sign"), [(0.0, 0, 1), (math.pi, 0, -1), (1.6, 1, 1)])
def test_walls_stop_robots(yaw: float, axis: int, sign: int) -> None:
    simulator = MujocoSimulator(scene_of("cuboid"), 1)
    robots = torch.tensor([[[0.0, 3.0, yaw], [0.0, -3.0, yaw]]])
    robots[..., axis] = sign * 11.0
    robots[0, 1, 1 - axis] = -3.0
    simulator.reset(everyone(1), start_of("cuboid", 1, robots=robots))
    command = torch.zeros(1, 2, 3)
    command[..., 0] = 0.5
    advance(simulator, command, 200)
    place = sign * simulator.read().robots[0, :, axis]
    assert float(place.max()) < 12.0
    assert float(place.max()) + ROBOT.reach == pytest.approx(12.0, abs=0.03)


def test_simulators_are_made_by_name() -> None:
    assert "mujoco" in known_simulators()
    made = make_simulator(SimulatorChoice("mujoco"), scene_of("cuboid"), 1)
    assert isinstance(made, MujocoSimulator)


def test_a_scene_of_robots_alone_walks_and_restores_to_the_bit() -> None:
    scene = Scene(name="alone", robots=2)
    simulator, other = MujocoSimulator(scene, 3), MujocoSimulator(scene, 3)
    robots = torch.tensor([[0.0, -1.0, 0.0], [0.0, 1.0, math.pi]]).expand(3, 2, 3)
    start = Start(robots=robots, robot_velocity=torch.zeros(3, 2, 2))
    simulator.reset(torch.tensor([True, False, True]), start)
    assert len(simulator.read().object) == 0
    assert torch.equal(simulator.read().robots[[0, 2]], robots[[0, 2]])
    assert not simulator.read().robots[1].any()
    advance(simulator, torch.tensor([0.4, 0.0, 0.0]).expand(3, 2, 3), 100)
    ahead = simulator.read().robots[2, :, 0]
    assert ahead.tolist() == pytest.approx([0.76, -0.76], abs=0.03)
    other.load_state_dict(simulator.state_dict())
    for each in (simulator, other):
        advance(each, torch.tensor([0.1, 0.2, 0.3]).expand(3, 2, 3), 20)
    assert torch.equal(simulator.read().robots, other.read().robots)
