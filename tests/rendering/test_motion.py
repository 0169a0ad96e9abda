from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="pictures need the mujoco extra")

import mujoco

from mapush.rendering.motion import FOOT, LIFT, STAND, Motion, gait
from mapush.rendering.stage import build_stage
from mapush.simulators import Scene

TASKS = Path(__file__).resolve().parents[2] / "task"


def walk(speed: float, frames: int = 100) -> Motion:
    robots = np.zeros((frames, 1, 6))
    robots[:, 0, 0] = speed * 0.02 * np.arange(frames)
    robots[..., 2] = STAND
    return Motion(0.02, np.ones(2), np.zeros((frames, 4)), robots)


def test_legs_trot_at_three_hertz_at_full_speed_and_rest_at_rest() -> None:
    assert np.ptp(gait(walk(0.0)), axis=0).max() == 0
    knees = gait(walk(0.5))[:, 0, :, 2]
    spectrum = np.abs(np.fft.rfft(knees - knees.mean(axis=0), axis=0))
    frequencies = np.fft.rfftfreq(len(knees), 0.02)
    assert frequencies[spectrum.argmax(axis=0)] == pytest.approx([3.0] * 4)
    left_front, right_front, left_rear, right_rear = knees.T
    np.testing.assert_allclose(left_front, right_rear)
    np.testing.assert_allclose(right_front, left_rear)
    assert np.abs(left_front - right_front).max() > 0.1


@pytest.mark.parametrize("speed", [0.0, 0.2, 0.5])
def test_feet_stand_still_on_the_ground(speed: float) -> None:
    model = build_stage(Scene(name="alone", robots=1), (64, 64)).compile()
    data = mujoco.MjData(model)
    motion = walk(speed)
    angles = gait(motion)
    feet = [i for i in range(model.ngeom) if model.geom_size[i, 0] == FOOT]
    assert len(feet) == 4
    places = []
    for frame in range(100):
        data.mocap_pos[0] = motion.robots[frame, 0, :3]
        data.qpos[:] = angles[frame].ravel()
        mujoco.mj_kinematics(model, data)
        places.append(data.geom_xpos[feet])
    heights = np.array(places)[..., 2] - FOOT
    assert np.abs(heights.min(axis=1)).max() < 0.004
    assert heights.max() < 1.1 * LIFT
    assert (heights.max() > 0.5 * LIFT) == (speed > 0)
    slip = np.abs(np.diff(np.array(places)[..., 0], axis=0)) / 0.02
    standing = (heights[:-1] < 0.001) & (heights[1:] < 0.001)
    assert slip[standing].mean() <= 0.5 * speed
