"""What a control step is worth to each robot (terms and scales of the published task)."""

from __future__ import annotations

from typing import Dict

import torch

from mapush.simulators.base import Bodies
from mapush.tasks import PushTask
from mapush.tasks.push.geometry import Footprint, pair_distances, pairs, rotate
from mapush.tasks.push.termination import Ending

TERMS = (
    "reach_target",
    "exception",
    "distance_to_target",
    "approach",
    "collision",
    "push",
    "ocb",
)


class Reward:
    """The reward of one task on one device."""

    def __init__(self, task: PushTask, device: torch.device) -> None:
        self._scale = task.rewards
        self._count = task.robots.count
        self._footprint = Footprint(torch.tensor(task.object.footprint, device=device))
        membership = torch.zeros(len(pairs(self._count)), self._count, device=device)
        for row, members in enumerate(pairs(self._count)):
            membership[row, list(members)] = 1.0
        self._membership = membership

    def terms(
        self, bodies: Bodies, target: torch.Tensor, distance_before: torch.Tensor, ending: Ending
    ) -> Dict[str, torch.Tensor]:
        """Every term, in the order of `TERMS`, as (envs, robots) or, if shared, (envs, 1).

        Args:
            bodies: after the control step.
            target: (envs, 2) m.
            distance_before: (envs,) object to target before the control step, m.
            ending: what the control step ended.
        """
        scale = self._scale
        to_target = target - bodies.object[:, :2]
        distance = to_target.norm(dim=-1)
        from_object = bodies.robots[..., :2] - bodies.object[:, None, :2]
        moving = bodies.object_velocity.norm(dim=-1) > scale.push_speed
        terms = {
            "reach_target": scale.reach_target * ending.arrived.float(),
            "exception": scale.exception * (ending.exception & ~ending.arrived).float(),
            "distance_to_target": scale.distance_to_target
            * (2 * (distance_before - distance) - 0.01 * distance),
            "push": scale.push * moving.float(),
        }
        shared = {name: value[:, None] for name, value in terms.items()}
        own = {
            "approach": scale.approach * (from_object.norm(dim=-1) + 0.5) ** 2,
            "collision": self._collision(bodies),
            "ocb": self._occupancy(
                bodies, from_object, torch.nn.functional.normalize(to_target, dim=-1)
            ),
        }
        return {name: shared[name] if name in shared else own[name] for name in TERMS}

    def _collision(self, bodies: Bodies) -> torch.Tensor:
        if self._count == 1:
            return torch.zeros_like(bodies.robots[..., 0])
        closeness = self._scale.collision / (0.02 + pair_distances(bodies.robots) / 3)
        return closeness @ self._membership

    def _occupancy(
        self, bodies: Bodies, from_object: torch.Tensor, direction: torch.Tensor
    ) -> torch.Tensor:
        """Reward for standing at the face that points away from the target (OCB)."""
        turn = -bodies.object[:, 2]
        normal = self._footprint.nearest_inward_normal(rotate(from_object, turn[:, None]))
        return self._scale.ocb * (normal * rotate(direction, turn)[:, None]).sum(dim=-1)
