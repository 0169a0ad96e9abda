"""The training loop: rollout, update, boundary, repeat."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Optional

from mapush.environment.base import Environment
from mapush.errors import StorageError
from mapush.learners.base import Learner
from mapush.training.log import RunLog
from mapush.training.saver import Saver
from mapush.training.settings import Settings
from mapush.training.snapshot import snapshot

Evaluation = Callable[[], Dict[str, float]]


@dataclass
class Clock:
    """Seconds since the last entry in the log, by what they were spent on.

    An entry is written before its own boundary is evaluated and saved, so these two are of the
    boundary before.
    """

    simulate: float = 0.0
    act: float = 0.0
    update: float = 0.0
    save: float = 0.0
    evaluate: float = 0.0

    def take(self) -> Dict[str, float]:
        """Hand over the seconds and begin at zero."""
        spent = dict(vars(self))
        for name in spent:
            setattr(self, name, 0.0)
        return spent


@dataclass
class TrainingLoop:
    """Trains until `settings.train_timesteps`, one boundary after the other.

    Attributes:
        settings: what the run was asked to do.
        config: its plain values, for checkpoints.
        environment: begun, or restored at a boundary.
        learner: likewise.
        saver: takes the boundaries that are to be saved.
        log: takes every update.
        evaluate: figures of the learner's present policy.
        check: called between pieces of work; raises to stop.
        on_start: called once, right before the first work.
        on_boundary: called after each update and before anything is written of it; raises where
            another process owns the run by now.
        step: environment steps done.
        epoch: updates done.
        first_step: environment steps at which the run, not this process, began.
        evaluated: whether the evaluation due at `step`, if any, was done before.
        boundary: a copy of everything at the last update boundary.
        clock: where the time since the last update went.
    """

    settings: Settings
    config: Dict[str, Any]
    environment: Environment
    learner: Learner
    saver: Saver
    log: RunLog
    evaluate: Evaluation
    check: Callable[[], None]
    on_start: Callable[[], None]
    on_boundary: Callable[[], None]
    step: int = 0
    epoch: int = 0
    first_step: int = 0
    evaluated: bool = True
    boundary: Dict[str, Any] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    _decided: int = 0
    _unprotected: bool = False
    _lap: float = 0.0
    _boundary_time: float = 0.0

    @property
    def steps_per_update(self) -> int:
        """Environment steps of one rollout."""
        return rollout_steps(self.learner, self.environment.num_envs)

    @property
    def steps_since_boundary(self) -> int:
        """Environment steps done since the last boundary, which stopping now does not keep."""
        return self._decided * self.environment.num_envs * self.environment.decimation

    @property
    def seconds_since_boundary(self) -> float:
        """Time since the last boundary."""
        return time.perf_counter() - self._boundary_time

    def run(self) -> None:
        """Train to the end; the last boundary is durable when this returns.

        Raises:
            Interrupted: a signal came in; `boundary` holds what to save.
            StorageError: the end, or too many steps before it, could not be saved.
        """
        self.boundary, self._boundary_time = self._capture(), time.perf_counter()
        self.check()
        self.on_start()
        self._boundary_time = self._lap = time.perf_counter()
        if not self.evaluated and self.step and self._evaluation_due():
            self._evaluate_and_save()
        while self.step < self.settings.train_timesteps:
            self._rollout()
            losses = self._update()
            self.step += self.steps_per_update
            self.epoch += 1
            self._finish_boundary(losses)
        self.saver.ensure(self.boundary)

    def _rollout(self) -> None:
        environment, learner = self.environment, self.learner
        for _ in range(learner.decisions):
            self.check()
            begun = time.perf_counter()
            action = learner.act(environment.observe())
            acted = time.perf_counter()
            outcome = environment.step(action)
            simulated = time.perf_counter()
            learner.record(
                outcome.reward, outcome.terminated, outcome.truncated, outcome.last_observation
            )
            self._decided += 1
            self.clock.simulate += simulated - acted
            self.clock.act += acted - begun + time.perf_counter() - simulated

    def _update(self) -> Dict[str, float]:
        begun = time.perf_counter()
        progress = self.step / self.settings.train_timesteps
        losses = self.learner.update(self.environment.observe(), progress, self.check)
        self.clock.update += time.perf_counter() - begun
        return losses

    def _finish_boundary(self, losses: Dict[str, float]) -> None:
        terms = self.environment.take_reward_terms()
        episodes = self.environment.take_episodes()
        returns = [episode.reward for episode in episodes]
        train = {
            "average_step_reward": sum(terms.values()),
            "success_rate": self.environment.success_rate,
            "episodes": float(len(episodes)),
        }
        if returns:
            train["episode_return"] = sum(returns) / len(returns)
            steps = [episode.control_steps for episode in episodes]
            train["episode_length"] = sum(steps) / len(steps)
        saving = time.perf_counter()
        self.boundary, self._boundary_time = self._capture(), time.perf_counter()
        self._decided = 0
        self.clock.save += time.perf_counter() - saving
        self.on_boundary()
        # Logged before anything that a signal can break off: what is in the boundary is in the log.
        spent = self.clock.take()
        lap, self._lap = self._lap, time.perf_counter()
        speed = {"steps_per_second": self.steps_per_update / (self._lap - lap)}
        speed.update({f"seconds_{name}": seconds for name, seconds in spent.items()})
        self.log.update(
            self.epoch,
            self.step,
            {
                "train": train,
                "reward": terms,
                "loss": losses,
                "speed": speed,
                "checkpoint": {
                    "stall_ms": 1000 * spent["save"],
                    "unprotected_steps": float(self.step - self.saver.durable_step),
                },
            },
        )
        self._evaluate_and_save()

    def _evaluate_and_save(self) -> None:
        figures: Optional[Dict[str, float]] = None
        if self._evaluation_due():
            begun = time.perf_counter()
            figures = self.evaluate()
            self.log.evaluation(self.step, figures)
            self.clock.evaluate += time.perf_counter() - begun
        first = self.step - self.steps_per_update <= self.first_step
        due = first or self._last or self._crosses(self.settings.save_freq)
        if figures or due or self.saver.failure:
            begun = time.perf_counter()
            self.saver.save(self.boundary, figures)
            self._judge_saving()
            self.clock.save += time.perf_counter() - begun

    def _judge_saving(self) -> None:
        """Go on without a checkpoint for a while, loudly, where the storage refused one."""
        failure, limit = self.saver.failure, self.settings.max_unprotected_steps
        unprotected = self.step - self.saver.durable_step
        if failure is None:
            if self._unprotected:
                self.log.warn("checkpoints are saved again")
            self._unprotected = False
            return
        if unprotected > limit:
            raise StorageError(
                f"{failure}; training has stopped after {unprotected:,} steps without a "
                f"checkpoint, more than --max_unprotected_steps {limit:,}"
            )
        if not self._unprotected:
            self.log.warn(
                f"{failure}; training goes on, and stops after {limit:,} steps without a checkpoint"
            )
        self._unprotected = True

    @property
    def _last(self) -> bool:
        return self.step >= self.settings.train_timesteps

    def _evaluation_due(self) -> bool:
        frequency = self.settings.eval_freq
        return frequency > 0 and (self._last or self._crosses(frequency))

    def _crosses(self, frequency: int) -> bool:
        """Whether the last update reached or passed a multiple of `frequency`."""
        return self.step // frequency > (self.step - self.steps_per_update) // frequency

    def _capture(self) -> Dict[str, Any]:
        return capture(self.learner, self.environment, self.step, self.epoch, self.config)


def capture(
    learner: Learner,
    environment: Environment,
    step: int,
    epoch: int,
    config: Dict[str, Any],
) -> Dict[str, Any]:
    """Copy everything at an update boundary: the content of a `module.pt`."""
    state = {
        **learner.state_dict(),
        "training_step": step,
        "epoch": epoch,
        "environment_state": environment.state_dict(),
        "config": config,
    }
    return snapshot(state)


def rollout_steps(learner: Learner, num_envs: int) -> int:
    """Environment steps of one rollout: environments x decisions x control steps held."""
    return num_envs * learner.decisions * learner.hold
