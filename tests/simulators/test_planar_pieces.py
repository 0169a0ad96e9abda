"""The planar simulator's geometry, friction and random numbers, function by function."""

# Warp's types are known to its own compiler only.
# pyright: reportGeneralTypeIssues=false, reportInvalidTypeForm=false, reportAttributeAccessIssue=false
# No postponed annotations here: Warp reads those of kernels in functions as they are.
import math
from typing import Any, List, Tuple

import numpy as np
import pytest

pytest.importorskip("warp", reason="needs the planar extra")

import warp as wp
from scenes import scene_of

from mapush.environment.fused.random import fill_uniform, philox
from mapush.robots.planar import ROBOT
from mapush.simulators.planar.bodies import Body
from mapush.simulators.planar.compiled import start_warp
from mapush.simulators.planar.constants import Constants, make_constants
from mapush.simulators.planar.contacts import between_segments, to_rounded_box
from mapush.simulators.planar.ground import Support, grip, stand
from mapush.simulators.planar.soft import DAMPING, REST_IMPEDANCE
from mapush.simulators.planar.substep import SWEEPS

start_warp()
CASES = 300


@wp.kernel
def _ground(
    velocity: wp.array(dtype=wp.vec3),
    push: wp.array(dtype=wp.vec3),
    friction: wp.array(dtype=float),
    k: Constants,
    forces: wp.array2d(dtype=wp.vec2),
    found: wp.array(dtype=wp.vec3),
) -> None:
    i = wp.tid()
    bodies = wp.zeros(shape=1, dtype=Body)
    supports = wp.zeros(shape=8, dtype=Support)
    thing = Body()
    thing.facing = wp.vec2(1.0, 0.0)
    thing.velocity = wp.vec2(velocity[i][0], velocity[i][1])
    thing.spin = velocity[i][2]
    bodies[0] = thing
    for s in range(k.supports.shape[0]):
        supports[s] = stand(thing, k, s)
    for _ in range(SWEEPS):
        grip(bodies, supports, k, friction[i], push[i])
    for s in range(k.supports.shape[0]):
        forces[i, s] = supports[s].force
    thing = bodies[0]
    found[i] = wp.vec3(thing.acceleration[0], thing.acceleration[1], thing.angular)


@wp.kernel
def _boxes(
    point: wp.array(dtype=wp.vec2),
    half: wp.array(dtype=wp.vec2),
    rounding: float,
    found: wp.array(dtype=wp.vec3),
) -> None:
    i = wp.tid()
    found[i] = to_rounded_box(point[i], half[i], rounding)


@wp.kernel
def _segments(
    offset: wp.array(dtype=wp.vec2),
    along: wp.array(dtype=wp.vec2),
    other: wp.array(dtype=wp.vec2),
    half: float,
    found: wp.array(dtype=wp.vec2),
) -> None:
    i = wp.tid()
    found[i] = between_segments(offset[i], along[i], other[i], half)


@wp.kernel
def _philox(
    counter: wp.array(dtype=wp.vec4ui),
    key: wp.array(dtype=wp.vec2ui),
    found: wp.array(dtype=wp.vec4ui),
) -> None:
    i = wp.tid()
    found[i] = philox(counter[i], key[i])


@wp.kernel
def _uniform(seed: int, episode: int, found: wp.array2d(dtype=float)) -> None:
    e = wp.tid()
    fill_uniform(seed, e, episode, found[e])


def launch(kernel: Any, count: int, dtype: Any, *inputs: Any) -> np.ndarray:
    """What a kernel finds, a row for each case."""
    found = wp.zeros(count, dtype=dtype, device="cpu")
    wp.launch(kernel, dim=count, inputs=[*inputs, found], device="cpu")
    return found.numpy()


def vectors(values: np.ndarray) -> Any:
    return wp.array(np.asarray(values, np.float32), dtype=wp.vec2, device="cpu")


def threes(values: np.ndarray) -> Any:
    return wp.array(np.asarray(values, np.float32), dtype=wp.vec3, device="cpu")


def numbers(values: np.ndarray) -> Any:
    return wp.array(np.asarray(values, np.float32), dtype=float, device="cpu")


def unit(angle: np.ndarray) -> np.ndarray:
    return np.stack((np.cos(angle), np.sin(angle)), axis=-1)


