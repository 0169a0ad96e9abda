"""The vectorised episode loop that training, evaluation and pictures share."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Callable, Deque, Dict, Iterator, List, Optional, Tuple

import torch

from mapush.environment.base import (
    RECENT,
    Episode,
    Outcome,
    Policy,
    Transition,
    check_decimation,
)
from mapush.simulators.base import Simulator, State
from mapush.tasks.base import FromGenerator, TaskSpec
from mapush.tasks.registry import make_logic


@dataclass(frozen=True)
class ControlStep:
    """What one control step led to, in every environment.

    Attributes:
        live: (envs,) bool, which episodes were not done before it; only these count.
        success: (envs,) bool, it reached the aim.
        failure: (envs,) bool, it ended the episode otherwise, success or time apart.
        timeout: (envs,) bool, the time is over, whatever else happened.
        rewards: of every term, (envs, agents) or (envs, 1).
        metrics: of the task, (envs,) bool each; only where they are asked for.
    """

    live: torch.Tensor
    success: torch.Tensor
    failure: torch.Tensor
    timeout: torch.Tensor
    rewards: Tuple[torch.Tensor, ...]
    metrics: Tuple[torch.Tensor, ...] = ()

    @property
    def done(self) -> torch.Tensor:
        """Which episodes end with it, for whatever reason (envs,) bool."""
        return self.success | self.failure | self.timeout


class VectorEnvironment:
    """One task in a simulator; an `Environment`.

    It knows what an episode is and nothing of what happens in one: that is the task's logic.
    """

    def __init__(
        self, task: TaskSpec, simulator: Simulator, seed: int, decimation: int = 1
    ) -> None:
        check_decimation(task, decimation)
        self.task = task
        self.num_envs = simulator.num_envs
        self.device = simulator.device
        self.agents = task.agents
        self.observation_size = task.observation_size
        self.action_size = task.action_size
        self.angles = task.angles
        self.decimation = decimation
        self.control_step_seconds = task.scene.step
        self._simulator = simulator
        self._logic = make_logic(task, self.num_envs, self.device)
        self.metric_names = tuple(metric.name for metric in self._logic.metrics)
        self._generator = torch.Generator(device=self.device)
        self._clock = torch.zeros(self.num_envs, dtype=torch.int64, device=self.device)
        self._return = torch.zeros(self.num_envs, device=self.device)
        self._term_sums = torch.zeros(len(self._logic.reward_names), device=self.device)
        self._term_count = 0
        self._recent: Deque[bool] = deque(maxlen=RECENT)
        self._episodes: List[Episode] = []
        self._state: State
        self.restart(seed)

    def restart(self, seed: int) -> None:
        """Begin all episodes anew, and everything else too, as if it were built with `seed`."""
        self._generator.manual_seed(seed)
        self._recent.clear()
        self._forget()
        self._begin(torch.ones(self.num_envs, dtype=torch.bool, device=self.device))

    @property
    def state(self) -> State:
        """Where everything is; holds until the next step."""
        return self._state

    @property
    def target(self) -> Optional[torch.Tensor]:
        """Where the targets of the episodes in flight are (envs, 2), m, if the task has some."""
        target = self._logic.target
        return None if target is None else target.clone()

    def observe(self) -> torch.Tensor:
        """Observations (envs, agents, size) of the present state."""
        return self._logic.observe(self._state)

    def step(self, action: torch.Tensor) -> Transition:
        """Hold actions (envs, agents, size) for `decimation` control steps; begin anew where done.

        An episode that ends meanwhile earns nothing more and begins anew with the next action.
        """
        total = torch.zeros(action.shape[:2], device=self.device)
        done = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        success, failed, late = done, done, done
        length = self._clock.clone()
        for each in self._control_steps(action, done):
            live = each.live[:, None]
            length += each.live
            for index, value in enumerate(each.rewards):
                value = torch.where(live, value, 0.0)
                self._term_sums[index] += value.mean()
                total = total + value
            self._term_count += 1
            success = success | (each.success & each.live)
            failed = failed | (each.failure & each.live)
            late = late | (each.timeout & ~each.success & ~each.failure & each.live)
            done = done | each.done
        self._return += total.mean(dim=1)
        last = self.observe()
        if bool(done.any()):
            self._record(done, length, success, failed)
            self._begin(done)
        return Transition(total, success | failed, late, last)

    @torch.no_grad()
    def first_episodes(
        self, policy: Policy, check: Callable[[], None] = lambda: None
    ) -> Iterator[ControlStep]:
        """Run the episodes that have just begun to their ends; none begins anew.

        Args:
            policy: actions (envs, agents, size) of observations (envs, agents, size).
            check: called before every control step; may raise to stop.

        Yields:
            Every control step, with its metrics, until all episodes are done or the caller stops.
        """
        done = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        for _ in range(self.task.control_steps // self.decimation):
            action = policy(self.observe())
            for each in self._control_steps(action, done, check, measure=True):
                done = done | each.done
                yield each
                if bool(done.all()):
                    return

    def play(self, policy: Policy, check: Callable[[], None] = lambda: None) -> Outcome:
        """Run the episodes that have just begun to their ends; none begins anew."""
        success = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        failed = success.clone()
        steps = torch.zeros(self.num_envs, device=self.device)
        total = steps.clone()
        held = torch.zeros(self.num_envs, len(self.metric_names), device=self.device)
        for each in self.first_episodes(policy, check):
            live = each.live
            steps += live
            for index, value in enumerate(each.metrics):
                held[:, index] += live & value
            total += live * torch.stack([term.mean(dim=1) for term in each.rewards]).sum(dim=0)
            success |= live & each.success
            failed |= live & each.failure
        return Outcome(success, failed, steps, total, held)

    def take_episodes(self) -> List[Episode]:
        """Hand over the episodes finished since the last call, in order."""
        episodes, self._episodes = self._episodes, []
        return episodes

    @property
    def success_rate(self) -> float:
        """Share of the last `RECENT` finished episodes that succeeded; 0 before the first."""
        return sum(self._recent) / max(len(self._recent), 1)

    def take_reward_terms(self) -> Dict[str, float]:
        """Hand over each reward term's mean per control step and agent since the last call."""
        means = (self._term_sums / max(self._term_count, 1)).tolist()
        self._term_sums.zero_()
        self._term_count = 0
        return dict(zip(self._logic.reward_names, means))

    def state_dict(self) -> Dict[str, Any]:
        """Capture the simulator, the episodes in flight and the generator of their starts."""
        return {
            "simulator": self._simulator.state_dict(),
            **{name: value.clone() for name, value in self._logic.memory.items()},
            "clock": self._clock.clone(),
            "return": self._return.clone(),
            "recent": torch.tensor(list(self._recent), dtype=torch.bool),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Restore a capture; sums for the log begin at zero, as at every boundary."""
        self._simulator.load_state_dict(state["simulator"])
        for name, value in self._logic.memory.items():
            value.copy_(state[name])
        self._clock.copy_(state["clock"])
        self._return.copy_(state["return"])
        self._recent = deque(state["recent"].tolist(), maxlen=RECENT)
        self._generator.set_state(state["generator"].cpu())
        self._forget()
        self._state = self._simulator.read()

    def close(self) -> None:
        """Free the simulator."""
        self._simulator.close()

    def _control_steps(
        self,
        action: torch.Tensor,
        done: torch.Tensor,
        check: Callable[[], None] = lambda: None,
        measure: bool = False,
    ) -> Iterator[ControlStep]:
        """Hold actions for `decimation` control steps; resets nothing.

        Args:
            action: (envs, agents, size).
            done: (envs,) bool, which episodes are done already.
            check: called before every control step; may raise to stop.
            measure: whether the task's metrics are wanted.
        """
        logic = self._logic
        command = logic.command(action)
        for _ in range(self.decimation):
            check()
            logic.before_step(self._state)
            self._simulator.step(command)
            self._clock += 1
            self._state = self._simulator.read()
            judged = logic.judge(self._state)
            each = ControlStep(
                live=~done,
                success=judged.success,
                failure=judged.failure,
                timeout=self._clock >= self.task.control_steps,
                rewards=judged.rewards,
                metrics=logic.measure() if measure else (),
            )
            yield each
            done = done | each.done

    def _record(
        self, done: torch.Tensor, length: torch.Tensor, success: torch.Tensor, failed: torch.Tensor
    ) -> None:
        rows = zip(
            self._return[done].tolist(),
            length[done].tolist(),
            success[done].tolist(),
            failed[done].tolist(),
        )
        finished = [Episode(*row) for row in rows]
        self._episodes.extend(finished)
        self._recent.extend(episode.success for episode in finished)

    def _begin(self, mask: torch.Tensor) -> None:
        # As many starts are drawn as episodes begin, and not one for every environment, which a
        # device could do without asking how many there are: the runs and checkpoints that there
        # continue this sequence of draws. The simulator itself gets a mask.
        count = int(mask.sum())
        drawn = self._logic.draw(count, FromGenerator(self._generator))
        start = drawn if count == self.num_envs else drawn.spread(mask)
        self._simulator.reset(mask, start)
        self._clock[mask] = 0
        self._return[mask] = 0.0
        self._state = self._simulator.read()
        self._logic.begin(mask, start, self._state)

    def _forget(self) -> None:
        self._term_sums.zero_()
        self._term_count = 0
        self._episodes = []
