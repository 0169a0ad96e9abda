"""What one process does to a run that it owns: train it, stop it, bring it home."""

from __future__ import annotations

import contextlib
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, List, Optional

from mapush.arguments import command_line
from mapush.checkpoint import retention
from mapush.checkpoint.manifest import read as read_manifest
from mapush.checkpoint.store import CheckpointStore
from mapush.errors import (
    EXIT_COMPLETE,
    EXIT_RUN_AGAIN,
    CheckpointError,
    LostRunError,
    MapushError,
)
from mapush.evaluation.evaluator import TRAINING_SEED, Evaluator
from mapush.files import (
    fsync_directory,
    hidden_sibling,
    is_directory,
    make_directory,
    storage_errors,
)
from mapush.runs import record
from mapush.runs.code import resumed_with
from mapush.runs.directory import RunDirectory
from mapush.runs.finish import finish
from mapush.runs.identity import Owner
from mapush.runs.owner import Ownership
from mapush.runs.pins import in_use
from mapush.runs.record import Interruption, RunRecord
from mapush.training.assembly import Parts, assemble, expected_space
from mapush.training.claim import worth_a_retry
from mapush.training.closing import evaluate_run
from mapush.training.interruption import Interrupted, SignalFlag
from mapush.training.ledger import (
    FAILED,
    going_on_line,
    interrupted_line,
    interruption,
    trained_again,
    unspoken,
    unwritten,
)
from mapush.training.log import RunLog, say
from mapush.training.loop import TrainingLoop
from mapush.training.plan import Plan, Request, Source, plan_on, running_code
from mapush.training.saver import Saver

# Complete with a live directory: killed while that was removed, its last file first.
_ON_THE_WAY_HOME = (record.FINISHING, record.COMPLETE)


