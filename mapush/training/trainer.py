"""One training run from its request to its exit code: build, resume, loop, stop, finish."""

from __future__ import annotations

import contextlib
import time
from datetime import datetime
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import torch

from mapush.arguments import command_line
from mapush.checkpoint import retention
from mapush.environment.base import Environment
from mapush.environment.build import make_environment
from mapush.errors import EXIT_COMPLETE, EXIT_RUN_AGAIN, LostRunError, MapushError, RequestError
from mapush.files import check_path, is_directory, make_directory, storage_errors
from mapush.learners.base import Learner
from mapush.learners.openrl import OpenRLLearner
from mapush.learners.ppo import PPOLearner
from mapush.runs.directory import RunDirectory
from mapush.runs.lease import Lease, acquire
from mapush.runs.naming import reserve
from mapush.runs.owner import Owner
from mapush.training import startup
from mapush.training.checkpointing import (
    Boundary,
    Checkpointer,
    Moment,
    capture,
    evaluation_policy,
    save_policy,
)
from mapush.training.disk_space import Space, estimate, require
from mapush.training.evaluations import evaluate_learner, evaluate_run, learner_evaluator
from mapush.training.figures import Stopwatch, update_figures
from mapush.training.interruption import SignalFlag, Stopped, interruption
from mapush.training.log import RunLog, say, show_any_letter
from mapush.training.plan import Plan, plan_new, plan_resumed, record_fields
from mapush.training.request import (
    Request,
    find_run,
    is_finished,
    refuse_another_request,
    refuse_another_start,
)
from mapush.training.resume import newest_valid, restore
from mapush.training.standing import Standing, first_step
from mapush.training.startup import worth_a_retry

TORCH_THREADS = 1  # fixed: sums split over threads differ in their last bits, and nets are small
LEARNERS = {"native": PPOLearner, "openrl": OpenRLLearner}


def train(request: Request, flag: SignalFlag) -> int:
    """Train a new run, or resume the one that is named or that this job has begun.

    Args:
        request: What is asked for.
        flag: Entered already, so that no signal is missed.

    Returns:
        The exit code: 0 complete, 75 stopped early with a durable checkpoint.

    Raises:
        MapushError: What stands in the way, in one line.
    """
    show_any_letter()
    startup.refuse_many_tasks()
    check_path("--root", request.root)
    if request.checkpoint is not None:
        check_path("--checkpoint", request.checkpoint)
    torch.set_num_threads(TORCH_THREADS)
    owner = Owner.current()
    # Only the first start of a job can be certain that nothing has been trained.
    with (worth_a_retry if owner.restart else storage_errors)(request.root):
        run = find_run(request, owner)
        if run is None:
            return _start(request, owner, flag)
    with worth_a_retry(request.root):
        return _resume(run, request, owner, flag)


def _start(request: Request, owner: Owner, flag: SignalFlag) -> int:
    """Train a new run; what is wrong with the request is found before anything is written."""
    with startup.kept_from_deletion(request.checkpoint, owner):
        plan = plan_new(request)
        trainer = Trainer(plan, flag)
        require(trainer.space(), request.root)
        name, task = plan.config.run.exp_name, plan.config.run.task
        fields = record_fields(request, plan)
        run = reserve(request.root, name, task, datetime.now(), owner, fields)
        startup.link_for_launcher(run)
        lease = acquire(run, owner)
        with Standing(run, lease).failures_recorded():
            startup.copy_task(plan.folder, run.task)
            make_directory(run.checkpoints)
            return trainer.train(run, lease, request, is_resumed=False)


def _resume(run: RunDirectory, request: Request, owner: Owner, flag: SignalFlag) -> int:
    """Train a run that was stopped or killed, or only move it to its results."""
    startup.link_for_launcher(run)
    refuse_another_start(request, run)
    if is_finished(request, run):
        return _say_finished(run)
    found = run.read()
    began_from = found.more.get("checkpoint")
    with startup.kept_from_deletion(Path(str(began_from)) if began_from else None, owner):
        try:
            lease = startup.wait_for_lease(run, owner, flag.is_set, say)
        except RequestError:
            if is_finished(request, run):  # by now, by the process that was waited for
                return _say_finished(run)
            raise
        if lease is None:
            say(f"{run.name}: {flag.name} came before this process had the run")
            return EXIT_RUN_AGAIN
        standing = Standing(run, lease)
        if standing.is_being_moved:
            code = standing.finish()
            if request.run is not None:
                refuse_another_request(request, run)
            return code
        with standing.failures_recorded():
            warnings: List[str] = []
            source = newest_valid(run, lease, warnings)
            plan = plan_resumed(request, run, source)
            if not is_directory(run.task):
                startup.copy_task(plan.folder, run.task)
            standing.resume(plan, source.step if source else first_step(found))
            trainer = Trainer(plan, flag, warnings)
            return trainer.train(run, lease, request, is_resumed=True)


