"""What a request means for a run that is there already: nothing more to do, or another run."""

from __future__ import annotations

import os
import shlex
from typing import Any, Dict, List, Mapping, Tuple

from mapush.arguments import command_line
from mapush.checkpoint.store import CheckpointStore
from mapush.errors import RequestError
from mapush.learners.config import build_ppo
from mapush.runs.directory import RunDirectory
from mapush.tasks.change import load_changed_task, read_changes, value_of, written
from mapush.training.options import PATHS
from mapush.training.plan import Request

_SET = "set "  # before the path of a task's value, beside the options by their names


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
    entries = CheckpointStore(run.checkpoints).entries()
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
    recipe = _recipe(settings) if asked.changes else {}
    known: Dict[str, Any] = {**recipe, **settings}
    given = {**asked.options, **asked.changes}
    if asked.sets:
        task = load_changed_task(run.task, settings)
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


def _recipe(settings: Mapping[str, Any]) -> Dict[str, Any]:
    """The hyper-parameters that a run was trained with."""
    changes = settings.get("changes")
    return build_ppo(
        str(settings.get("recipe")), changes if isinstance(changes, dict) else {}
    ).as_dict()
