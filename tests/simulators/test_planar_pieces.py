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

from mapush.environment.fused.random import fill_uniform, philox
from mapush.simulators.planar.compiled import start_warp
from mapush.simulators.planar.contacts import between_segments, to_rounded_box
from mapush.simulators.planar.ground import within_disc

start_warp()
CASES = 150


@wp.kernel
def _discs(
    asked: wp.array(dtype=wp.vec2),
    compliance: wp.array(dtype=wp.vec2),
    limit: wp.array(dtype=float),
    guess: wp.array(dtype=float),
    found: wp.array(dtype=wp.vec3),
) -> None:
    i = wp.tid()
    found[i] = within_disc(asked[i], compliance[i], limit[i], guess[i])


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


def numbers(values: np.ndarray) -> Any:
    return wp.array(np.asarray(values, np.float32), dtype=float, device="cpu")


def unit(angle: np.ndarray) -> np.ndarray:
    return np.stack((np.cos(angle), np.sin(angle)), axis=-1)


@pytest.mark.parametrize("guess", [0.0, 3.0])
def test_friction_is_the_force_within_its_limit_that_costs_least(guess: float) -> None:
    draw = np.random.default_rng(1)
    asked = draw.normal(0.0, 20.0, (CASES, 2))
    compliance = 10 ** draw.uniform(-1.0, 2.0, (CASES, 2))
    limit = draw.uniform(0.1, 40.0, CASES)
    found = launch(
        _discs,
        CASES,
        wp.vec3,
        vectors(asked),
        vectors(compliance),
        numbers(limit),
        numbers(np.full(CASES, guess)),
    )[:, :2]
    ring = unit(np.linspace(0.0, 2 * math.pi, 5_001))
    for each in range(CASES):
        outside = np.linalg.norm(asked[each]) > limit[each]
        tried = limit[each] * ring if outside else asked[each][None]
        cost = (compliance[each] * (tried - asked[each]) ** 2).sum(axis=-1)
        assert np.linalg.norm(found[each]) <= limit[each] * (1 + 1e-5)
        own = (compliance[each] * (found[each] - asked[each]) ** 2).sum()
        assert own <= cost.min() * (1 + 1e-3) + 1e-3


def test_without_a_load_there_is_no_friction() -> None:
    found = launch(
        _discs,
        1,
        wp.vec3,
        vectors([[3.0, 4.0]]),
        vectors([[1.0, 9.0]]),
        numbers([0.0]),
        numbers([0.0]),
    )
    assert found.tolist() == [[0.0, 0.0, 0.0]]


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
