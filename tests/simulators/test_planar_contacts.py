"""The planar simulator's contacts: room for all of them, and robots that cross each other."""

# Warp's types are known to its own compiler only.
# pyright: reportGeneralTypeIssues=false, reportInvalidTypeForm=false, reportAttributeAccessIssue=false
# pyright: reportIndexIssue=false
# No postponed annotations here: Warp reads those of kernels in functions as they are.
import math
from typing import List, Sequence, Union

import pytest
import torch

pytest.importorskip("warp", reason="needs the planar extra")

import warp as wp
from scenes import advance, everyone, scene_of, start_of, task_of

from mapush.environment.fused.environment import FusedEnvironment
from mapush.errors import RequestError
from mapush.robots.planar import ROBOT
from mapush.simulators.base import Simulator, Start
from mapush.simulators.planar.bodies import Body
from mapush.simulators.planar.compiled import start_warp
from mapush.simulators.planar.constants import Constants, make_constants
from mapush.simulators.planar.contacts import Contact
from mapush.simulators.planar.kernel import BODY_SIZE, load_bodies
from mapush.simulators.planar.room import MOST, contact_room
from mapush.simulators.planar.simulator import PlanarSimulator
from mapush.simulators.planar.substep import find_contacts
from mapush.simulators.scene import Box, Cylinder, Object, Scene

PLENTY = wp.constant(500)
BODIES = wp.constant(9)
HALF = 0.6  # of the layered box along x and y, m

start_warp()


@wp.kernel
def _count(
    state: wp.array2d(dtype=float), k: Constants, robots: int, found: wp.array(dtype=int)
) -> None:
    everything = wp.zeros(shape=BODIES, dtype=Body)
    contacts = wp.zeros(shape=PLENTY, dtype=Contact)
    bodies = everything[: robots + 1]
    load_bodies(state, 0, k, bodies)
    found[0] = find_contacts(bodies, k, contacts)


def scene_with(name: str, shapes: Sequence[Union[Box, Cylinder]], robots: int) -> Scene:
    thing = Object(shapes=tuple(shapes), friction=(0.5, 0.5))
    return Scene(name=name, robots=robots, object=thing)


def layers(count: int) -> List[Box]:
    """A box of 20 kg in equal parts that lie in one another, so that each feels every touch."""
    mass = 20.0 / count
    along = mass * (4 * HALF * HALF + 0.25) / 12
    inertia = (along, along, mass * 8 * HALF * HALF / 12)
    return [Box(size=(2 * HALF, 2 * HALF, 0.5), mass=mass, inertia=inertia)] * count


def layered(count: int) -> Scene:
    return scene_with(f"{count} layers", layers(count), robots=2)


ROUND = Cylinder(radius=0.6, height=0.5, mass=5.0, inertia=(0.5, 0.5, 0.9))
SQUARE = Box(size=(1.2, 1.2, 0.5), mass=5.0, inertia=(0.7, 0.7, 1.2))


@pytest.mark.slow
@pytest.mark.parametrize(
    "scene",
    [
        scene_of("cuboid"),
        scene_of("cylinder"),
        layered(8),
        scene_with("crowd", [SQUARE, ROUND, SQUARE], robots=8),
        Scene(name="alone", robots=3),
    ],
    ids=lambda scene: scene.name,
)
def test_the_room_is_just_enough_where_everything_touches_everything(scene: Scene) -> None:
    k = make_constants(scene, "cpu")
    bodies = torch.zeros(1, scene.robots + 1, BODY_SIZE)
    corner = [size / 2 - ROBOT.reach + 0.1 for size in scene.arena.size]
    bodies[..., 0], bodies[..., 1] = corner[0], corner[1]
    # Side by side, so that no axes cross.
    bodies[0, 1:, 1] += 0.01 * torch.arange(scene.robots)
    found = wp.zeros(1, dtype=int, device="cpu")
    state = wp.from_torch(bodies.flatten(1))
    wp.launch(_count, dim=1, inputs=[state, k, scene.robots, found], device="cpu")
    assert found.numpy()[0] == contact_room(scene)


def pushed(simulator: Simulator, control_steps: int = 150) -> torch.Tensor:
    """The object's x, y, yaw after two robots have pushed it squarely."""
    behind = -HALF - ROBOT.reach - 0.02
    robots = torch.tensor([[[behind, 0.3, 0.0], [behind, -0.3, 0.0]]])
    start = Start(
        robots=robots,
        robot_velocity=torch.zeros(1, 2, 2),
        object=torch.zeros(1, 3),
        target=torch.zeros(1, 2),
        friction=torch.tensor([0.5]),
    )
    simulator.reset(everyone(1), start)
    advance(simulator, torch.tensor([0.5, 0.0, 0.0]).expand(1, 2, 3), control_steps)
    place = simulator.read().object[0].clone()
    simulator.close()
    return place


@pytest.mark.slow
@pytest.mark.parametrize("shapes", [8, 24])
def test_robots_pressed_on_an_object_of_many_shapes_push_it_as_in_mujoco(shapes: int) -> None:
    pytest.importorskip("mjbatch", reason="needs the mujoco extra")
    from mapush.simulators.mujoco.simulator import MujocoSimulator

    scene = layered(shapes)
    mine, theirs = pushed(PlanarSimulator(scene, 1)), pushed(MujocoSimulator(scene, 1))
    assert float(theirs[0]) > 0.5
    torch.testing.assert_close(mine, theirs, rtol=0, atol=0.01)


def test_more_contacts_than_a_thread_has_memory_for_are_refused() -> None:
    most = (MOST - 5) // (2 * len(ROBOT.hull))
    assert contact_room(layered(most)) <= MOST
    with pytest.raises(RequestError, match=rf"--sim planar: {most + 1} layers: 2 robots and .*use"):
        PlanarSimulator(layered(most + 1), 1)
    task = task_of("cuboid")
    thing = task.object.model_copy(update={"shapes": tuple(layers(most + 1))})
    crowd = task.model_copy(update={"object": thing})
    with pytest.raises(RequestError, match=r"may touch at \d+ places at once, and there is room"):
        FusedEnvironment(crowd, 1, "cpu", seed=0)


def test_robots_that_cross_are_left_as_they_are() -> None:
    simulator = PlanarSimulator(scene_of("cuboid"), 1)
    robots = torch.tensor([[[-4.0, 4.0, 0.0], [-4.0, 4.0, math.pi / 2]]])
    simulator.reset(everyone(1), start_of("cuboid", 1, robots=robots))
    advance(simulator, torch.zeros(1, 2, 3), 50)
    assert torch.equal(simulator.read().robots, robots)
