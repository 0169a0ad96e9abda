"""The walking controller: what its policy sees, in which order, and what the motors do with it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import List, Tuple

import pytest
import torch
from torch import nn

from mapush.errors import RequestError
from mapush.robots.assets import ACTUATOR, ADAPTATION, BODY, Assets
from mapush.robots.walking import (
    JOINTS,
    STANCE,
    Networks,
    WalkingController,
    joint_order,
    load_networks,
)
from mapush.simulators.isaacgym.rotation import from_yaw, gravity_direction, roll_pitch_yaw
from tests.container import robot_double

CPU = torch.device("cpu")
COUNT = 3


class Recorder(nn.Module):
    """A network that remembers what it was shown and answers the same to everything."""

    def __init__(self, answer: torch.Tensor) -> None:
        super().__init__()
        self.answer = answer
        self.seen: List[torch.Tensor] = []

    def forward(self, shown: torch.Tensor) -> torch.Tensor:
        self.seen.append(shown.clone())
        return self.answer.expand(len(shown), -1)


def made(action: torch.Tensor, torque: float = 0.0) -> Tuple[WalkingController, Networks]:
    networks = Networks(
        adaptation=Recorder(torch.tensor([0.7, -0.7])),  # type: ignore[arg-type]
        body=Recorder(action),  # type: ignore[arg-type]
        actuator=Recorder(torch.tensor([torque])),  # type: ignore[arg-type]
    )
    return WalkingController(networks, COUNT, CPU), networks


def stand() -> Tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(STANCE).expand(COUNT, 12).clone(), torch.zeros(COUNT, 12)


DOWN = torch.tensor([0.0, 0.0, -1.0]).expand(COUNT, 3)


def test_one_control_step_is_seen_as_the_policy_was_trained() -> None:
    controller, networks = made(torch.arange(12) / 10)
    position, velocity = stand()
    position[:, 4] += 0.5
    velocity[:, 7] = 2.0
    command = torch.tensor([0.4, -0.3, 0.2]).expand(COUNT, 3)
    for _ in range(3):
        controller.decide(command, DOWN, position, velocity)
        controller.advance_gait(0.02)
    body = networks.body
    assert isinstance(body, Recorder)
    newest = body.seen[-1][1, 29 * 70 : 30 * 70]
    expected = torch.zeros(70)
    expected[:3] = torch.tensor([0.0, 0.0, -1.0])
    expected[3:6] = torch.tensor([0.4 * 2.0, -0.3 * 2.0, 0.2 * 0.25])
    expected[6:8] = torch.tensor([0.0, 3.0])  # body height, Hz
    expected[8:12] = torch.tensor([0.5, 0.0, 0.0, 0.5])  # trotting, half of the time on the ground
    expected[12:15] = torch.tensor([0.08 * 0.15, 0.0, 0.0])
    expected[15:18] = torch.tensor([0.25, 0.428, 0.0])
    expected[18 + 4] = 0.5
    expected[30 + 7] = 2.0 * 0.05
    expected[42:54] = torch.arange(12) / 10  # the last action
    expected[54:66] = torch.arange(12) / 10  # the one before
    gait = 2 * 0.02 * 3.0
    for foot, phase in enumerate((0.5, 0.0, 0.0, 0.5)):
        expected[66 + foot] = math.sin(2 * math.pi * (gait + phase))
    torch.testing.assert_close(newest, expected)
    assert torch.equal(body.seen[-1][1, 2100:], torch.tensor([0.7, -0.7]))  # the latent


def test_the_history_is_thirty_steps_the_newest_last_and_a_new_episode_knows_none() -> None:
    controller, networks = made(torch.zeros(12))
    body = networks.body
    assert isinstance(body, Recorder)
    position, velocity = stand()
    for step in range(33):
        command = torch.full((COUNT, 3), float(step))
        controller.decide(command, DOWN, position, velocity)
    history = body.seen[-1][:, :2100].view(COUNT, 30, 70)
    assert history[0, :, 3].tolist() == [2.0 * step for step in range(3, 33)]
    controller.forget(torch.tensor([1]))
    controller.decide(torch.ones(COUNT, 3), DOWN, position, velocity)
    history = body.seen[-1][:, :2100].view(COUNT, 30, 70)
    assert not history[1, :29].any()
    assert history[0, :29].any()
    assert history[2, :29].any()


def test_the_last_two_actions_are_told_apart() -> None:
    controller, networks = made(torch.full((12,), 1.0))
    body = networks.body
    assert isinstance(body, Recorder)
    position, velocity = stand()
    for value in (1.0, 2.0, 3.0):
        body.answer = torch.full((12,), value)
        controller.decide(torch.zeros(COUNT, 3), DOWN, position, velocity)
    newest = body.seen[-1][0, 29 * 70 : 30 * 70]
    assert newest[42].item() == 2.0
    assert newest[54].item() == 1.0


def test_motors_see_the_way_still_to_go_and_the_speed_now_and_twice_before() -> None:
    action = torch.full((12,), 2.0)
    controller, networks = made(action, torque=1.5)
    actuator = networks.actuator
    assert isinstance(actuator, Recorder)
    position, velocity = stand()
    controller.decide(torch.zeros(COUNT, 3), DOWN, position, velocity)
    for substep in range(3):
        controller.torque(position + 0.1 * substep, velocity + substep)
    hip, thigh = actuator.seen[-1].view(COUNT, 12, 6)[2, :2]
    # hips reach half as far: 2.0 * 0.25 * 0.5
    torch.testing.assert_close(hip, torch.tensor([-0.05, -0.15, -0.25, 2.0, 1.0, 0.0]))
    torch.testing.assert_close(thigh, torch.tensor([-0.3, -0.4, -0.5, 2.0, 1.0, 0.0]))


@pytest.mark.parametrize(("torque", "expected"), [(100.0, (20, 20, 25)), (-100.0, (-20, -20, -25))])
def test_torques_are_limited(torque: float, expected: Tuple[int, ...]) -> None:
    controller, _ = made(torch.zeros(12), torque)
    given = controller.torque(*stand())
    assert given[0].tolist() == [float(value) for value in expected * 4]


def test_actions_are_limited() -> None:
    controller, _ = made(torch.full((12,), 99.0))
    position, velocity = stand()
    controller.decide(torch.zeros(COUNT, 3), DOWN, position, velocity)
    assert controller.memory["action"].unique().tolist() == [10.0]


@pytest.mark.parametrize(
    ("name", "size", "out"), [(BODY, 2102, 11), (ADAPTATION, 2100, 3), (ACTUATOR, 6, 2)]
)
def test_a_network_of_another_shape_is_refused(
    name: str, size: int, out: int, tmp_path: Path
) -> None:
    robot_double.make(tmp_path)
    robot_double.save(nn.Linear(size, out), tmp_path / name)
    with pytest.raises(RequestError, match=r"gives \(2, \d+\) for"):
        load_networks(Assets(tmp_path), CPU)


def test_a_network_that_torch_cannot_read_is_refused(tmp_path: Path) -> None:
    robot_double.make(tmp_path)
    (tmp_path / BODY).write_bytes(b"no network")
    with pytest.raises(RequestError, match=r"body_latest.jit: torch .* cannot run it"):
        load_networks(Assets(tmp_path), CPU)


def test_joints_are_found_by_their_names() -> None:
    shuffled = JOINTS[3:6] + JOINTS[:3] + JOINTS[6:]
    assert joint_order(shuffled) == (3, 4, 5, 0, 1, 2, 6, 7, 8, 9, 10, 11)
    with pytest.raises(RequestError, match="not a Go1's"):
        joint_order(JOINTS[:11])


@pytest.mark.parametrize(
    ("roll", "pitch", "yaw"), [(0.3, -0.2, 1.0), (0.0, 0.0, -3.0), (-1.0, 0.9, 2.0)]
)
def test_angles_and_down_from_quaternions(roll: float, pitch: float, yaw: float) -> None:
    def about(axis: int, angle: float) -> torch.Tensor:
        matrix = torch.eye(3)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        matrix[i, i] = matrix[j, j] = math.cos(angle)
        matrix[j, i], matrix[i, j] = math.sin(angle), -math.sin(angle)
        return matrix

    turn = about(2, yaw) @ about(1, pitch) @ about(0, roll)
    w = 0.5 * math.sqrt(1 + float(turn.trace()))
    axis = torch.stack((turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]))
    quaternion = torch.cat((axis / (4 * w), torch.tensor([w])))
    torch.testing.assert_close(
        roll_pitch_yaw(quaternion), torch.tensor([roll, pitch, yaw]), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(
        gravity_direction(quaternion), turn.T @ torch.tensor([0.0, 0.0, -1.0]), atol=1e-5, rtol=0
    )
    flat = roll_pitch_yaw(from_yaw(torch.tensor(yaw)))
    torch.testing.assert_close(flat, torch.tensor([0.0, 0.0, yaw]), atol=1e-6, rtol=0)
