"""What was asked for: which run is meant, and what is refused of one that is there already."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from mapush.arguments import command_line
from mapush.errors import RequestError
from mapush.files import is_directory
from mapush.runs.directory import RunDirectory
from mapush.runs.listing import open_run, runs_of_job
from mapush.runs.owner import JOB_ID, Owner, job_environment
from mapush.runs.record import COMPLETE, RunRecord
from mapush.tasks.change import SET, load_changed_task, read_changes, value_of, written
from mapush.training.config import without_defaults
from mapush.training.options import PATHS, Asked

_SET = "set "  # before the path of a task's value, beside the options by their names


@dataclass(frozen=True)
class Request:
    """What the command line asked for.

    Attributes:
        root: holds `log/` and `results/`.
        asked: values that were given; the rest have defaults.
        checkpoint: a `module.pt` to start a new run from.
        run: a run to resume.
        use_tensorboard: whether scalars are written.
        command: for the record.
    """

    root: Path
    asked: Asked = field(default_factory=Asked)
    checkpoint: Optional[Path] = None
    run: Optional[str] = None
    use_tensorboard: bool = True
    command: Tuple[str, ...] = ()

    def as_dict(self) -> Dict[str, Any]:
        """What was asked for that shapes the result, as plain values for run.yaml."""
        asked = {**self.asked.options, **self.asked.changes}
        if self.asked.sets:
            asked[SET] = dict(sorted(self.asked.sets.items()))
        if self.checkpoint is not None:
            asked["checkpoint"] = str(self.checkpoint.absolute())
        return asked


def find_run(request: Request, owner: Owner) -> Optional[RunDirectory]:
    """The run to resume: the one that was named, else the one this job has begun at this request.

    A job may begin several runs, one after the other, and another request is another run. The
    same request may be made again in an interactive allocation; so in a job of SLURM alone a
    complete run counts only if SLURM has restarted the job since.
    """
    if request.run is not None:
        return open_run(request.root, request.run)
    asked = [each for each in runs_of_job(request.root, owner.job_id) if _is_of(request, each[1])]
    if not asked:
        return None
    run, known = asked[-1]
    may_be_repeated = JOB_ID not in job_environment()
    if known.status == COMPLETE and may_be_repeated and not known.owner.is_earlier_start_of(owner):
        return None
    return run


def _is_of(request: Request, known: RunRecord) -> bool:
    asked = known.more.get("request")
    # Records of the first versions have only the command.
    if not isinstance(asked, Mapping):
        return known.command == request.command
    return without_defaults(asked) == without_defaults(request.as_dict())


def refuse_another_start(request: Request, run: RunDirectory) -> None:
    """Refuse to resume a run from a checkpoint of another.

    Raises:
        RequestError: the request names a checkpoint, and it is not what the run began from.
    """
    if request.checkpoint is None:
        return
    began = run.read().more.get("checkpoint")
    # A circle of links is no fault here, as it is for Path.resolve.
    if began is None or os.path.realpath(str(began)) != os.path.realpath(request.checkpoint):
        raise RequestError(
            f"--checkpoint {request.checkpoint}: {run.name} resumes from its own newest "
            "checkpoint; leave out --run for a new run from this one, or --checkpoint"
        )


def is_finished(request: Request, run: RunDirectory) -> bool:
    """Whether a run is complete and in its results, so that nothing is to be done.

    Raises:
        RequestError: it is, and it was named with a request that is another than it was.
    """
    if run.read().status != COMPLETE or is_directory(run.live):
        return False
    if request.run is not None:
        refuse_another_request(request, run)
    return True


def refuse_another_request(request: Request, run: RunDirectory) -> None:
    """Refuse to call a complete run what was asked for if anything else was.

    Raises:
        RequestError: an option differs from what the run was trained with; the message has the
            command that trains on where more steps are asked for.
    """
    settings: Mapping[str, Any] = run.read().more.get("settings") or {}
    other = _differing(request, run, settings)
    if not other:
        return
    asked = other.pop("train_timesteps", None)
    entries = run.entries()
    reached = entries[-1].step if entries else settings.get("train_timesteps", 0)
    if asked is not None and asked[1] > reached and entries:
        options = {"exp": settings.get("exp", run.name)}
        if settings.get("exp_name") not in (None, options["exp"]):
            options["exp_name"] = settings["exp_name"]
        options.update({"checkpoint": entries[-1].module, "train_timesteps": asked[1]})
        options.update({name: now for name, (_, now) in other.items()})
        words = [word for name in options for word in _words(name, options[name])]
        raise RequestError(
            f"{run.name}: is complete at {reached:,} steps; to train on to {asked[1]:,}: "
            f"{command_line('mapush.train', *words, root=request.root)}"
        )
    if asked is not None:
        other = {"train_timesteps": asked, **other}
    name, (before, now) = next(iter(other.items()))
    raise RequestError(
        f"{run.name}: is complete with {shlex.join(_words(name, before))}, not {written(now)}; "
        "another request is another run: leave out --run to train it"
    )


def _differing(
    request: Request, run: RunDirectory, settings: Mapping[str, Any]
) -> Dict[str, Tuple[Any, Any]]:
    """The given values that a run was not trained with, each after the one it was trained with.

    What its record does not tell is none.
    """
    asked = request.asked
    known, given = dict(settings), {**asked.options, **asked.changes}
    if asked.changes or asked.sets:
        task = load_changed_task(run.task, settings)
        known = {**_recipe(run), **known}
        for path, value in read_changes(task, asked.sets, PATHS).items():
            given[_SET + path] = value
            known[_SET + path] = value_of(task, path)
    return {
        name: (known[name], value)
        for name, value in given.items()
        if known.get(name, value) != value
    }


def _words(name: str, value: Any) -> List[str]:  # noqa: ANN401
    """A value as an option of a command line."""
    if name.startswith(_SET):
        return ["--set", f"{name[len(_SET) :]}={written(value)}"]
    return [f"--{name}", str(value)]


def _recipe(run: RunDirectory) -> Mapping[str, Any]:
    """The hyper-parameters that a run was trained with."""
    recorded = run.read().more.get("recipe")
    return recorded if isinstance(recorded, Mapping) else {}