@dataclass
class Session:
    """What one process does to a run that it owns."""

    run: RunDirectory
    ownership: Ownership
    request: Request
    flag: SignalFlag
    log: Optional[RunLog] = None
    early: List[str] = field(default_factory=list)  # warnings from before there was a log
    has_trained: bool = False

    def start(self, plan: Plan, parts: Parts) -> int:
        """Begin a run whose directories are fresh."""
        with self._failures():
            _copy_task(plan.folder, self.run.task)
            make_directory(self.run.checkpoints)
            return self._train(plan, parts, self._store(plan), fresh=True)

    def go_on(self) -> int:
        """Go on with a run that was stopped, killed or only not moved home yet."""
        found = self.run.read()
        if found.status in _ON_THE_WAY_HOME:
            return self._finish()
        with self._failures():
            store = CheckpointStore(
                self.run.checkpoints, guard=self.ownership.check, warn=self._warn
            )
            newest = store.newest_valid()
            if newest is None and list(self.run.checkpoints.glob("rl_model_*")):
                raise CheckpointError(
                    f"{self.run.checkpoints}: none of its checkpoints is valid and a run is never "
                    "started over by itself; restore one from a copy, or start a new run "
                    f"({'; '.join(self.early) or 'all were set aside before'})"
                )
            source = None
            if newest is not None:
                evaluated = read_manifest(newest[0].manifest).evaluation is not None
                source = Source(newest[0].module, newest[1], evaluated)
            plan = plan_on(self.request, self.run, source)
            if not is_directory(self.run.task):
                _copy_task(plan.folder, self.run.task)
            notes = found.interruptions
            if _ended_without_a_word(found):
                step = source.step if source else _first_step(found)
                notes = (*notes, unspoken(self.run, found, step, self._last_sign_of(found.owner)))
            self.run.update(
                status=record.RUNNING,
                owner=self.ownership.owner,
                interruptions=notes,
                more={
                    **found.more,
                    "settings": plan.settings.as_dict(),
                    **resumed_with(found.more, running_code(self.run.task)),
                },
            )
            store = self._store(plan)
            if source is not None:
                store.pin(source.step)
            return self._train(plan, assemble(plan), store, fresh=False)

    def _last_sign_of(self, owner: Owner) -> Optional[float]:
        """The last heartbeat of the owner before, if that is who is meant."""
        token, heartbeat = self.ownership.before or ("", 0.0)
        return heartbeat if token == owner.token else None

    def _store(self, plan: Plan) -> CheckpointStore:
        return CheckpointStore(
            self.run.checkpoints,
            retention.parse(plan.settings.keep),
            self.ownership.check,
            in_use=in_use(self.run),
            warn=self._warn,
        )

    def _warn(self, text: str) -> None:
        if self.log is None:
            self.early.append(text)
        else:
            self.log.warn(text)

    def _train(self, plan: Plan, parts: Parts, store: CheckpointStore, fresh: bool) -> int:
        settings = plan.settings
        updates = -(-settings.train_timesteps // parts.steps_per_update)
        found = self.run.read()
        unsaid = unwritten(self.run.log, found.interruptions)
        log = RunLog(
            self.run.log,
            self.run.tensorboard if self.request.use_tensorboard else None,
            settings.train_timesteps,
            updates,
            since=parts.step,
        )
        saver = Saver(store, parts.step if not fresh and plan.source else -1)
        with contextlib.ExitStack() as closing:
            closing.callback(log.close)
            closing.callback(saver.close)
            for line in unsaid:
                log.say(line)
            where = f"{self.run.results} in {self.run.live}"
            if fresh:
                log.say(f"run {where}, {self.ownership.owner}")
            else:
                log.show(f"going on with {where}")
            log.say(str(expected_space(plan, parts)))
            self.log = log
            for note in (*self.early, *parts.notes):
                log.warn(note)
            evaluator = Evaluator(
                plan.task, plan.simulator, settings.eval_envs, TRAINING_SEED, plan.recipe.hold
            )
            closing.callback(evaluator.close)
            loop = TrainingLoop(
                settings=settings,
                config=plan.config,
                environment=parts.environment,
                learner=parts.learner,
                saver=saver,
                log=log,
                evaluate=lambda: _score(evaluator, parts, self._check),
                check=self._check,
                on_start=lambda: self._start_work(log, parts.step, fresh),
                on_boundary=lambda: self.ownership.renew(every=0),
                step=parts.step,
                epoch=parts.epoch,
                first_step=_first_step(found),
                evaluated=plan.source is None or plan.source.evaluated,
            )
            with worth_a_retry(self.request.root):
                try:
                    loop.run()
                    evaluate_run(plan, self.run, store, log, self._check)
                except Interrupted as stop:
                    return self._stop(loop, saver, log, stop)
                except LostRunError:
                    raise
                except BaseException:
                    self._note_failure(saver, log)
                    raise
            log.say(f"{settings.train_timesteps:,} steps are reached")
        with worth_a_retry(self.request.root):
            return self._finish()

    def _start_work(self, log: RunLog, step: int, fresh: bool) -> None:
        """Say that training goes on, now that it does, and how long it has been away."""
        self.has_trained = True
        if fresh:
            return
        self.ownership.check()
        before = self.run.read().interruptions
        notes = trained_again(before, time.time())
        away = [new.seconds_away or 0.0 for new, old in zip(notes, before) if old.is_pending]
        # The line first: by it a later process tells whose steps the log ends with.
        log.say(going_on_line(self.ownership.owner, step, max(away, default=None)))
        if away:
            self.run.update(interruptions=notes)

    def _check(self) -> None:
        """Between two pieces of work: leave on a signal, and show that this process lives."""
        self.flag.check()
        self.ownership.renew()

    def _stop(self, loop: TrainingLoop, saver: Saver, log: RunLog, stop: Interrupted) -> int:
        steps, seconds = loop.steps_since_boundary, loop.seconds_since_boundary
        saver.ensure(loop.boundary)
        durable = loop.boundary["training_step"]
        owner = self.ownership.owner
        note = interruption(owner, stop.signal, stop.moment, durable, steps, seconds)
        self._write_down(note, record.PREEMPTED, log)
        if not owner.job_id:
            again = command_line("mapush.train", "--run", self.run.name, root=self.request.root)
            log.show(f"resume with: {again}")
        self.ownership.release()
        return EXIT_RUN_AGAIN

    def _note_failure(self, saver: Saver, log: RunLog) -> None:
        """Write down what a fault has cost, where the storage takes that."""
        if not self.has_trained:
            return
        with contextlib.suppress(MapushError, OSError):
            saver.settle()
            found = self.run.read()
            step = max(saver.durable_step, _first_step(found))
            self._write_down(unspoken(self.run, found, step, signal=FAILED), record.FAILED, log)

    def _write_down(self, note: Interruption, status: str, log: RunLog) -> None:
        self.ownership.check()
        found = self.run.read()
        self.run.update(status=status, interruptions=(*found.interruptions, note))
        log.say(interrupted_line(note))

    def _finish(self) -> int:
        finish(self.run, self.ownership.check)
        say(f"complete: {self.run.results}")
        return EXIT_COMPLETE

    @contextlib.contextmanager
    def _failures(self):  # noqa: ANN202
        """Write down that the run failed, where that can still be written by this process."""
        try:
            yield
        except LostRunError:
            raise
        except BaseException:
            with contextlib.suppress(MapushError):
                self.ownership.check()
                # A move that was broken off goes on; with `failed` the training would.
                if self.run.read().status not in _ON_THE_WAY_HOME:
                    self.run.update(status=record.FAILED)
            with contextlib.suppress(MapushError):
                self.ownership.release()
            raise


def _ended_without_a_word(found: RunRecord) -> bool:
    """Whether the last process could not write down its interruption."""
    if found.status == record.CANCELLED:  # written by whoever ended the job, whatever came before
        return not any(note.is_pending for note in found.interruptions)
    return found.status == record.RUNNING


def _first_step(found: RunRecord) -> int:
    """Environment steps that a run began with."""
    step = found.more.get("first_step", 0)
    return step if type(step) is int else 0


def _score(evaluator: Evaluator, parts: Parts, check: Callable[[], None]) -> Dict[str, float]:
    figures = evaluator.evaluate(parts.learner.policy, check)
    return {
        "success_rate": figures.success_rate,
        "finished_time": figures.finished_time,
        "episodes": float(figures.episodes),
    }


def _copy_task(folder: Path, target: Path) -> None:
    """Copy a task folder so that it appears as a whole."""
    temporary = hidden_sibling(target)
    with storage_errors(target):
        shutil.copytree(folder, temporary, ignore=shutil.ignore_patterns("__pycache__"))
        temporary.rename(target)
        fsync_directory(target.parent)
