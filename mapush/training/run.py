"""One run from its directory's name to its final move."""

from __future__ import annotations

import contextlib
import shlex
import shutil
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Callable, Dict, List, Optional

import torch

from mapush.checkpoint import retention
from mapush.checkpoint.manifest import read as read_manifest
from mapush.checkpoint.manifest import versions
from mapush.checkpoint.store import CheckpointStore
from mapush.errors import (
    EXIT_COMPLETE,
    EXIT_RUN_AGAIN,
    CheckpointError,
    LostRunError,
    MapushError,
)
from mapush.evaluation.assess import TRAINING_SEED, assess
from mapush.files import fsync_directory, hidden_sibling, make_directory, storage_errors
from mapush.results import record
from mapush.results.directory import RunDirectory, reserve
from mapush.results.finish import finish
from mapush.results.owner import Ownership, acquire
from mapush.results.pins import in_use
from mapush.training.assembly import Parts, assemble, expected_space
from mapush.training.closing import evaluate_run
from mapush.training.interruption import Interrupted, SignalFlag
from mapush.training.ledger import interruption, killed
from mapush.training.log import RunLog
from mapush.training.loop import TrainingLoop
from mapush.training.plan import Plan, Request, Source, find_run, plan_new, plan_on, this_process
from mapush.training.saver import Saver
from mapush.training.source import kept
from mapush.training.space import require

# Complete with a live directory: killed while that was removed, its last file first.
_ON_THE_WAY_HOME = (record.FINISHING, record.COMPLETE)

TORCH_THREADS = 1  # fixed: sums split over threads differ in their last bits, and nets are small


def train(request: Request) -> int:
    """Train a new run, or go on with the one that is named or that this job has begun.

    Returns:
        The exit code: 0 complete, 75 stopped early with a durable checkpoint.

    Raises:
        MapushError: what stands in the way, in one line.
    """
    torch.set_num_threads(TORCH_THREADS)
    with SignalFlag() as flag, storage_errors(request.root):
        owner = this_process()
        run = find_run(request, owner)
        if run is None:
            with kept(request.checkpoint, owner):
                plan = plan_new(request)
                parts = assemble(plan)
                require(expected_space(plan, parts), request.root)
                run = reserve(
                    request.root,
                    plan.settings.exp_name,
                    plan.settings.task,
                    datetime.now(),
                    owner,
                    _record_fields(request, plan),
                )
                return _Session(run, acquire(run, owner), request, flag).start(plan, parts)
        found = run.read()
        if found.status == record.COMPLETE and not run.live.is_dir():
            print(f"{run.results}: is complete already")  # noqa: T201
            return EXIT_COMPLETE
        began_from = found.more.get("checkpoint")
        with kept(Path(str(began_from)) if began_from else None, owner):
            return _Session(run, acquire(run, owner), request, flag).go_on()


def _record_fields(request: Request, plan: Plan) -> Dict[str, object]:
    return {
        "command": list(request.command),
        "seed": plan.settings.seed,
        "versions": versions(),
        "settings": plan.settings.as_dict(),
        "recipe": plan.recipe.as_dict(),
        "checkpoint": str(plan.source.path.resolve()) if plan.source else None,
        "first_step": plan.source.step if plan.source else 0,
    }


@dataclass
class _Session:
    """What one process does to a run that it owns."""

    run: RunDirectory
    ownership: Ownership
    request: Request
    flag: SignalFlag
    log: Optional[RunLog] = None
    early: List[str] = field(default_factory=list)  # warnings from before there was a log

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
            if not self.run.task.is_dir():
                _copy_task(plan.folder, self.run.task)
            notes = found.interruptions
            if found.status == record.RUNNING:
                notes = (*notes, killed(self.run, found, source.step if source else 0))
            self.run.update(
                status=record.RUNNING,
                owner=self.ownership.owner,
                interruptions=notes,
                more={**found.more, "settings": plan.settings.as_dict()},
            )
            store = self._store(plan)
            if source is not None:
                store.pin(source.step)
            return self._train(plan, assemble(plan), store, fresh=False)

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
            log.say(f"{'run' if fresh else 'going on with'} {self.run.results} in {self.run.live}")
            log.say(str(expected_space(plan, parts)))
            self.log = log
            for note in (*self.early, *parts.notes):
                log.warn(note)
            loop = TrainingLoop(
                settings=settings,
                config=plan.config,
                environment=parts.environment,
                learner=parts.learner,
                saver=saver,
                log=log,
                evaluate=lambda: _score(plan, parts, self._check),
                check=self._check,
                on_boundary=lambda: self.ownership.renew(every=0),
                step=parts.step,
                epoch=parts.epoch,
                first_step=int(self.run.read().more.get("first_step", 0)),
                evaluated=plan.source is None or plan.source.evaluated,
            )
            try:
                loop.run()
                evaluate_run(plan, self.run, store, log, self._check)
            except Interrupted as stop:
                return self._stop(loop, saver, log, stop.signal)
            log.say(f"{settings.train_timesteps:,} steps are reached")
        return self._finish()

    def _check(self) -> None:
        """Between two pieces of work: leave on a signal, and show that this process lives."""
        self.flag.check()
        self.ownership.renew()

    def _stop(self, loop: TrainingLoop, saver: Saver, log: RunLog, signal: str) -> int:
        saver.ensure(loop.boundary)
        step = loop.boundary["training_step"]
        note = interruption(signal, step, loop.steps_since_boundary, loop.seconds_since_boundary)
        found = self.run.read()
        self.ownership.check()
        self.run.update(status=record.PREEMPTED, interruptions=(*found.interruptions, note))
        root = self.request.root
        where = "" if root == Path() else f" --root {shlex.quote(str(root))}"
        log.say(
            f"stopped by {signal} at {step:,} steps, {note.steps_lost:,} steps since are done "
            f"again; go on with: python -m mapush.train --run {self.run.name}{where}"
        )
        self.ownership.release()
        return EXIT_RUN_AGAIN

    def _finish(self) -> int:
        finish(self.run, self.ownership.check)
        print(f"complete: {self.run.results}")  # noqa: T201
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
                self.ownership.release()
            raise


def _score(plan: Plan, parts: Parts, check: Callable[[], None]) -> Dict[str, float]:
    figures = assess(
        parts.learner.policy,
        plan.recipe.hold,
        plan.task,
        plan.settings.sim,
        plan.settings.eval_envs,
        TRAINING_SEED,
        check,
    )
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
