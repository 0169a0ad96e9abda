"""Every reward term, against values worked out by hand from the published task."""

from __future__ import annotations

import math
from typing import Dict, Sequence

import pytest
import torch

from mapush.simulators.base import State
from mapush.tasks.push.moment import Constants, Moment, heights
from mapush.tasks.push.reward import REWARDS, rewards
from mapush.tasks.push.spec import Rewards
from tests.environment.scripted import bodies_at, task_of

TWO = ((-1.0, 0.0, 0.0), (0.0, 2.0, 0.0))
THREE = ((-1.0, 0.0, 0.0), (2.0, 0.0, 0.0), (-1.0, 4.0, 0.0))


def terms_of(
    bodies: State,
    exp: str = "cuboid",
    target: Sequence[float] = (2.0, 0.0),
    before: float = 2.0,
    arrived: bool = False,
    exception: bool = False,
) -> Dict[str, torch.Tensor]:
    """The reward terms of the one environment by weight, each (robots,) or (1,)."""
    moment = Moment(
        Constants(task_of(exp), torch.device("cpu")),
        bodies,
        torch.tensor([target]),
        torch.tensor([before]),
        heights(bodies),
    )
    moment.ends = (torch.tensor([arrived]), torch.tensor([exception]))
    return {term.weight: value[0] for term, value in zip(REWARDS, rewards(moment))}


def test_every_weight_has_its_term_in_the_table() -> None:
    limits = {"push_speed"}
    assert {*(term.weight for term in REWARDS), *limits} == {*Rewards.model_fields}
    assert len({term.name for term in REWARDS}) == len(REWARDS)


@pytest.mark.parametrize(
    ("arrived", "exception", "reached", "failed"),
    [(False, False, 0, 0), (True, False, 10, 0), (False, True, 0, -5), (True, True, 10, 0)],
)
def test_arrival_and_exception(
    arrived: bool, exception: bool, reached: float, failed: float
) -> None:
    terms = terms_of(bodies_at(TWO), arrived=arrived, exception=exception)
    assert terms["reach_target"].tolist() == [reached]
    assert terms["exception"].tolist() == [failed]


@pytest.mark.parametrize(
    ("before", "now", "value"),
    [
        (2.0, 2.0, 0.325 * -0.02),
        (2.01, 2.0, 0.325 * (0.02 - 0.02)),
        (2.1, 2.0, 0.325 * (0.2 - 0.02)),
        (1.9, 2.0, 0.325 * (-0.2 - 0.02)),
    ],
)
def test_distance_to_target(before: float, now: float, value: float) -> None:
    terms = terms_of(bodies_at(TWO), target=(0.0, -now), before=before)
    assert terms["distance_to_target"].tolist() == pytest.approx([value], abs=1e-6)


def test_approach_is_each_robots_own() -> None:
    terms = terms_of(bodies_at(TWO))
    assert terms["approach"].tolist() == pytest.approx([-0.00075 * 1.5**2, -0.00075 * 2.5**2])


def test_collision_counts_for_both_of_a_pair() -> None:
    value = -0.0025 / (0.02 + math.sqrt(5) / 3)
    assert terms_of(bodies_at(TWO))["collision"].tolist() == pytest.approx([value, value])


def test_collision_adds_up_over_the_others_of_three_with_the_cylinders_scale() -> None:
    near, far, across = (-0.0015 / (0.02 + gap / 3) for gap in (3.0, 4.0, 5.0))
    terms = terms_of(bodies_at(THREE), exp="cylinder")
    expected = [near + far, near + across, far + across]
    assert terms["collision"].tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("velocity", "value"),
    [((0.0, 0.0), 0.0), ((0.09, 0.0), 0.0), ((0.08, 0.08), 0.0015), ((0.0, -0.2), 0.0015)],
)
def test_push_counts_while_the_object_moves(velocity: tuple, value: float) -> None:
    terms = terms_of(bodies_at(TWO, velocity=velocity))
    assert terms["push"].tolist() == pytest.approx([value])


# robot's place in the object's frame, direction of the target there, and the cosine of the reward
OCCUPANCY = [
    ("cuboid", (-1.0, 0.0), (1.0, 0.0), 1.0),  # behind
    ("cuboid", (1.0, 0.0), (1.0, 0.0), -1.0),  # in front
    ("cuboid", (0.3, -1.0), (1.0, 0.0), 0.0),  # beside
    ("cuboid", (-1.0, 0.2), (0.6, 0.8), 0.6),
    ("cylinder", (0.0, -2.0), (0.0, 1.0), 1.0),
    ("cylinder", (-1.125 * 1.5, 0.65 * 1.5), (1.0, 0.0), 1.3 / math.hypot(0.75, 1.3)),
    ("Tblock", (0.0, -0.9), (0.0, 1.0), 1.0),
    ("Tblock", (0.0, 1.5), (0.0, 1.0), -1.0),
    ("Tblock", (0.6, 0.4), (-1.0, 0.0), 1.0 / math.hypot(1.0, 0.25)),
]


@pytest.mark.parametrize("yaw", [0.0, 2.3])
@pytest.mark.parametrize(("exp", "place", "direction", "cosine"), OCCUPANCY)
def test_occupancy(exp: str, place: tuple, direction: tuple, cosine: float, yaw: float) -> None:
    def turned(x: float, y: float, scale: float = 1.0) -> tuple:
        cos, sin = math.cos(yaw), math.sin(yaw)
        return (0.3 + scale * (cos * x - sin * y), -0.2 + scale * (sin * x + cos * y))

    team = [(*turned(*place), 0.7)] * task_of(exp).robots.count
    bodies = bodies_at(team, (0.3, -0.2, yaw))
    terms = terms_of(bodies, exp=exp, target=turned(*direction, scale=2.0))
    assert terms["ocb"].tolist() == pytest.approx([0.004 * cosine] * len(team), abs=1e-6)


def test_an_object_on_its_target_has_a_reward_all_the_same() -> None:
    terms = terms_of(bodies_at(TWO), target=(0.0, 0.0), arrived=True)
    assert all(bool(value.isfinite().all()) for value in terms.values())
    assert terms["ocb"].tolist() == [0.0, 0.0]
