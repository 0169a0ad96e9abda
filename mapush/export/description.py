"""What a robot's program must know of an exported policy, as plain values."""

from __future__ import annotations

from typing import Any, Dict, List

from mapush.checkpoint.manifest import versions
from mapush.export.selection import Source


def describe(source: Source) -> Dict[str, Any]:
    """Names, units and timing of an exported policy's input and outputs."""
    control = source.task.control
    return {
        "task": source.task.name,
        "robots": source.task.robots.count,
        "training_step": source.policy.step,
        "checkpoint": str(source.path),
        "versions": versions(),
        "control_step_seconds": control.step,
        "hold_control_steps": source.policy.decimation,
        "decide_every_seconds": round(source.policy.decimation * control.step, 9),
        "observation": observation_names(source.task.robots.count),
        "observation_frame": "the robot's own position and yaw; m, rad in [0, 2 pi)",
        "action": ["forward", "left", "turn"],
        "command": ["forward m/s", "left m/s", "turn rad/s"],
        "command_rule": f"{list(control.limit)} * clip({control.gain} * action, -1, 1)",
    }


def observation_names(robots: int) -> List[str]:
    """The numbers of one robot's observation, in order."""
    others = [f"robot_minus_{number}" for number in range(1, robots)]
    seen = [f"{body}_{part}" for body in ("object", *others) for part in ("x", "y", "yaw")]
    return ["target_x", "target_y", *seen]
