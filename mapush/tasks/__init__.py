"""Tasks: what a folder under `task/` says, typed and validated."""

from mapush.simulators.scene import Arena, Box, Cylinder
from mapush.tasks.load import known_experiments, load_task, task_folder
from mapush.tasks.push.spec import (
    Control,
    Goal,
    Metrics,
    Object,
    PushTask,
    Rewards,
    Robots,
    Termination,
)
from mapush.tasks.registry import register

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
    "register",
    "task_folder",
]
