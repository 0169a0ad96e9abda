"""Rotations as Isaac Gym gives them: unit quaternions (..., 4), the real part last."""

from __future__ import annotations

import torch


def from_yaw(yaw: torch.Tensor) -> torch.Tensor:
    """Quaternions (..., 4) of turns about the vertical by yaw (...), rad."""
    zero = torch.zeros_like(yaw)
    return torch.stack((zero, zero, torch.sin(yaw / 2), torch.cos(yaw / 2)), dim=-1)


def roll_pitch_yaw(quaternion: torch.Tensor) -> torch.Tensor:
    """Angles (..., 3), rad, about x, then y, then z of the world's frame."""
    x, y, z, w = quaternion.unbind(dim=-1)
    roll = torch.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    pitch = torch.asin((2 * (w * y - z * x)).clamp(-1.0, 1.0))
    yaw = torch.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    return torch.stack((roll, pitch, yaw), dim=-1)


def gravity_direction(quaternion: torch.Tensor) -> torch.Tensor:
    """Where down is (..., 3) in the frame of bodies that are turned so; a unit vector."""
    x, y, z, w = quaternion.unbind(dim=-1)
    return torch.stack(
        (-2 * (x * z - w * y), -2 * (y * z + w * x), 2 * (x * x + y * y) - 1), dim=-1
    )
