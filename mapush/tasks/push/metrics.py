"""What the evaluation counts besides success and time."""

from __future__ import annotations

import torch

from mapush.tasks.base import Metric
from mapush.tasks.push.moment import Moment


def collision(moment: Moment) -> torch.Tensor:
    """Something is as it must not be: two robots closer than they may, as a rule."""
    return moment.exception


def collaboration(moment: Moment) -> torch.Tensor:
    """All robots take part: they are within a distance of the object."""
    return (moment.object_distance < moment.task.metrics.collaboration_distance).all(dim=1)


METRICS = (
    Metric("collision degree", collision),
    Metric("collaboration degree", collaboration),
)
