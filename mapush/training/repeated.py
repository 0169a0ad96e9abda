"""What a request means for a run that is there already: nothing more to do, or another run."""

from __future__ import annotations

import os
from typing import Any, Dict, Mapping

from mapush.arguments import command_line
from mapush.checkpoint.store import CheckpointStore
from mapush.errors import RequestError
from mapush.learners.recipe import build_recipe
from mapush.runs.directory import RunDirectory
from mapush.training.plan import Request


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
    other = _differing(request, settings)
    if not other:
        return
    asked = other.pop("train_timesteps", None)
    entries = CheckpointStore(run.checkpoints).entries()
    reached = entries[-1].step if entries else settings.get("train_timesteps", 0)
    if asked is not None and asked > reached and entries:
        options = {"exp": settings.get("exp", run.name)}
        if settings.get("exp_name") not in (None, options["exp"]):
            options["exp_name"] = settings["exp_name"]
        options["checkpoint"] = entries[-1].module
        options.update({"train_timesteps": asked, **other})
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        raise RequestError(
            f"{run.name}: is complete at {reached:,} steps; to train on to {asked:,}: "
            f"{command_line('mapush.train', *words, root=request.root)}"
        )
    if asked is not None:
        other = {"train_timesteps": asked, **other}
    name, value = next(iter(other.items()))
    before = settings.get(name, _recipe(settings).get(name))
    raise RequestError(
        f"{run.name}: is complete with --{name} {before}, not {value}; another request is "
        "another run: leave out --run to train it"
    )


def _differing(request: Request, settings: Mapping[str, Any]) -> Dict[str, Any]:
    """The given options that a run was not trained with; what its record does not tell is none."""
    recipe = _recipe(settings) if request.changes else {}
    known = {**recipe, **settings}
    given = {**request.options, **request.changes}
    return {name: value for name, value in given.items() if known.get(name, value) != value}


def _recipe(settings: Mapping[str, Any]) -> Dict[str, Any]:
    """The hyper-parameters that a run was trained with."""
    changes = settings.get("changes")
    return build_recipe(
        str(settings.get("recipe")), changes if isinstance(changes, dict) else {}
    ).as_dict()
