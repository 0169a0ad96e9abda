"""The planar simulator: captures, threads, walking, walls, and room for its contacts."""

from __future__ import annotations

import math
from typing import List

import pytest
import torch

pytest.importorskip("warp", reason="needs the planar extra")

from scenes import advance, at_the_object, everyone, scene_of, start_of, task_of

from mapush.errors import CheckpointError
from mapush.robots.planar import ROBOT
from mapush.simulators import Scene
from mapush.simulators.base import Start
from mapush.simulators.planar.simulator import PlanarSimulator
from mapush.tasks.base import FromGenerator
from mapush.tasks.push.reset import draw_start
from tests.support import differences

EXPERIMENTS = ("cuboid", "Tblock", "cylinder")
ENVS = 300  # enough for several threads


def begun(exp: str, envs: int = ENVS, threads: int = 0) -> PlanarSimulator:
    """Environments in the middle of drawn episodes, robots around the object."""
    task = task_of(exp)
    simulator = PlanarSimulator(task.scene, envs, threads=threads)
    start = draw_start(task, envs, FromGenerator(torch.Generator().manual_seed(7)))
    simulator.reset(everyone(envs), start)
    for _ in range(60):
        simulator.step(at_the_object(simulator.read()))
    return simulator


def walk(simulator: PlanarSimulator, control_steps: int, seed: int) -> List[torch.Tensor]:
    """Random commands; what was read after every control step."""
    generator = torch.Generator().manual_seed(seed)
    robots = simulator.read().robots.shape[1]
    seen = []
    for _ in range(control_steps):
        simulator.step(torch.rand(simulator.num_envs, robots, 3, generator=generator) - 0.5)
        now = simulator.read()
        seen += [now.robots.clone(), now.object.clone(), now.object_velocity.clone()]
    return seen


@pytest.mark.parametrize("exp", EXPERIMENTS)
def test_a_capture_restores_to_the_bit_into_a_fresh_object(exp: str) -> None:
    simulator = begun(exp)
    state = simulator.state_dict()
    expected = walk(simulator, 50, seed=2)
    fresh = PlanarSimulator(scene_of(exp), ENVS)
    for restored in (simulator, fresh):
        restored.load_state_dict(state)
        assert differences(walk(restored, 50, seed=2), expected) == []
    assert differences(fresh.state_dict(), simulator.state_dict()) == []


@pytest.mark.parametrize("exp", EXPERIMENTS)
def test_half_a_batch_does_what_it_did_in_the_whole(exp: str) -> None:
    whole = begun(exp)
    half = PlanarSimulator(scene_of(exp), ENVS // 2)
    state = {name: value[ENVS // 2 :] for name, value in whole.state_dict().items()}
    half.load_state_dict(state)
    for _ in range(50):
        command = at_the_object(whole.read())
        whole.step(command)
        half.step(command[ENVS // 2 :])
    rest = {name: value[ENVS // 2 :] for name, value in whole.state_dict().items()}
    assert differences(half.state_dict(), rest) == []


def test_the_number_of_threads_changes_nothing() -> None:
    one, *others = [begun("cylinder", threads=threads).state_dict() for threads in (1, 2, 3, 8)]
    for other in others:
        assert differences(other, one) == []


def test_a_capture_is_a_copy() -> None:
    simulator = begun("cuboid")
    state = simulator.state_dict()
    before = {name: value.clone() for name, value in state.items()}
    walk(simulator, 3, seed=4)
    assert differences(state, before) == []


def test_a_capture_of_another_task_is_refused_and_changes_nothing() -> None:
    simulator = begun("cylinder")
    before = simulator.state_dict()
    with pytest.raises(CheckpointError, match=r"simulator state: .* does not fit .*--num_envs"):
        simulator.load_state_dict(begun("cuboid").state_dict())
    assert differences(simulator.state_dict(), before) == []


def test_a_reset_puts_bodies_where_it_says_and_leaves_the_others_untouched() -> None:
    simulator, start = begun("cuboid"), start_of("cuboid", ENVS, object_pose=(0.5, -0.4, 2.0))
    before = simulator.state_dict()
    mask = torch.zeros(ENVS, dtype=torch.bool)
    mask[[1, 4]] = True
    simulator.reset(mask, start)
    now, after = simulator.read(), simulator.state_dict()
    for name, value in before.items():
        assert torch.equal(after[name][~mask], value[~mask])
    assert torch.equal(now.robots[mask], start.robots[mask])
    assert torch.equal(now.object[mask], start.object[mask])
    assert not now.object_velocity[mask].any()


@pytest.mark.parametrize(("yaw", "axis", "sign"), [(0.0, 0, 1), (math.pi, 0, -1), (1.6, 1, 1)])
def test_walls_stop_robots(yaw: float, axis: int, sign: int) -> None:
    simulator = PlanarSimulator(scene_of("cuboid"), 1)
    robots = torch.tensor([[[0.0, 3.0, yaw], [0.0, -3.0, yaw]]])
    robots[..., axis] = sign * 11.0
    robots[0, 1, 1 - axis] = -3.0
    simulator.reset(everyone(1), start_of("cuboid", 1, robots=robots))
    advance(simulator, torch.tensor([0.5, 0.0, 0.0]).expand(1, 2, 3), 200)
    place = sign * simulator.read().robots[0, :, axis]
    assert float(place.max()) + ROBOT.reach == pytest.approx(12.0, abs=0.03)


@pytest.mark.parametrize("exp", EXPERIMENTS)
def test_an_object_nobody_touches_stays_to_the_bit(exp: str) -> None:
    simulator = PlanarSimulator(scene_of(exp), 1)
    simulator.reset(everyone(1), start_of(exp, 1, object_pose=(0.3, -0.2, 1.0)))
    begun_at = simulator.read().object.clone()
    advance(simulator, torch.zeros(1, task_of(exp).robots.count, 3), 200)
    assert torch.equal(simulator.read().object, begun_at)


def test_a_scene_of_robots_alone_walks_and_restores_to_the_bit() -> None:
    scene = Scene(name="alone", robots=2)
    simulator, other = PlanarSimulator(scene, 3), PlanarSimulator(scene, 3)
    robots = torch.tensor([[0.0, -1.0, 0.0], [0.0, 1.0, math.pi]]).expand(3, 2, 3)
    start = Start(robots=robots, robot_velocity=torch.zeros(3, 2, 2))
    simulator.reset(torch.tensor([True, False, True]), start)
    assert len(simulator.read().object) == 0
    advance(simulator, torch.tensor([0.4, 0.0, 0.0]).expand(3, 2, 3), 100)
    ahead = simulator.read().robots[2, :, 0]
    assert ahead.tolist() == pytest.approx([0.76, -0.76], abs=0.03)
    other.load_state_dict(simulator.state_dict())
    for each in (simulator, other):
        advance(each, torch.tensor([0.1, 0.2, 0.3]).expand(3, 2, 3), 20)
    assert torch.equal(simulator.read().robots, other.read().robots)
