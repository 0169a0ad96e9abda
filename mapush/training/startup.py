"""Before a trainer trains: it is alone, others see its run, and what it begins from stays there."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
from pathlib import Path
from typing import Callable, Iterator, Optional

from mapush.checkpoint.names import step_of
from mapush.errors import EXIT_FAILURE, OwnershipError, RequestError, StorageError
from mapush.files import fsync_directory, hidden_sibling, status, storage_errors
from mapush.runs import record
from mapush.runs.directory import RunDirectory
from mapush.runs.lease import STALE_AFTER, Lease, acquire, holder
from mapush.runs.owner import JOB_ID, RUN_LINK, Owner, count_in_environment, job_environment
from mapush.runs.pins import Pin

PATIENCE = STALE_AFTER + 10.0
"""Seconds that a job waits for an earlier process of its own; a silent one is dead before."""

_PAUSE = 0.5  # seconds between two tries

_log = logging.getLogger("mapush")


def refuse_many_tasks() -> None:
    """Refuse to be one of several trainers that srun has started as one step.

    Raises:
        RequestError: There are several.
    """
    # A batch script or an allocation with several tasks runs a trainer outside srun just once.
    if "SLURM_STEP_ID" not in os.environ:
        return
    step = "SLURM_STEP_NUM_TASKS"
    tasks = count_in_environment(step if step in os.environ else "SLURM_NTASKS")
    if tasks > 1 and not _is_alone():
        raise RequestError(
            f"srun has started {tasks} trainers, and training on several GPUs is not there yet; "
            "ask for one task, with --ntasks=1"
        )


def _is_alone() -> bool:
    """Whether this is the first task of a node's only one, and of a job of one node.

    A job that was submitted from inside a step has that step's id and count in its environment,
    but its own of these, which SLURM sets for each batch script and each task.
    """
    tasks, own = os.environ.get("SLURM_GTIDS"), os.environ.get("SLURM_PROCID")
    return (tasks, own) == ("0", "0") and count_in_environment("SLURM_JOB_NUM_NODES") == 1


def link_for_launcher(run: RunDirectory) -> None:
    """Point the link that a launcher has asked for at the run's results."""
    text = job_environment().get(RUN_LINK)
    if not text:
        return
    path = Path(text)
    try:
        temporary = hidden_sibling(path)
        try:
            temporary.symlink_to(run.results.absolute())
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except (OSError, ValueError) as error:
        # Only a convenience for people: no reason to lose a training.
        _log.warning("%s=%s: the link to %s cannot be made: %s", RUN_LINK, text, run.name, error)


def wait_for_lease(
    run: RunDirectory,
    owner: Owner,
    should_stop: Callable[[], bool],
    say: Callable[[str], None],
    patience: float = PATIENCE,
) -> Optional[Lease]:
    """Become the one process that trains a run, after an earlier process of the same job.

    The earlier one may be cut off from its scheduler with the job sent off again meanwhile: it
    comes to its end or is silent before long. A process of anybody else is not waited for.

    Args:
        run: The run.
        owner: This process.
        should_stop: Asked while waiting.
        say: Takes a line for people.
        patience: Seconds to wait.

    Returns:
        The lease; None if it was told to stop first.

    Raises:
        OwnershipError: A live process owns it.
        MapushError: As for `acquire`.
    """
    deadline = None
    while True:
        try:
            return acquire(run, owner)
        except OwnershipError as error:
            if not _is_of_this_job(run, owner) or (deadline and time.monotonic() >= deadline):
                raise
            if deadline is None:
                deadline = time.monotonic() + patience
                who = str(error).partition(";")[0]
                say(f"{who}, of this very job; waiting {patience:.0f} s for it to end at the most")
        if should_stop():
            return None
        time.sleep(_PAUSE)


def _is_of_this_job(run: RunDirectory, owner: Owner) -> bool:
    if JOB_ID not in job_environment():
        return False
    other = holder(run)  # None: it has just let go, or its lease is damaged
    return other is None or other.job_id == owner.job_id


@contextlib.contextmanager
def worth_a_retry(root: Path) -> Iterator[None]:
    """Let faults of the storage inside the block end the process as something to be tried again.

    Training has begun, so the request is right: a full disk has space again, a mount comes back.
    """
    try:
        with storage_errors(root):
            yield
    except StorageError as error:
        error.exit_code = EXIT_FAILURE
        raise


@contextlib.contextmanager
def kept_from_deletion(module: Optional[Path], owner: Owner) -> Iterator[None]:
    """Keep a checkpoint of a run from being deleted inside the block.

    A file that lies in no run is nobody's to delete, and one in a directory that this process may
    not write can be used all the same, with a warning.

    Args:
        module: Its `module.pt`, or None.
        owner: This process.
    """
    with contextlib.ExitStack() as held:
        directory = Path() if module is None else module.absolute().parent
        step = step_of(directory.name)
        if step is not None:
            try:
                if status(directory.parent.parent / record.FILE_NAME) is not None:
                    pin = Pin(directory.parent, owner, "training that began here")
                    held.enter_context(pin).narrow([step])
            except (OSError, StorageError) as error:
                _log.warning("what this run begins from may be deleted meanwhile: %s", error)
        yield


def copy_task(folder: Path, target: Path) -> None:
    """Copy a task folder so that it appears as a whole."""
    temporary = hidden_sibling(target)
    with storage_errors(target):
        shutil.copytree(folder, temporary, ignore=shutil.ignore_patterns("__pycache__"))
        temporary.rename(target)
        fsync_directory(target.parent)
