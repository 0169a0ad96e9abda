"""What a run is to do, worked out and checked before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

from mapush.errors import CheckpointError, RequestError
from mapush.evaluation.policy import build_policy, read_checkpoint
from mapush.files import is_directory
from mapush.learners.config import PPOConfig
from mapush.runs.code import code_facts
from mapush.runs.directory import RunDirectory
from mapush.runs.listing import open_run, runs_of_job
from mapush.runs.naming import check_plain
from mapush.runs.owner import JOB_ID, Owner, job_environment
from mapush.runs.record import COMPLETE, RunRecord
from mapush.tasks import PushTask, load_task, task_folder
from mapush.tasks.change import SET, change_task, read_changes
from mapush.training.config import NAMES, Config, build_config, without_defaults
from mapush.training.options import PATHS, Asked


@dataclass(frozen=True)
class Request:
    """What the command line asked for.

    Attributes:
        root: holds `log/` and `results/`.
        asked: values that were given; the rest have defaults.
        checkpoint: a `module.pt` to start a new run from.
        run: a run to go on with.
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

    settings: Config
    folder: Path
    source: Optional[Source]

    @property
    def recipe(self) -> PPOConfig:
        """The hyper-parameters."""
        return self.settings.ppo

    @property
    def task(self) -> PushTask:
        """What is trained, as `--set` has changed it."""
        return self.settings.task

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
    if not isinstance(asked, Mapping):
        return known.command == request.command
    return without_defaults(asked) == without_defaults(request.as_dict())


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
    values = _values(request, source.state.get("config", {}) if source else {})
    name = "--exp_name" if "exp_name" in request.asked.options else "--exp"
    check_plain(name, str(values["exp_name"]))
    plan = _plan(request, values, None, source)
    if source is not None and source.step >= plan.settings.run.train_timesteps:
        raise RequestError(
            f"--train_timesteps {plan.settings.run.train_timesteps}: {source.path} has "
            f"{source.step} steps already; it is the total to reach, so give a larger one"
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
    values = _values(request, known.get("settings") or {})
    return _plan(request, values, run.task if is_directory(run.task) else None, source)


def _plan(
    request: Request, values: Mapping[str, Any], own: Optional[Path], source: Optional[Source]
) -> Plan:
    settings = build_config(values)
    folder = own or task_folder(settings.run.exp)
    task = load_task(folder)
    changed = {**settings.changed, **read_changes(task, request.asked.sets, PATHS)}
    task = change_task(task, changed)
    if source is not None:
        build_policy(source.state, task, source.path)  # refuses one of another task
    return Plan(settings.model_copy(update={"task": task, "changed": changed}), folder, source)


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
