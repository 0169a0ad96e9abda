"""The pushing task's tables put together, on a batch of environments."""

from __future__ import annotations

from typing import Tuple

import torch

from mapush.simulators.base import Start, State
from mapush.tasks.base import Judgement, Random, TaskLogic
from mapush.tasks.push.metrics import METRICS
from mapush.tasks.push.moment import Constants, Moment, heights
from mapush.tasks.push.observation import observe
from mapush.tasks.push.reset import draw_start
from mapush.tasks.push.reward import REWARDS, rewards
from mapush.tasks.push.spec import PushTask


class PushLogic(TaskLogic):
    """Observation, reward, end and start of a pushing task."""

    reward_names = tuple(term.name for term in REWARDS)
    metrics = METRICS

    def __init__(self, task: PushTask, num_envs: int, device: torch.device) -> None:
        super().__init__()
        self._task = task
        self._constants = Constants(task, device)
        self._limit = torch.tensor(task.control.limit, device=device)
        self._distance = torch.zeros(num_envs, device=device)
        self._moment: Moment

    def draw(self, count: int, random: Random) -> Start:
        """Draw where `count` episodes begin."""
        return draw_start(self._task, count, random)

    def begin(self, mask: torch.Tensor, start: Start, state: State) -> None:
        """Remember the targets, and the heights that things begin at."""
        self.remember("target", mask, start.target)
        self.remember("start_heights", mask, heights(state))

    def observe(self, state: State) -> torch.Tensor:
        """Observations (envs, robots, 2 + 3 robots)."""
        return observe(state, self.memory["target"])

    def command(self, action: torch.Tensor) -> torch.Tensor:
        """Body-frame velocities (envs, robots, 3): limit * clip(gain * action, -1, 1)."""
        return self._limit * (self._task.control.gain * action).clamp(-1.0, 1.0)

    def before_step(self, state: State) -> None:
        """Note how far the object is from the target."""
        self._distance = (state.object[:, :2] - self.memory["target"]).norm(dim=-1)

    def judge(self, state: State) -> Judgement:
        """Judge a control step by the tables."""
        moment = self._moment = Moment(
            self._constants,
            state,
            self.memory["target"],
            self._distance,
            self.memory["start_heights"],
        )
        return Judgement(moment.arrived, moment.exception & ~moment.arrived, rewards(moment))

    def measure(self) -> Tuple[torch.Tensor, ...]:
        """The metrics of the control step judged last."""
        return tuple(metric.function(self._moment) for metric in METRICS)