@pytest.mark.parametrize("exp", ["cuboid", "Tblock", "cylinder"])
def test_friction_balances_the_push_and_is_what_its_law_says(exp: str) -> None:
    draw = np.random.default_rng(1)
    k = make_constants(scene_of(exp), "cpu", ROBOT)
    places = k.supports.numpy()
    velocity = draw.normal(0.0, 0.3, (CASES, 3)) * 10 ** draw.uniform(-4.0, 0.0, (CASES, 1))
    push = draw.normal(0.0, 1.0, (CASES, 3)) * [40.0, 40.0, 10.0]
    push[:20] = 0.0
    friction = draw.uniform(0.2, 0.6, CASES)
    friction[20:30] = 0.0
    given = wp.zeros((CASES, len(places)), dtype=wp.vec2, device="cpu")
    inputs = [threes(velocity), threes(push), numbers(friction), k, given]
    found = launch(_ground, CASES, wp.vec3, *inputs).astype(float)
    force = given.numpy().astype(float)
    total, arm = force.sum(axis=1), places[:, :2]
    lever = np.stack((-places[:, 1], places[:, 0]), axis=-1)
    torque = (lever * force).sum(axis=(1, 2))
    mass = np.array([k.mass, k.mass, k.inertia])
    unbalanced = np.abs(push + np.column_stack((total, torque)) - mass * found).max(axis=1)
    spread = np.array([[k.spread[0], k.spread[1]], [k.spread[1], k.spread[2]]])
    load = places[:, 2] - k.push_height * (total @ spread @ arm.T)
    limit = friction[:, None] * np.maximum(load, 0.0)
    lack = -DAMPING * (velocity[:, None, :2] + velocity[:, None, 2:] * lever)
    lack -= found[:, None, :2] + found[:, None, 2:] * lever
    size = np.maximum(np.linalg.norm(lack, axis=-1), 1e-9)
    soft = (1 - REST_IMPEDANCE) / REST_IMPEDANCE / k.mass
    law = lack * np.minimum(1 / soft, limit / size)[..., None]
    wrong = np.abs(law - force).max(axis=(1, 2))
    assert not force[20:30].any()
    for error in (unbalanced, wrong):  # N, N m
        assert np.median(error) < 1e-4
        assert np.quantile(error, 0.95) < 1e-2
        assert error.max() < 6.0


@pytest.mark.parametrize("rounding", [0.0, 0.3])
def test_the_distance_to_a_box_is_that_to_the_nearest_point_of_its_outline(rounding: float) -> None:
    draw = np.random.default_rng(2)
    half = draw.uniform(0.1, 1.0, (CASES, 2))
    point = draw.uniform(-2.0, 2.0, (CASES, 2))
    found = launch(_boxes, CASES, wp.vec3, vectors(point), vectors(half), float(rounding))
    step = np.linspace(-1.0, 1.0, 4001)
    edge = np.ones_like(step)
    sides = [(step, edge), (step, -edge), (edge, step), (-edge, step)]
    outline = np.concatenate([np.stack(side, axis=-1) for side in sides])
    for p, h, (x, y, distance) in zip(point, half, found):
        to_edge = np.linalg.norm(outline * h - p, axis=-1).min()
        inside = (np.abs(p) < h).all()
        assert math.hypot(x, y) == pytest.approx(1.0, abs=1e-5)
        assert distance == pytest.approx((-to_edge if inside else to_edge) - rounding, abs=1e-3)
        # along the normal there is the outline
        on_edge = p - (distance + rounding) * np.array([x, y])
        assert np.abs(np.abs(on_edge) / h).max() == pytest.approx(1.0, abs=1e-4)


def test_a_cylinder_is_a_rounded_point() -> None:
    found = launch(_boxes, 1, wp.vec3, vectors([[0.6, -0.8]]), vectors([[0.0, 0.0]]), 1.5)
    assert found[0].tolist() == pytest.approx([0.6, -0.8, -0.5], abs=1e-6)


def test_segments_are_nearest_where_no_other_two_points_are_nearer() -> None:
    draw = np.random.default_rng(3)
    half = 0.18
    offset = draw.uniform(-0.7, 0.7, (CASES, 2))
    along, other = unit(draw.uniform(0.0, 7.0, CASES)), unit(draw.uniform(0.0, 7.0, CASES))
    other[:20] = along[:20]  # parallel
    other[20:40] = -along[20:40]
    found = launch(_segments, CASES, wp.vec2, vectors(offset), vectors(along), vectors(other), half)
    places = np.linspace(-half, half, 201)
    for o, a, b, (first, second) in zip(offset, along, other, found):
        gaps = o + places[:, None, None] * a - places[None, :, None] * b
        least = np.linalg.norm(gaps, axis=-1).min()
        assert max(abs(first), abs(second)) <= half + 1e-6
        assert np.linalg.norm(o + first * a - second * b) <= least + 1e-3


# Of the file kat_vectors of Random123 (Salmon et al.): counter, key, what philox4x32-10 makes.
KNOWN_ANSWERS: List[Tuple[List[int], List[int], List[int]]] = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([2**32 - 1] * 4, [2**32 - 1] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox_gives_the_known_answers(
    counter: List[int], key: List[int], answer: List[int]
) -> None:
    def words(values: List[int], dtype: Any) -> Any:
        return wp.array(np.array([values], np.uint32), dtype=dtype, device="cpu")

    found = launch(_philox, 1, wp.vec4ui, words(counter, wp.vec4ui), words(key, wp.vec2ui))
    assert found[0].tolist() == answer


def test_uniform_numbers_depend_on_seed_environment_and_episode_alone() -> None:
    def drawn(envs: int, count: int, seed: int, episode: int) -> np.ndarray:
        found = wp.zeros((envs, count), dtype=float, device="cpu")
        wp.launch(_uniform, dim=envs, inputs=[seed, episode, found], device="cpu")
        return found.numpy()

    many = drawn(500, 30, seed=5, episode=2)
    assert (many[:3, :7] == drawn(3, 7, seed=5, episode=2)).all()
    assert len(np.unique(many)) > 0.999 * many.size
    assert ((many >= 0.0) & (many < 1.0)).all()
    assert many.mean() == pytest.approx(0.5, abs=0.01)
    for other in (drawn(500, 30, seed=6, episode=2), drawn(500, 30, seed=5, episode=3)):
        assert not (many == other).any(axis=1).any()
