"""The pushing task: object to target, by a team."""

from mapush.tasks.push.spec import CONSTRUCTORS, PushTask
from mapush.tasks.registry import register

register(PushTask, "mapush.tasks.push.logic:PushLogic", CONSTRUCTORS)
