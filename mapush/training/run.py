"""One run from its directory's name to its final move."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Dict

import torch

from mapush.checkpoint.manifest import versions
from mapush.errors import EXIT_COMPLETE, EXIT_RUN_AGAIN, RequestError
from mapush.files import check_path, is_directory, storage_errors
from mapush.runs import record
from mapush.runs.directory import RunDirectory
from mapush.runs.lease import acquire
from mapush.runs.naming import reserve
from mapush.runs.owner import Owner
from mapush.training.assembly import assemble, expected_space
from mapush.training.claim import claim, link, refuse_many_tasks, worth_a_retry
from mapush.training.interruption import Interrupted, SignalFlag
from mapush.training.log import say, show_any_letter
from mapush.training.plan import Plan, Request, find_run, plan_new, running_code, this_process
from mapush.training.repeated import refuse_another_request, refuse_another_start
from mapush.training.session import Session
from mapush.training.source import kept
from mapush.training.space import require

TORCH_THREADS = 1  # fixed: sums split over threads differ in their last bits, and nets are small


def train(request: Request, flag: SignalFlag) -> int:
    """Train a new run, or go on with the one that is named or that this job has begun.

    Args:
        request: What is asked for.
        flag: Entered already, so that no signal is missed.

    Returns:
        The exit code: 0 complete, 75 stopped early with a durable checkpoint.

    Raises:
        MapushError: what stands in the way, in one line.
    """
    show_any_letter()
    refuse_many_tasks()
    check_path("--root", request.root)
    if request.checkpoint is not None:
        check_path("--checkpoint", request.checkpoint)
    torch.set_num_threads(TORCH_THREADS)
    owner = this_process()
    # Only the first start of a job can be certain that nothing has been trained.
    judged = worth_a_retry if owner.restart else storage_errors
    with judged(request.root):
        run = find_run(request, owner)
        if run is None:
            return _begin(request, owner, flag)
    with worth_a_retry(request.root):
        return _go_on(run, request, owner, flag)


def _begin(request: Request, owner: Owner, flag: SignalFlag) -> int:
    with kept(request.checkpoint, owner):
        plan = plan_new(request)
        parts = assemble(plan)
        require(expected_space(plan, parts), request.root)
        run = reserve(
            request.root,
            plan.settings.run.exp_name,
            plan.settings.run.task,
            datetime.now(),
            owner,
            _record_fields(request, plan),
        )
        link(run)
        return Session(run, acquire(run, owner), request, flag).start(plan, parts)


def _go_on(run: RunDirectory, request: Request, owner: Owner, flag: SignalFlag) -> int:
    link(run)
    refuse_another_start(request, run)
    if _is_home(run):
        return _complete_already(run, request)
    began_from = run.read().more.get("checkpoint")
    with kept(Path(str(began_from)) if began_from else None, owner):
        try:
            ownership = claim(run, owner, flag.check, say)
        except Interrupted as stop:
            say(f"{run.name}: {stop.signal} came before this process had the run")
            return EXIT_RUN_AGAIN
        except RequestError:
            if _is_home(run):  # by now, by the process that was waited for
                return _complete_already(run, request)
            raise
        session = Session(run, ownership, request, flag)
        code = session.go_on()
        if not session.has_trained and request.run is not None:
            refuse_another_request(request, run)
        return code


def _is_home(run: RunDirectory) -> bool:
    return run.read().status == record.COMPLETE and not is_directory(run.live)


def _complete_already(run: RunDirectory, request: Request) -> int:
    if request.run is not None:
        refuse_another_request(request, run)
    say(f"{run.results}: is complete already")
    return EXIT_COMPLETE


def _record_fields(request: Request, plan: Plan) -> Dict[str, object]:
    return {
        "command": list(request.command),
        "seed": plan.settings.run.seed,
        "versions": versions(),
        "code": running_code(plan.folder),
        "request": request.as_dict(),
        "settings": plan.settings.as_dict(),
        "recipe": plan.recipe.as_dict(),
        "checkpoint": str(plan.source.path.resolve()) if plan.source else None,
        "first_step": plan.source.step if plan.source else 0,
    }
