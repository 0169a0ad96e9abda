"""Go1s that walk: from a velocity command to joint torques, as walk-these-ways does it.

A policy looks at the last 30 control steps and names joint targets at 50 Hz; at every substep a
network of the real robot's motors turns the way still to go into torques.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, Sequence, Tuple

import torch

from mapush.errors import RequestError
from mapush.robots.assets import ACTUATOR, ADAPTATION, BODY, Assets

JOINTS: Tuple[str, ...] = tuple(
    f"{leg}_{joint}_joint" for leg in ("FL", "FR", "RL", "RR") for joint in ("hip", "thigh", "calf")
)
# rad; in the order of JOINTS
STANCE: Tuple[float, ...] = (
    *(0.1, 0.8, -1.5),
    *(-0.1, 0.8, -1.5),
    *(0.1, 1.0, -1.5),
    *(-0.1, 1.0, -1.5),
)
TORQUE_LIMITS: Tuple[float, ...] = (20.0, 20.0, 25.0) * 4  # N m
HISTORY = 30  # control steps

_JOINT_COUNT = len(JOINTS)
_ACTION_SCALE = 0.25
_HIP_SHARE = 0.5
_ACTION_LIMIT = 10.0
_VELOCITY_SCALE = 0.05
_LATENT = 2

# The command, scaled as the policy was trained: forward, left, turn, then how to walk.
_COMMAND_SCALE = (2.0, 2.0, 0.25)
_FREQUENCY, _PHASES, _DURATION = 3.0, (0.5, 0.0, 0.0), 0.5  # Hz; trotting; share on the ground
_MANNER: Tuple[float, ...] = (
    *(0.0 * 2.0, _FREQUENCY, *_PHASES, _DURATION),  # body height, gait
    *(0.08 * 0.15, 0.0 * 0.3, 0.0 * 0.3),  # foot swing height (m), body pitch, body roll
    *(0.25, 0.428, 0.0),  # stance width and length (m), auxiliary
)
OBSERVATION = 3 + len(_COMMAND_SCALE) + len(_MANNER) + 4 * _JOINT_COUNT + 4  # 70


@dataclass(frozen=True)
class Networks:
    """The three networks, on one device.

    Attributes:
        adaptation: history (n, 2100) to what it says of the ground and the body (n, 2).
        body: both (n, 2102) to joint actions (n, 12).
        actuator: position errors (rad) and velocities (rad/s) of a joint, now and one and two
            substeps ago (n, 6), to its torque (n, 1), N m.
    """

    adaptation: torch.jit.ScriptModule
    body: torch.jit.ScriptModule
    actuator: torch.jit.ScriptModule


def load_networks(assets: Assets, device: torch.device) -> Networks:
    """Load the networks and make sure of their shapes.

    Raises:
        RequestError: one cannot be loaded by this torch, or is of other shapes.
    """
    width = HISTORY * OBSERVATION
    return Networks(
        adaptation=_load(assets, ADAPTATION, device, width, _LATENT),
        body=_load(assets, BODY, device, width + _LATENT, _JOINT_COUNT),
        actuator=_load(assets, ACTUATOR, device, 6, 1),
    )


def _load(
    assets: Assets, name: str, device: torch.device, size: int, expected: int
) -> torch.jit.ScriptModule:
    try:
        network = torch.jit.load(str(assets[name]), map_location=device).eval()
        with torch.no_grad():
            found = tuple(network(torch.zeros(2, size, device=device)).shape)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1:] or ["no reason given"]
        raise RequestError(
            f"{assets[name]}: torch {torch.__version__} cannot run it ({reason[0]:.200})"
        ) from None
    if found != (2, expected):
        raise RequestError(f"{assets[name]}: gives {found} for (2, {size}), not (2, {expected})")
    return network


class WalkingController:
    """`count` robots, each with the memory of its own policy and motors.

    All joint tensors are (count, 12) in the order of `JOINTS`.
    """

    def __init__(self, networks: Networks, count: int, device: torch.device) -> None:
        self._networks = networks
        self._stance = torch.tensor(STANCE, device=device)
        self._limit = torch.tensor(TORQUE_LIMITS, device=device)
        reach = torch.full((_JOINT_COUNT,), _ACTION_SCALE, device=device)
        reach[::3] *= _HIP_SHARE
        self._reach = reach
        self._command_scale = torch.tensor(_COMMAND_SCALE, device=device)
        self._manner = torch.tensor(_MANNER, device=device).expand(count, -1)
        # Feet in the order of JOINTS: front left, front right, rear left, rear right.
        phase, offset, bound = _PHASES
        self._foot_phase = torch.tensor(
            (phase + offset + bound, offset, bound, phase), device=device
        )
        joints = torch.zeros(count, _JOINT_COUNT, device=device)
        self.memory: Dict[str, torch.Tensor] = {
            "history": torch.zeros(count, HISTORY * OBSERVATION, device=device),
            "gait": torch.zeros(count, device=device),  # share of the gait's cycle that is done
            "action": joints.clone(),
            "action_before": joints.clone(),
            "error_1": joints.clone(),  # position errors and velocities one and two substeps ago
            "error_2": joints.clone(),
            "velocity_1": joints.clone(),
            "velocity_2": joints.clone(),
        }

    def forget(self, robots: torch.Tensor) -> None:
        """Begin anew for the robots (k,) int64."""
        for value in self.memory.values():
            value[robots] = 0.0

    @torch.no_grad()
    def decide(
        self,
        command: torch.Tensor,
        gravity: torch.Tensor,
        position: torch.Tensor,
        velocity: torch.Tensor,
    ) -> None:
        """Choose joint targets for one control step.

        Args:
            command: (count, 3) m/s forward, m/s left, rad/s.
            gravity: (count, 3) where down is, in the base's frame.
            position: (count, 12) of the joints, rad.
            velocity: (count, 12) of the joints, rad/s.
        """
        memory = self.memory
        observation = self.observe(command, gravity, position, velocity)
        memory["history"] = torch.cat((memory["history"][:, OBSERVATION:], observation), dim=1)
        history = memory["history"]
        latent = self._networks.adaptation(history)
        action = self._networks.body(torch.cat((history, latent), dim=1))
        memory["action_before"] = memory["action"]
        memory["action"] = action.clamp(-_ACTION_LIMIT, _ACTION_LIMIT)

    def observe(
        self,
        command: torch.Tensor,
        gravity: torch.Tensor,
        position: torch.Tensor,
        velocity: torch.Tensor,
    ) -> torch.Tensor:
        """What the policy sees of one control step (count, 70)."""
        memory = self.memory
        return torch.cat(
            (
                gravity,
                command * self._command_scale,
                self._manner,
                position - self._stance,
                velocity * _VELOCITY_SCALE,
                memory["action"],
                memory["action_before"],
                self._clock(),
            ),
            dim=1,
        )

    @torch.no_grad()
    def torque(self, position: torch.Tensor, velocity: torch.Tensor) -> torch.Tensor:
        """Torques (count, 12), N m, for the next substep."""
        memory = self.memory
        error = position - (self._stance + self._reach * memory["action"])
        seen = torch.stack(
            (
                error,
                memory["error_1"],
                memory["error_2"],
                velocity,
                memory["velocity_1"],
                memory["velocity_2"],
            ),
            dim=-1,
        )
        torque = self._networks.actuator(seen.reshape(-1, 6)).reshape(error.shape)
        memory["error_2"], memory["error_1"] = memory["error_1"], error
        memory["velocity_2"], memory["velocity_1"] = memory["velocity_1"], velocity.clone()
        return torch.maximum(torch.minimum(torque, self._limit), -self._limit)

    def advance_gait(self, seconds: float) -> None:
        """Let the gait's clock run on, at the end of a control step."""
        self.memory["gait"] = torch.remainder(self.memory["gait"] + seconds * _FREQUENCY, 1.0)

    def _clock(self) -> torch.Tensor:
        """When each foot is to be down and up, as sines (count, 4)."""
        phase = torch.remainder(self.memory["gait"][:, None] + self._foot_phase, 1.0)
        # Time on the ground is stretched to half a sine's cycle, time in the air to the other.
        down = phase * (0.5 / _DURATION)
        up = 0.5 + (phase - _DURATION) * (0.5 / (1 - _DURATION))
        return torch.sin(2 * math.pi * torch.where(phase < _DURATION, down, up))


def joint_order(names: Sequence[str]) -> Tuple[int, ...]:
    """Where each of `JOINTS` stands among a simulator's joints.

    Raises:
        RequestError: the robot's joints are others.
    """
    if sorted(names) != sorted(JOINTS):
        raise RequestError(f"the robot's joints are {', '.join(names)}, not a Go1's")
    return tuple(names.index(name) for name in JOINTS)
