"""Tasks: what a folder under `task/` says, typed and validated."""

from mapush.tasks.load import known_experiments, load_task, task_folder
from mapush.tasks.push.spec import (
    Arena,
    Box,
    Control,
    Cylinder,
    Goal,
    Metrics,
    Object,
    PushTask,
    Rewards,
    Robots,
    Termination,
)

__all__ = [
    "Arena",
    "Box",
    "Control",
    "Cylinder",
    "Goal",
    "Metrics",
    "Object",
    "PushTask",
    "Rewards",
    "Robots",
    "Termination",
    "known_experiments",
    "load_task",
    "task_folder",
]
