"""The simulator `isaacgym` on the strict double: resets, walking, captures, one world for all."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Callable, Dict, List

import pytest
import torch
from gym_doubles import gym, robot_assets
from scenes import advance, everyone, scene_of, start_of, task_of

from mapush.environment.vector import VectorEnvironment
from mapush.errors import CheckpointError, MapushError, RequestError
from mapush.evaluation.evaluator import evaluate
from mapush.simulators import SimulatorChoice, make_simulator
from mapush.simulators.base import Simulator
from mapush.simulators.isaacgym import preflight
from mapush.simulators.isaacgym.options import parse
from mapush.tasks.base import FromGenerator
from mapush.tasks.push.reset import draw_start
from tests.support import differences

__all__ = ["gym", "robot_assets"]

EXPERIMENTS = ("cuboid", "Tblock", "cylinder")
ENVS = 5

pytestmark = pytest.mark.usefixtures("gym")


def made(exp: str, envs: int = ENVS, options: str = "", room: int = 0) -> Simulator:
    return make_simulator(SimulatorChoice("isaacgym", "cpu", options), scene_of(exp), envs, room)


def mask_of(*chosen: int, envs: int = ENVS) -> torch.Tensor:
    mask = torch.zeros(envs, dtype=torch.bool)
    mask[list(chosen)] = True
    return mask


def begun(exp: str, envs: int = ENVS) -> Simulator:
    """Environments in the middle of drawn episodes, robots walking at random."""
    simulator = made(exp, envs)
    generator = torch.Generator().manual_seed(7)
    simulator.reset(everyone(envs), draw_start(task_of(exp), envs, FromGenerator(generator)))
    walk(simulator, 20, seed=1)
    return simulator


def walk(simulator: Simulator, control_steps: int, seed: int) -> List[torch.Tensor]:
    """Random commands; what was read after every control step."""
    generator = torch.Generator().manual_seed(seed)
    robots = simulator.read().robots.shape[1]
    seen: List[torch.Tensor] = []
    for _ in range(control_steps):
        simulator.step(torch.rand(simulator.num_envs, robots, 3, generator=generator) - 0.5)
        seen += [value.clone() for value in vars(simulator.read()).values()]
    return seen


@pytest.mark.parametrize("exp", EXPERIMENTS)
def test_a_reset_puts_bodies_where_it_says_and_leaves_the_others_untouched(
    exp: str, gym: Any
) -> None:
    simulator = begun(exp)
    before = simulator.read()
    start = start_of(exp, ENVS, object_pose=(0.5, -0.4, 2.0))
    simulator.reset(mask_of(1, 3), start)
    now = simulator.read()
    others = [0, 2, 4]
    assert torch.equal(now.robots[others], before.robots[others])
    assert torch.equal(now.object[others], before.object[others])
    torch.testing.assert_close(now.robots[[1, 3]], start.robots[:2])
    torch.testing.assert_close(now.object[[1, 3]], start.object[:2])
    torch.testing.assert_close(now.object_height[[1, 3]], torch.tensor([0.25, 0.25]))
    assert not now.object_velocity[[1, 3]].any()
    assert now.robot_height is not None
    assert now.robot_tilt is not None
    assert now.robot_height[[1, 3]].flatten().tolist() == pytest.approx(
        [0.34] * now.robots[0, :, 0].numel() * 2
    )
    assert not now.robot_tilt[[1, 3]].any()
    advance(simulator, torch.zeros(ENVS, now.robots.shape[1], 3), 1)
    after = simulator.read()  # the simulation was told, not only the tensors
    (sim,) = gym._sims
    marker, walls = (sim.engine.root[actor.index] for actor in sim.envs[3].actors[-2:])
    origin = sim.envs[3].origin
    assert marker[:7].tolist() == pytest.approx([origin.x + 2.0, origin.y, 0.05, 0, 0, 0, 1])
    assert walls[:7].tolist() == pytest.approx([origin.x, origin.y, 0, 0, 0, 0, 1])
    torch.testing.assert_close(after.object[[1, 3]], start.object[:2])
    torch.testing.assert_close(after.robots[[1, 3]], start.robots[:2], atol=1e-4, rtol=0)


def test_robots_of_a_new_episode_remember_nothing_of_the_last() -> None:
    simulator = begun("cuboid")
    simulator.reset(mask_of(1, 3), start_of("cuboid", ENVS))
    for name, value in simulator.state_dict().items():
        if name.startswith("walking_"):
            rows = value.view(ENVS, -1)
            assert not rows[[1, 3]].any(), name
            assert rows[[0, 2, 4]].any(), name


@pytest.mark.parametrize("yaw", [0.0, 1.0, -2.5])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_robots_follow_commands_in_their_own_frame(axis: int, yaw: float) -> None:
    simulator = made("cuboid", 2)
    robots = torch.tensor([[[-4.0, -4.0, yaw], [4.0, 4.0, yaw + 1.0]]])
    simulator.reset(everyone(2), start_of("cuboid", 2, robots=robots))
    command = torch.zeros(2, 2, 3)
    command[..., axis] = 0.4
    advance(simulator, command, 50)  # long enough to reach the speed
    before = simulator.read().robots
    advance(simulator, command, 50)
    moved = simulator.read().robots - before
    for robot, heading in enumerate((yaw, yaw + 1.0)):
        cos, sin = math.cos(heading), math.sin(heading)
        expected = {0: (cos, sin, 0.0), 1: (-sin, cos, 0.0), 2: (0.0, 0.0, 1.0)}[axis]
        for env in range(2):
            torch.testing.assert_close(
                moved[env, robot], 0.4 * torch.tensor(expected), atol=4e-3, rtol=0
            )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_joints_are_told_apart_by_their_names(
    axis: int, gym: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    legs = {"FR": 0, "RL": 1, "FL": 2, "RR": 3}  # not its own inverse; mixes left and right
    order = staticmethod(lambda name: legs.get(name[:2], -1))
    monkeypatch.setattr(gym.Asset, "ORDER", order)
    simulator = made("cuboid", 1)
    simulator.reset(everyone(1), start_of("cuboid", 1))
    before = simulator.read().robots
    command = torch.zeros(1, 2, 3)
    command[..., axis] = 0.4
    advance(simulator, command, 50)
    moved = simulator.read().robots - before
    turned = moved[0, :, 2]
    forward = moved[0, 0, axis]  # the first robot looks along x
    assert float(forward) > 0.25
    assert (turned.abs() > 0.25).tolist() == [axis == 2] * 2
    (sim,) = gym._sims
    robot = sim.actors[1]
    names = robot.asset.dofs
    assert names[0] == "FR_hip_joint"
    own = slice(robot.first_dof, robot.first_dof + 12)
    bent = dict(zip(names, (sim.engine.joint[own, 0] - sim.engine.rest[own]).tolist()))
    moving = ("thigh", "hip", "calf")[axis]
    for name, angle in bent.items():
        sign = 0.0 if moving not in name else -1.0 if axis == 2 and name[1] == "R" else 1.0
        assert angle == pytest.approx(sign * 0.1, abs=0.03), name  # each by its own action
    stance = sim.engine.rest[own]
    expected = {"thigh": {"F": 0.8, "R": 1.0}, "hip": {"L": 0.1, "R": -0.1}}
    for name, angle in zip(names, stance.tolist()):
        _, kind, _ = name.split("_")
        side = name[0] if kind == "thigh" else name[1]
        assert angle == pytest.approx(expected.get(kind, {}).get(side, -1.5)), name


def test_robots_start_with_the_velocity_they_are_given() -> None:
    velocity = torch.tensor([[[0.1, 0.0], [0.0, -0.1]]])
    simulator, start = made("cuboid", 1), start_of("cuboid", 1)
    simulator.reset(everyone(1), replace(start, robot_velocity=velocity))
    advance(simulator, torch.zeros(1, 2, 3), 1)
    moved = simulator.read().robots[..., :2] - start.robots[..., :2]
    assert torch.equal(moved.sign(), velocity.sign())


def test_a_control_step_is_four_substeps_of_5_ms(gym: Any) -> None:
    simulator = made("cuboid", 1)
    advance(simulator, torch.zeros(1, 2, 3), 3)
    (sim,) = gym._sims
    assert sim.params.dt == pytest.approx(0.005)
    assert (sim.params.substeps, sim.substeps_done) == (1, 12)


def test_the_friction_that_is_drawn_reaches_the_object_of_its_environment(gym: Any) -> None:
    simulator = made("cuboid", 4)
    drawn = [0.59, 0.0, 0.51, 0.0]
    simulator.reset(mask_of(0, 2, envs=4), start_of("cuboid", 4, friction=drawn))
    advance(simulator, torch.zeros(4, 2, 3), 1)
    (sim,) = gym._sims
    found = [[shape.friction for shape in env.actors[2].shapes] for env in sim.envs]
    mean = pytest.approx([0.55])  # of environments that nobody has reset
    assert found == [pytest.approx([0.59]), mean, pytest.approx([0.51]), mean]
    assert sim.ground.static_friction == sim.ground.dynamic_friction == 0.1
    assert all(shape.friction == 1.0 for shape in sim.envs[0].actors[0].shapes)


@pytest.mark.parametrize(
    ("exp", "shapes", "mass"), [("cuboid", 1, 4), ("Tblock", 2, 3), ("cylinder", 1, 10)]
)
def test_the_scene_is_the_task(exp: str, shapes: int, mass: float, gym: Any) -> None:
    made(exp, 3, "contact_pairs=4.096k,slices_per_cylinder=24,position_iterations=8")
    (sim,) = gym._sims
    assert sim.params.physx.max_gpu_contact_pairs == 4096
    assert sim.params.physx.num_position_iterations == 8
    *robots, thing, marker, walls = (actor.asset for actor in sim.envs[2].actors)
    assert len(robots) == task_of(exp).robots.count
    assert (thing.shapes, thing.mass) == (shapes, mass)
    assert thing.options.slices_per_cylinder == 24
    assert not thing.options.replace_cylinder_with_capsule
    assert (marker.shapes, walls.shapes) == (0, 4)
    assert marker.options.fix_base_link
    assert walls.options.fix_base_link


@pytest.mark.parametrize("exp", EXPERIMENTS)
def test_a_capture_goes_on_as_it_was(exp: str) -> None:
    simulator = begun(exp)
    state = simulator.state_dict()
    before = {name: value.clone() for name, value in state.items()}
    # Joints are springs about where they were last set, in the double; so from the same place.
    simulator.load_state_dict(state)
    expected = walk(simulator, 30, seed=2)
    walk(simulator, 5, seed=3)
    simulator.load_state_dict(state)
    assert differences(walk(simulator, 30, seed=2), expected) == []
    assert differences(state, before) == []


WRONG_STATES: Dict[str, Callable[[Dict[str, Any]], Dict[str, Any]]] = {
    "fewer environments": lambda state: {k: v[:-1] for k, v in state.items()},
    "double precision": lambda state: {**state, "root": state["root"].double()},
    "no friction": lambda state: {k: v for k, v in state.items() if k != "friction"},
    "no tensor": lambda state: {**state, "walking_gait": "gait"},
    "nothing": lambda state: {},
}


@pytest.mark.parametrize("wrong", WRONG_STATES)
def test_a_capture_that_does_not_fit_is_refused_and_changes_nothing(wrong: str) -> None:
    simulator = begun("cuboid")
    before = simulator.state_dict()
    with pytest.raises(CheckpointError, match=r"does not fit this scene's .*--num_envs"):
        simulator.load_state_dict(WRONG_STATES[wrong](simulator.state_dict()))
    assert differences(simulator.state_dict(), before) == []


def test_an_evaluation_borrows_the_world_and_gives_it_back() -> None:
    training = made("cuboid", 3, room=4)
    generator = torch.Generator().manual_seed(7)
    training.reset(everyone(3), draw_start(task_of("cuboid"), 3, FromGenerator(generator)))
    walk(training, 10, seed=1)
    training.load_state_dict(training.state_dict())
    before = training.state_dict()
    expected = walk(training, 10, seed=5)
    training.load_state_dict(before)
    evaluation = make_simulator(SimulatorChoice("isaacgym"), scene_of("cuboid"), 4)
    task = task_of("cuboid")
    short = task.model_copy(
        update={"termination": task.termination.model_copy(update={"control_steps": 20})}
    )
    environment = VectorEnvironment(short, evaluation, seed=3)
    evaluate(environment, lambda observation: torch.ones(*observation.shape[:2], 3))
    with pytest.raises(RuntimeError, match="borrows"):
        training.step(torch.zeros(3, 2, 3))
    evaluation.close()
    assert differences(training.state_dict(), before) == []
    assert differences(walk(training, 10, seed=5), expected) == []
    evaluation.close()  # again, as a context manager may


@pytest.mark.parametrize(
    ("exp", "envs", "device", "options", "says"),
    [
        ("cuboid", 6, "auto", "", "room for 5"),
        ("cylinder", 2, "auto", "", "already simulates cuboid"),
        ("cuboid", 2, "cuda", "", "already simulates"),
        ("cuboid", 2, "auto", "contact_pairs=2048", "already simulates"),
    ],
)
def test_a_world_that_does_not_fit_is_said_in_one_line(
    exp: str, envs: int, device: str, options: str, says: str
) -> None:
    made("cuboid", 2, room=5)
    with pytest.raises(RequestError, match=says):
        make_simulator(SimulatorChoice("isaacgym", device, options), scene_of(exp), envs)


def test_robots_that_fall_are_exceptions(gym: Any) -> None:
    environment = VectorEnvironment(task_of("cuboid"), made("cuboid", 3), seed=1)
    (sim,) = gym._sims
    environment.step(torch.zeros(3, 2, 3))
    environment.take_episodes()
    rolled = math.sin(0.5), math.cos(0.5)  # a roll of 1 rad
    sim.engine.root[sim.envs[1].actors[0].index, 3:7] = (rolled[0], 0.0, 0.0, rolled[1])
    sim.engine.root[sim.envs[2].actors[2].index, 2] += 0.5  # the object is up in the air
    outcome = environment.step(torch.zeros(3, 2, 3))
    assert outcome.terminated.tolist() == [False, True, True]
    assert [episode.failure for episode in environment.take_episodes()] == [True, True]


def test_the_object_is_pushed_to_the_target_through_the_whole_environment() -> None:
    task = task_of("cuboid")
    simulator = made("cuboid", 2)
    environment = VectorEnvironment(task, simulator, seed=2, decimation=5)
    behind = torch.tensor([[[-1.2, 0.2, 0.0], [-1.2, -0.2, 0.0]]])
    start = start_of("cuboid", 2, robots=behind)
    simulator.reset(everyone(2), start)
    state = environment.state_dict()
    environment.load_state_dict({**state, "target": start.target})
    ahead = torch.tensor([2.0, 0.0, 0.0]).expand(2, 2, 3)
    for _ in range(100):
        if environment.step(ahead).terminated.any():
            break
    episodes = environment.take_episodes()
    assert [episode.success for episode in episodes] == [True, True]


def test_a_state_that_is_lost_is_said_in_one_line(gym: Any) -> None:
    simulator = made("cuboid", 2)
    (sim,) = gym._sims
    advance(simulator, torch.zeros(2, 2, 3), 1)
    sim.engine.root[3, 0] = float("nan")
    advance(simulator, torch.zeros(2, 2, 3), 1)
    with pytest.raises(MapushError, match=r"lost its state.*contact_pairs"):
        simulator.read()


def test_the_gpu_pipeline_is_checked_before_anything_is_built(
    gym: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    h100 = preflight.Gpu("NVIDIA H100", (9, 0), 80 * 2**30, 80 * 2**30)
    monkeypatch.setattr(preflight, "find_gpu", lambda number: h100)
    with pytest.raises(RequestError, match=r"H100 has compute capability 9\.0"):
        make_simulator(SimulatorChoice("isaacgym"), scene_of("cuboid"), 2)
    assert gym._sims == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("pairs=3", "has contact_pairs"),
        ("contact_pairs", "whole number from 1024"),
        ("contact_pairs=2000.5", "whole number"),
        ("slices_per_cylinder=33", "from 3 to 32"),
        ("robot_friction=much", "number from 0"),
        ("robot_friction=nan", "number from 0"),
    ],
)
def test_an_option_that_is_wrong_is_named(text: str, says: str) -> None:
    with pytest.raises(RequestError, match=f"--sim_options '{text}'.*{says}"):
        parse(text)
