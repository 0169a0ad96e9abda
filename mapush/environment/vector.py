"""The vectorised environment: one task in a simulator, episode after episode."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Deque, Dict, List, Tuple

import torch

from mapush.errors import RequestError
from mapush.simulators.base import Bodies, Simulator
from mapush.tasks import PushTask
from mapush.tasks.push.observation import observe
from mapush.tasks.push.reset import draw_start
from mapush.tasks.push.reward import TERMS, Reward
from mapush.tasks.push.termination import Ending, arrived, exception, heights

ACTION_SIZE = 3  # forward, left, turn
RECENT = 500  # finished episodes that the running success rate looks back on


@dataclass(frozen=True)
class Outcome:
    """What one decision led to.

    Attributes:
        reward: (envs, robots) summed over the control steps that the action was held.
        terminated: (envs,) bool, the episode ended by arrival or exception.
        truncated: (envs,) bool, it ran out of time: its last state still has a value.
        last_observation: (envs, robots, size) before any environment was reset.
    """

    reward: torch.Tensor
    terminated: torch.Tensor
    truncated: torch.Tensor
    last_observation: torch.Tensor


@dataclass(frozen=True)
class Episode:
    """One finished episode of one environment."""

    reward: float  # summed over its control steps, mean of the robots
    control_steps: int
    success: bool
    exception: bool


class PushEnvironment:
    """Steps a simulator, judges what happened and starts new episodes.

    An action is held for `hold` control steps. An episode that ends while an action is held earns
    nothing more and begins anew with the next decision.
    """

    def __init__(self, task: PushTask, simulator: Simulator, seed: int, hold: int = 1) -> None:
        if hold < 1 or task.termination.control_steps % hold:
            raise RequestError(
                f"hold = {hold}: an action is held for a whole number of control steps that "
                f"divides the episode's {task.termination.control_steps}"
            )
        self.task = task
        self.hold = hold
        self.num_envs = simulator.num_envs
        self.device = simulator.device
        self.episodes: List[Episode] = []
        self._simulator = simulator
        self._reward = Reward(task, self.device)
        self._generator = torch.Generator(device=self.device)
        self._generator.manual_seed(seed)
        self._limit = torch.tensor(task.control.limit, device=self.device)
        self._target = torch.zeros(self.num_envs, 2, device=self.device)
        self._clock = torch.zeros(self.num_envs, dtype=torch.int64, device=self.device)
        self._return = torch.zeros(self.num_envs, device=self.device)
        self._term_sums = torch.zeros(len(TERMS), device=self.device)
        self._term_count = 0
        self._recent: Deque[bool] = deque(maxlen=RECENT)
        self._bodies = simulator.read()
        self._start_heights = heights(self._bodies)
        self._begin(torch.arange(self.num_envs, device=self.device))

    @property
    def bodies(self) -> Bodies:
        """Where everything is."""
        return self._bodies

    @property
    def target(self) -> torch.Tensor:
        """Positions (envs, 2) of the targets of the episodes in flight, m."""
        return self._target.clone()

    def observe(self) -> torch.Tensor:
        """Observations (envs, robots, size) of the present state."""
        return observe(self._bodies, self._target)

    def command(self, action: torch.Tensor) -> torch.Tensor:
        """Body-frame velocity commands (envs, robots, 3) of the network's actions, same shape."""
        return self._limit * (self.task.control.gain * action).clamp(-1.0, 1.0)

    def advance(self, command: torch.Tensor) -> Tuple[Bodies, Ending, Dict[str, torch.Tensor]]:
        """Advance one control step; resets nothing. Returns state, ending and reward terms."""
        before = (self._bodies.object[:, :2] - self._target).norm(dim=-1)
        self._simulator.step(command)
        self._clock += 1
        bodies = self._bodies = self._simulator.read()
        ending = Ending(
            arrived=arrived(bodies, self._target, self.task),
            exception=exception(bodies, self._start_heights, self.task),
            timeout=self._clock >= self.task.termination.control_steps,
        )
        return bodies, ending, self._reward.terms(bodies, self._target, before, ending)

    def step(self, action: torch.Tensor) -> Outcome:
        """Hold actions (envs, robots, 3) for `hold` control steps, then begin anew where over."""
        command = self.command(action)
        total = torch.zeros(action.shape[:2], device=self.device)
        over = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        success, failed, late = over, over, over
        length = self._clock.clone()
        for _ in range(self.hold):
            _, ending, terms = self.advance(command)
            live = ~over[:, None]
            length += ~over
            for index, value in enumerate(terms.values()):
                value = torch.where(live, value, 0.0)
                self._term_sums[index] += value.mean()
                total = total + value
            self._term_count += 1
            success = success | (ending.arrived & ~over)
            failed = failed | (ending.exception & ~ending.arrived & ~over)
            late = late | (ending.timeout & ~ending.arrived & ~ending.exception & ~over)
            over = over | ending.over
        self._return += total.mean(dim=1)
        last = self.observe()
        ended = torch.nonzero(over).flatten()
        if len(ended):
            self._record(ended, length, success, failed)
            self._begin(ended)
        return Outcome(total, success | failed, late, last)

    def take_episodes(self) -> List[Episode]:
        """Hand over the episodes finished since the last call, in order."""
        episodes, self.episodes = self.episodes, []
        return episodes

    @property
    def success_rate(self) -> float:
        """Share of the last `RECENT` finished episodes that succeeded; 0 before the first."""
        return sum(self._recent) / max(len(self._recent), 1)

    def take_terms(self) -> Dict[str, float]:
        """Hand over the mean of each reward term per control step and robot since the last call."""
        means = (self._term_sums / max(self._term_count, 1)).tolist()
        self._term_sums.zero_()
        self._term_count = 0
        return dict(zip(TERMS, means))

    def state_dict(self) -> Dict[str, Any]:
        """Capture the simulator, the episodes in flight and the generator of their starts."""
        return {
            "simulator": self._simulator.state_dict(),
            "target": self._target.clone(),
            "clock": self._clock.clone(),
            "return": self._return.clone(),
            "start_heights": self._start_heights.clone(),
            "recent": torch.tensor(list(self._recent), dtype=torch.bool),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Restore a capture exactly; sums for the log begin at zero, as at every boundary."""
        self._simulator.load_state_dict(state["simulator"])
        self._target.copy_(state["target"])
        self._clock.copy_(state["clock"])
        self._return.copy_(state["return"])
        self._start_heights.copy_(state["start_heights"])
        self._recent = deque(state["recent"].tolist(), maxlen=RECENT)
        self._generator.set_state(state["generator"].cpu())
        self._term_sums.zero_()
        self._term_count = 0
        self.episodes = []
        self._bodies = self._simulator.read()

    def _record(
        self, ended: torch.Tensor, length: torch.Tensor, success: torch.Tensor, failed: torch.Tensor
    ) -> None:
        rows = zip(
            self._return[ended].tolist(),
            length[ended].tolist(),
            success[ended].tolist(),
            failed[ended].tolist(),
        )
        finished = [Episode(*row) for row in rows]
        self.episodes.extend(finished)
        self._recent.extend(episode.success for episode in finished)

    def _begin(self, envs: torch.Tensor) -> None:
        start = draw_start(self.task, len(envs), self._generator)
        self._simulator.reset(envs, start)
        self._target[envs] = start.target
        self._clock[envs] = 0
        self._return[envs] = 0.0
        self._bodies = self._simulator.read()
        self._start_heights[envs] = heights(self._bodies)[envs]
