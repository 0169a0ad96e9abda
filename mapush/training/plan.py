"""What a run is to do, worked out and checked before anything is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from mapush.checkpoint.manifest import versions
from mapush.errors import CheckpointError, RequestError
from mapush.evaluation.policy import build_policy, read_checkpoint
from mapush.files import is_directory
from mapush.learners.config import build_ppo
from mapush.runs.code import code_facts
from mapush.runs.directory import RunDirectory
from mapush.runs.naming import check_plain
from mapush.tasks import load_task, task_folder
from mapush.tasks.change import SET, change_task, read_changes
from mapush.training.config import NAMES, Config, build_config, with_decimation
from mapush.training.options import PATHS
from mapush.training.request import Request


@dataclass(frozen=True)
class Source:
    """A checkpoint that training resumes or starts from.

    Attributes:
        path: its `module.pt`.
        state: what that holds.
        evaluated: False if the evaluation due at its step was broken off, and is still to be done.
    """

    path: Path
    state: Dict[str, Any]
    evaluated: bool = True

    @property
    def step(self) -> int:
        """Environment steps it was trained for."""
        return int(self.state["training_step"])

    @property
    def is_published(self) -> bool:
        """Whether the original project wrote it: it has weights but no state to resume exactly."""
        return "rng" not in self.state


@dataclass(frozen=True)
class Plan:
    """Everything training needs to know.

    Attributes:
        config: the tree with the task.
        folder: the task's.
        source: what training resumes or starts from; None for nothing.
    """

    config: Config
    folder: Path
    source: Optional[Source]

    @property
    def values(self) -> Dict[str, Any]:
        """Plain values for checkpoints."""
        return {**self.config.as_dict(), "recipe_values": self.config.ppo.as_dict()}


def record_fields(request: Request, plan: Plan) -> Dict[str, Any]:
    """What run.yaml says of a new run, beside its directories and its owner."""
    source = plan.source
    return {
        "command": list(request.command),
        "seed": plan.config.run.seed,
        "versions": versions(),
        "code": running_code(plan.folder),
        "request": request.as_dict(),
        "settings": plan.config.as_dict(),
        "recipe": plan.config.ppo.as_dict(),
        "checkpoint": str(source.path.resolve()) if source else None,
        "first_step": source.step if source else 0,
    }


def running_code(task: Path) -> Dict[str, Any]:
    """What is known of the code of this process and of a task's folder, for run.yaml."""
    return code_facts(Path(__file__).parents[1], [task])


def plan_new(request: Request) -> Plan:
    """Work out a new run.

    Raises:
        RequestError: an option is wrong.
        TaskError: the task is unknown or wrong.
        CheckpointError: the checkpoint cannot be used.
    """
    source = None
    if request.checkpoint is not None:
        source = Source(request.checkpoint, read_checkpoint(request.checkpoint))
    known = source.state.get("config", {}) if source else {}
    values = _values(request, known)
    name = "--exp_name" if "exp_name" in request.asked.options else "--exp"
    check_plain(name, str(values["exp_name"]))
    plan = _plan(
        request, values, None, source, _recorded(values, known, known.get("recipe_values"))
    )
    if source is not None and source.step >= plan.config.run.train_timesteps:
        raise RequestError(
            f"--train_timesteps {plan.config.run.train_timesteps}: {source.path} has "
            f"{source.step} steps already; it is the total to reach, so give a larger one"
        )
    return plan


def plan_resumed(request: Request, run: RunDirectory, source: Optional[Source]) -> Plan:
    """Work out how a run is resumed, from its own settings, its own task and its newest checkpoint.

    Raises:
        RequestError: an option is wrong, or a checkpoint that the run began from is missing.
    """
    known = run.read().more
    if source is None and known.get("checkpoint"):
        path = Path(str(known["checkpoint"]))
        source = Source(path, read_checkpoint(path))
    settings = known.get("settings") or {}
    values = _values(request, settings)
    own = run.task if is_directory(run.task) else None
    recorded = _recorded(values, settings, known.get("recipe"))
    return _plan(request, values, own, source, recorded)


def _recorded(
    values: Mapping[str, Any], known: Mapping[str, Any], recipe: object
) -> Mapping[str, Any]:
    """All values of a recipe as they were recorded; none where another is asked for by name."""
    is_same = values.get("recipe") == known.get("recipe")
    return recipe if is_same and isinstance(recipe, Mapping) else {}


def _plan(
    request: Request,
    values: Mapping[str, Any],
    own: Optional[Path],
    source: Optional[Source],
    recorded: Mapping[str, Any],
) -> Plan:
    config = build_config(values)
    folder = own or task_folder(config.run.exp)
    task = load_task(folder)
    changed = {**config.changed, **read_changes(task, request.asked.sets, PATHS)}
    task = change_task(task, changed)
    if source is not None:
        build_policy(source.state, task, source.path)  # refuses one of another task
    ppo = with_decimation(config.ppo, task)
    # A recipe of today may differ from what its name meant when the run began.
    now, asked = ppo.as_dict(), request.asked.changes
    since = {k: v for k, v in recorded.items() if k not in asked and now.get(k) != v}
    if since:
        changes = {**config.changes, **since}
        ppo = build_ppo(config.learner.recipe, changes)
        config = config.model_copy(update={"changes": changes})
    config = config.model_copy(update={"task": task, "changed": changed, "ppo": ppo})
    return Plan(config, folder, source)


def _values(request: Request, known: Mapping[str, Any]) -> Dict[str, Any]:
    """Given options before those of the run or checkpoint, and these before the defaults."""
    values: Dict[str, Any] = {name: known[name] for name in NAMES if name in known}
    before = dict(values)
    values.update(request.asked.options)
    if "exp" not in values:
        if "exp_name" not in values:
            raise RequestError("--exp is missing: name a folder under task/, such as --exp cuboid")
        values["exp"] = values["exp_name"]
    if "exp_name" not in request.asked.options and "exp" in request.asked.options:
        values["exp_name"] = values["exp"]
    values.setdefault("exp_name", values["exp"])
    # What differs from a recipe or a task means nothing for another one.
    for name, of in (("changes", "recipe"), (SET, "exp")):
        is_same = values.get(of, before.get(of)) == before.get(of)
        own = before.get(name) if is_same else None
        if own is not None and not isinstance(own, dict):
            raise CheckpointError(f"its config's {name} are {str(own)[:80]!r}, not named values")
        values[name] = {str(key): value for key, value in (own or {}).items()}
    values["changes"].update(request.asked.changes)
    return values
