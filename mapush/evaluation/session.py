"""What `mapush.test` does: one checkpoint, all of a run, or a video."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from rich.console import Console
from rich.progress import track

from mapush.checkpoint.store import CheckpointEntry, CheckpointStore, load_entry
from mapush.environment.push import PushEnvironment
from mapush.errors import CheckpointError, RequestError
from mapush.evaluation.assess import TEST_SEED, assess
from mapush.evaluation.calculator import Figures
from mapush.evaluation.ledger import FILE_NAME, Entry, read_success_rates, write_success_rate
from mapush.evaluation.policy import LoadedPolicy, build_policy, load_policy
from mapush.results.directory import open_run
from mapush.results.identity import Owner
from mapush.results.pins import Pin
from mapush.simulator import make_simulator
from mapush.simulator.base import Simulator
from mapush.task import PushTask, load_task, task_folder

__all__ = ["TEST_SEED", "Where", "evaluate_one", "evaluate_run", "record"]

_out = Console(highlight=False, markup=False, soft_wrap=True)


@dataclass(frozen=True)
class Where:
    """The simulator to evaluate in, its device and what is set of it."""

    sim: str
    device: str = "auto"
    options: str = ""

    def make(self, task: PushTask, num_envs: int) -> Simulator:
        """A simulator of `num_envs` environments."""
        return make_simulator(self.sim, task, num_envs, self.device, self.options)

    def assess(self, policy: LoadedPolicy, task: PushTask, num_envs: int, seed: int) -> Figures:
        """The figures of a policy over `num_envs` episodes."""
        return assess(
            policy,
            policy.hold,
            task,
            self.sim,
            num_envs,
            seed,
            device=self.device,
            options=self.options,
        )


def evaluate_one(path: Path, exp: Optional[str], where: Where, num_envs: int, seed: int) -> None:
    """Print the four figures of one checkpoint.

    Raises:
        CheckpointError: it cannot be used.
        TaskError: its task cannot be found.
    """
    task = _task_of(path, exp)
    policy = load_policy(path, task)
    figures = where.assess(policy, task, num_envs, seed)
    _out.print(figures.entry(policy.step).figures(), end="")


def evaluate_run(root: Path, name: str, where: Where, num_envs: int, seed: int) -> None:
    """Evaluate every checkpoint of a run into its success_rate.txt.

    A checkpoint counts as done when the file has its figures over as many episodes.

    Raises:
        RequestError: there is no such run, or its task or figures cannot be read.
        StorageError: the figures cannot be written.
    """
    run = open_run(root, name)
    task = load_task(run.task)
    if not CheckpointStore(run.checkpoints).entries():
        raise RequestError(f"{run.checkpoints}: holds no checkpoint yet; train first")
    done = {
        known.step
        for known in read_success_rates(run.current / FILE_NAME)
        if known.episodes == num_envs
    }
    damaged = []
    with Pin(run.checkpoints, Owner.current(), "evaluation") as pin:
        # Listed once they are kept: what is there now stays until it has been evaluated.
        entries = CheckpointStore(run.checkpoints).entries()
        left = {entry.step for entry in entries} - done
        for listed in track(entries, "evaluating", console=_out, disable=not _out.is_terminal):
            pin.narrow(left)
            if listed.step in done:
                _out.print(f"{listed.path.name}: done before")
                continue
            # The run may have moved home since.
            entry = CheckpointEntry(listed.step, run.checkpoints / listed.path.name)
            try:
                state = load_entry(entry)
            except CheckpointError as error:
                _out.print(f"WARNING: {error}")
                damaged.append(entry.path.name)
                continue
            policy = build_policy(state, task, entry.module)
            figures = where.assess(policy, task, num_envs, seed)
            write_success_rate(run.current / FILE_NAME, figures.entry(entry.step))
            _out.print(_line(figures.entry(entry.step)))
            left.discard(entry.step)
    _out.print(f"figures: {run.current / FILE_NAME}")
    if damaged:
        raise CheckpointError(f"{run.name}: not evaluated, for they are damaged: {damaged}")


def record(
    path: Path, exp: Optional[str], where: Where, episodes: int, seed: int, video: Optional[Path]
) -> None:
    """Write an mp4 of a checkpoint's first episodes.

    Raises:
        RequestError: this machine has no graphics library to render with.
        StorageError: the file cannot be written.
    """
    from mapush.evaluation.video import record_episodes

    task = _task_of(path, exp)
    policy = load_policy(path, task)
    target = video or Path(f"{task.name}_{policy.step}.mp4")
    environment = PushEnvironment(task, where.make(task, episodes), seed, policy.hold)
    for number, summary in enumerate(record_episodes(environment, policy, target, episodes), 1):
        _out.print(f"episode {number}: {summary.outcome} after {summary.seconds:.1f} s")
    _out.print(f"video: {target}")


def _task_of(path: Path, exp: Optional[str]) -> PushTask:
    """The task of a checkpoint: its run's own copy, or the one that `--exp` names."""
    own = path.resolve().parent.parent.parent / "task"
    if exp is None:
        if not path.exists():
            raise CheckpointError(f"{path}: there is no such file; name a module.pt")
        if not (own / "config.py").is_file():
            raise RequestError(f"{path}: lies in no run; name its task with --exp, such as cuboid")
        return load_task(own)
    named = load_task(task_folder(exp))
    if (own / "config.py").is_file():
        copy = load_task(own)
        if copy.name == named.name:
            return copy
        _out.print(f"{path}: was trained on {copy.name}; evaluated on {named.name}, as asked")
    return named


def _line(entry: Entry) -> str:
    return (
        f"rl_model_{entry.step}_steps: success rate {entry.success_rate:.3f} "
        f"({entry.low:.3f} to {entry.high:.3f}), finished time {entry.finished_time:.2f} s"
    )