class Trainer:
    """Rollout, update, boundary, until the end or a signal.

    Attributes:
        environment: What is trained in.
        learner: What is trained.
        step: Environment steps done.
        updates: Updates done.
        boundary: A copy of everything at the last update boundary.
    """

    def __init__(self, plan: Plan, flag: SignalFlag, warnings: Sequence[str] = ()) -> None:
        """Build simulator, environment and learner, at the plan's checkpoint if it has one.

        Raises:
            RequestError: A value does not fit.
            CheckpointError: The checkpoint does not fit.
        """
        config, evaluation = plan.config, plan.config.evaluation
        decimation = config.ppo.decimation
        self.environment: Environment = make_environment(
            config.task,
            config.environment.num_envs,
            config.simulator.choice,
            config.run.seed,
            decimation,
            room=max(evaluation.eval_freq and evaluation.eval_envs, evaluation.final_envs),
        )
        self.learner: Learner = LEARNERS[config.learner.learner](
            config=config.ppo,
            envs=config.environment.num_envs,
            agents=self.environment.agents,
            observation_size=self.environment.observation_size,
            action_size=self.environment.action_size,
            angles=self.environment.angles,
            device=self.environment.device,
            seed=config.run.seed,
        )
        self.step = self.updates = 0
        self._warnings = list(warnings)
        if plan.source is not None:
            self._warnings += restore(plan, plan.source, self.learner, self.environment)
            self.step = plan.source.step
            self.updates = int(plan.source.state.get("epoch", 0))
        self._plan, self._flag = plan, flag
        self._total = config.run.train_timesteps
        self._steps_per_decision = config.environment.num_envs * decimation
        self._steps_per_update = self._steps_per_decision * self.learner.rollout_steps
        self._evaluator = learner_evaluator(plan)
        self._evaluation = evaluation_policy(evaluation.eval_freq)
        self._saving = save_policy(config.checkpointing.save_freq)
        self._lost: Optional[LostRunError] = None
        self._has_trained = False
        self._watch = Stopwatch()
        self.boundary = self._capture()
        self._decided, self._boundary_time = 0, time.perf_counter()

    def space(self) -> Space:
        """What the rest of the run will write."""
        checkpointing = self._plan.config.checkpointing
        return estimate(
            self.step,
            self._total,
            self._steps_per_update,
            checkpointing.save_freq,
            self.boundary.file_bytes,
            retention.parse(checkpointing.keep),
        )

    def train(self, run: RunDirectory, lease: Lease, request: Request, is_resumed: bool) -> int:
        """Train in a run's directory and move it to its results; the exit code.

        Args:
            run: The run.
            lease: Of this process.
            request: What was asked for.
            is_resumed: Whether another process has begun the run.

        Raises:
            MapushError: What has ended the training; what that cost is in the run's record.
        """
        plan, self._run, self._lease = self._plan, run, lease
        self._standing = standing = Standing(run, lease)
        self._first_step, self._is_resumed = first_step(run.read()), is_resumed
        self._is_evaluated = plan.source is None or plan.source.evaluated
        with contextlib.ExitStack() as closing:
            updates = -(-self._total // self._steps_per_update)
            self._log = log = RunLog(
                run, request.use_tensorboard, self._total, updates, self.step, self._is_evaluated
            )
            closing.callback(log.close)
            closing.callback(self._evaluator.close)
            durable = self.step if is_resumed and plan.source else None
            self._checkpointer = Checkpointer(
                run, lease, plan.config.checkpointing, durable, log.warn
            )
            closing.callback(self._checkpointer.close)
            standing.say_interruptions(log)
            where = f"{run.results} in {run.live}"
            if is_resumed:
                log.show(f"resuming {where}")
            else:
                log.say(f"run {where}, {lease.owner}")
            log.say(str(self.space()))
            for text in self._warnings:
                log.warn(text)
            with worth_a_retry(request.root):
                try:
                    is_done = self._fit()
                except LostRunError:
                    raise
                except BaseException:
                    self._note_fault()
                    raise
                if not is_done:
                    return self._stop(request)
            log.say(f"{self._total:,} steps are reached")
        with worth_a_retry(request.root):
            return standing.finish()

    def _fit(self) -> bool:
        """Train to the end, durably, and evaluate the result; False if it was stopped before."""
        if self._should_stop():
            return False
        self._begin()
        try:
            if not self._is_evaluated and self.step and self._evaluation.due(self._moment()):
                self._evaluate_and_save()
            while self.step < self._total:
                if not self._rollout():
                    return False
                losses = self._update()
                if losses is None:
                    return False
                self.step += self._steps_per_update
                self.updates += 1
                self._finish_boundary(losses)
            self._checkpointer.ensure(self.boundary)
            evaluate_run(self._plan, self._run, self._log.say, self._check)
        except Stopped:
            return False
        return True

    def _should_stop(self) -> bool:
        """Asked between two pieces of work, of which none is broken off by an exception.

        Also shows that this process lives.
        """
        if self._flag.is_set():
            return True
        try:
            self._lease.renew()
        except LostRunError as error:
            self._lost = error
        return self._lost is not None

    def _check(self) -> None:
        """Leave an evaluation, which keeps nothing half done."""
        if self._should_stop():
            raise Stopped

    def _begin(self) -> None:
        self._has_trained = True
        if self._is_resumed:
            self._standing.trains_again(self.step, self._log)
        self._decided, self._boundary_time = 0, time.perf_counter()
        self._watch.lap()

    def _rollout(self) -> bool:
        """Fill the learner's rollout; False if it was stopped before that."""
        environment, learner, measure = self.environment, self.learner, self._watch.measure
        for _ in range(learner.rollout_steps):
            if self._should_stop():
                return False
            with measure("act"):
                action = learner.act(environment.observe())
            with measure("simulate"):
                after = environment.step(action)
            with measure("act"):
                learner.step(
                    after.reward, after.terminated, after.truncated, after.last_observation
                )
            self._decided += 1
        return True

    def _update(self) -> Optional[Dict[str, float]]:
        """Improve the learner; None if it was stopped before that."""
        with self._watch.measure("update"):
            progress = self.step / self._total
            return self.learner.update(self.environment.observe(), progress, self._should_stop)

    def _finish_boundary(self, losses: Dict[str, float]) -> None:
        """Copy everything, log it, and evaluate and save it where that is due."""
        with self._watch.measure("save"):
            self.boundary = self._capture(self.boundary.nbytes)
        self._decided, self._boundary_time = 0, time.perf_counter()
        # Before anything is written; raises if another process has the run by now.
        self._lease.renew(every=0)
        unprotected = self.step - self._checkpointer.durable_step
        steps = self._steps_per_update
        figures = update_figures(self.environment, losses, self._watch, steps, unprotected)
        # Before anything that a signal can break off: what is in the boundary is in the log.
        self._log.update(self.updates, self.step, figures)
        self._evaluate_and_save()

    def _evaluate_and_save(self) -> None:
        if self._evaluation.due(self._moment()):
            with self._watch.measure("evaluate"):
                figures = evaluate_learner(self._evaluator, self.learner.policy, self._check)
                self._log.evaluation(self.updates, self.step, figures)
            self.boundary.evaluation = figures
        if self._saving.due(self._moment()):
            with self._watch.measure("save"):
                self._checkpointer.save(self.boundary)

    def _moment(self) -> Moment:
        return Moment(
            step=self.step,
            before=self.step - self._steps_per_update,
            first=self._first_step,
            last=self._total,
            evaluated=self.boundary.evaluation is not None,
            refused=self._checkpointer.failure is not None,
        )

    def _capture(self, expected: int = 0) -> Boundary:
        state = {
            **self.learner.state_dict(),
            "training_step": self.step,
            "epoch": self.updates,
            "environment_state": self.environment.state_dict(),
            "config": self._plan.values,
        }
        return capture(state, expected)

    def _stop(self, request: Request) -> int:
        """Leave at the last boundary, durably, for a signal; or at once, if the lease is lost."""
        if self._lost is not None:
            raise self._lost
        steps = self._decided * self._steps_per_decision
        seconds = time.perf_counter() - self._boundary_time
        self._checkpointer.ensure(self.boundary)
        owner, name, moment = self._lease.owner, self._flag.name or "", self._flag.moment
        note = interruption(owner, name, moment, self.boundary.step, steps, seconds)
        self._standing.interrupted(note, self._log)
        if not owner.job_id:
            again = command_line("mapush.train", "--run", self._run.name, root=request.root)
            self._log.show(f"resume with: {again}")
        self._lease.release()
        return EXIT_RUN_AGAIN

    def _note_fault(self) -> None:
        if not self._has_trained:
            return
        with contextlib.suppress(MapushError, OSError):
            self._checkpointer.settle()
            durable = max(self._checkpointer.durable_step, self._first_step)
            self._standing.broken(durable, self._log)


def _say_finished(run: RunDirectory) -> int:
    say(f"{run.results}: is complete already")
    return EXIT_COMPLETE
