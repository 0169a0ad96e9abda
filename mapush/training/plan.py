"""What a run is to do, worked out and checked before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

from mapush.checkpoint import retention
from mapush.errors import CheckpointError, RequestError
from mapush.evaluation.policy import build_policy, read_checkpoint
from mapush.files import is_directory
from mapush.learners.recipe import Recipe, build_recipe
from mapush.runs.code import code_facts
from mapush.runs.directory import RunDirectory, open_run, runs_of_job
from mapush.runs.identity import JOB_ID, Owner, job_environment
from mapush.runs.name import check_plain
from mapush.runs.record import COMPLETE, RunRecord
from mapush.simulators import SimulatorChoice
from mapush.tasks import load_task, task_folder
from mapush.tasks.base import TaskSpec
from mapush.training.settings import Settings, build_settings


@dataclass(frozen=True)
class Request:
    """What the command line asked for.

    Attributes:
        root: holds `log/` and `results/`.
        options: the settings that were given, by name; the rest have defaults.
        changes: hyper-parameters that were given.
        checkpoint: a `module.pt` to start a new run from.
        run: a run to go on with.
        use_tensorboard: whether scalars are written.
        command: for the record.
    """

    root: Path
    options: Mapping[str, Any]
    changes: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Optional[Path] = None
    run: Optional[str] = None
    use_tensorboard: bool = True
    command: Tuple[str, ...] = ()

    def as_dict(self) -> Dict[str, Any]:
        """What was asked for that shapes the result, as plain values for run.yaml."""
        asked = {**self.options, **self.changes}
        if self.checkpoint is not None:
            asked["checkpoint"] = str(self.checkpoint.absolute())
        return asked


@dataclass(frozen=True)
class Source:
    """A checkpoint that training goes on from.

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
        """Whether the original project wrote it: it has weights but no state to go on exactly."""
        return "rng" not in self.state


@dataclass(frozen=True)
class Plan:
    """Everything training needs to know."""

    settings: Settings
    recipe: Recipe
    task: TaskSpec
    folder: Path
    source: Optional[Source]

    @property
    def simulator(self) -> SimulatorChoice:
        """In what it is trained and evaluated."""
        settings = self.settings
        return SimulatorChoice(settings.sim, settings.device, settings.sim_options)

    @property
    def config(self) -> Dict[str, Any]:
        """Plain values for run.yaml and checkpoints."""
        return {**self.settings.as_dict(), "recipe_values": self.recipe.as_dict()}


def this_process() -> Owner:
    """This process with its job: given by the launcher, else by SLURM, else none.

    Raises:
        RequestError: a restart count is no number.
    """
    return Owner.current()


def running_code(task: Path) -> Dict[str, Any]:
    """What is known of the code of this process and of a task's folder, for run.yaml."""
    return code_facts(Path(__file__).parents[1], [task])


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
    return known.command == request.command if asked is None else asked == request.as_dict()


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
    settings = _settings(request, source.state.get("config", {}) if source else {})
    check_plain("--exp_name" if "exp_name" in request.options else "--exp", settings.exp_name)
    plan = _plan(settings, task_folder(settings.exp), source)
    if source is not None and source.step >= settings.train_timesteps:
        raise RequestError(
            f"--train_timesteps {settings.train_timesteps}: {source.path} has {source.step} steps "
            "already; it is the total to reach, so give a larger one"
        )
    return plan


def plan_on(request: Request, run: RunDirectory, source: Optional[Source]) -> Plan:
    """Work out how a run goes on, from its own settings, its own task and its newest checkpoint.

    Raises:
        RequestError: an option is wrong, or a checkpoint that the run began from is missing.
    """
    known = run.read().more
    if source is None and known.get("checkpoint"):
        path = Path(str(known["checkpoint"]))
        source = Source(path, read_checkpoint(path))
    settings = _settings(request, known.get("settings") or {})
    own_copy = run.task
    folder = own_copy if is_directory(own_copy) else task_folder(settings.exp)
    return _plan(settings, folder, source)


def _plan(settings: Settings, folder: Path, source: Optional[Source]) -> Plan:
    recipe = build_recipe(settings.recipe, settings.changes)
    retention.parse(settings.keep)
    task = load_task(folder)
    if source is not None:
        build_policy(source.state, task, source.path)  # refuses one of another task
    return Plan(settings, recipe, task, folder, source)


def _settings(request: Request, known: Mapping[str, Any]) -> Settings:
    """Given options before those of the run or checkpoint, and these before the defaults."""
    own = {name for name in Settings.__dataclass_fields__ if name in known}
    values: Dict[str, Any] = {name: known[name] for name in own}
    before = values.get("recipe")
    values.update(request.options)
    if "exp" not in values:
        if "exp_name" not in values:
            raise RequestError("--exp is missing: name a folder under task/, such as --exp cuboid")
        values["exp"] = values["exp_name"]
    if "exp_name" not in request.options and "exp" in request.options:
        values["exp_name"] = values["exp"]
    values.setdefault("exp_name", values["exp"])
    changes = values.get("changes") if values.get("recipe", before) == before else {}
    if not isinstance(changes, dict) and changes is not None:
        raise CheckpointError(f"its config's changes are {str(changes)[:80]!r}, not named values")
    values["changes"] = {**(changes or {}), **request.changes}
    return build_settings(values)
