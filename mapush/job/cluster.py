"""Sends jobs to SLURM through submitit: one batch script for a job, or for an array of them.

submitit makes the script, hands it to sbatch and runs `mapush.job.step` in the job's step. Its own
requeueing is not used: it answers to one signal only, and dies with the process it runs in. The
script's shell does it instead, by `job/batch.sh`.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence

from mapush.errors import RequestError
from mapush.files import storage_errors
from mapush.job.folder import JobFolder
from mapush.job.profile import Profile
from mapush.job.request import JobRequest
from mapush.job.slurm import first_line
from mapush.job.step import run_step
from mapush.job.trainer_process import script_environment

_REFUSED = "Batch job submission failed"  # by a controller that has answered


def submit(
    places: Sequence[JobFolder],
    requests: Sequence[JobRequest],
    profile: Profile,
    after: Sequence[str] = (),
    at_once: int = 1,
    nodes: int = 1,
) -> List[str]:
    """Send one job, or an array of several, to SLURM.

    Args:
        places: The jobs' folders.
        requests: What they are to do, all from one snapshot.
        profile: What they ask the cluster for.
        after: SLURM ids of jobs that must be complete first.
        at_once: How many members of an array may run at the same time.
        nodes: How many nodes each job gets.

    Returns:
        SLURM's id of each, `ID` or `ID_INDEX`.

    Raises:
        OwnershipError: If one is running already.
        RequestError: If sbatch refuses; its message is in ours.
        StorageError: If a folder cannot be written.
    """
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    for place, request in zip(places, requests):
        place.open(request)
    executor = _executor(places, requests, profile, after, at_once, nodes)
    folders = [str(place.path) for place in places]
    try:
        # submitit prints what sbatch says to stderr, beside raising it.
        with storage_errors(places[0].path), contextlib.redirect_stderr(io.StringIO()):
            if len(folders) == 1:
                jobs = [executor.submit(run_step, folders[0])]
            else:
                jobs = executor.map_array(run_step, folders)
    except (FailedJobError, FailedSubmissionError) as error:
        raise RequestError(f"sbatch refuses the job: {_complaint(str(error))}") from None
    slurm_ids = [str(job.job_id) for job in jobs]
    for place, slurm_id in zip(places, slurm_ids):
        place.write_slurm_id(slurm_id)
    return slurm_ids


def batch_script(
    places: Sequence[JobFolder],
    requests: Sequence[JobRequest],
    profile: Profile,
    after: Sequence[str] = (),
    at_once: int = 1,
    nodes: int = 1,
) -> str:
    """The script that `submit` would hand to sbatch; nothing is written or sent."""
    executor = _executor(places, requests, profile, after, at_once, nodes)
    if len(places) > 1:
        executor.parameters["map_count"] = len(places)
    return executor._make_submission_file_text(executor._submitit_command_str, "")


def group_folder(places: Sequence[JobFolder]) -> Path:
    """Where submitit keeps its files: the job's own folder, or the one of the array."""
    first = places[0].path
    return first if len(places) == 1 else first.with_name(first.name.rpartition("_")[0])


def _executor(
    places: Sequence[JobFolder],
    requests: Sequence[JobRequest],
    profile: Profile,
    after: Sequence[str],
    at_once: int,
    nodes: int,
) -> Any:  # noqa: ANN401
    from submitit import SlurmExecutor

    request = requests[0]
    group = group_folder(places)
    if "%" in str(group) or "\\" in str(group):
        raise RequestError(
            f"--root {request.root!r}: SLURM takes % and \\ in a path for its own signs"
        )
    if not str(group).isprintable():
        raise RequestError(f"--root {request.root!r}: a batch script cannot hold such a path")
    if shutil.which("srun") is None:
        raise RequestError("srun: not found beside sbatch; is SLURM's bin directory in PATH?")
    python = request.python or sys.executable
    executor = SlurmExecutor(folder=str(group), python=shlex.quote(python))
    log = f"{group}{'_%a' if len(places) > 1 else ''}/job.log"
    options: Dict[str, Any] = {
        "output": log,
        "mem": profile.memory,
        "signal": f"{profile.signal}@{profile.signal_lead}",
        "reservation": profile.reservation,
    }
    options.update({"requeue": True} if profile.requeue else {"no-requeue": True})
    if after:
        options["dependency"] = ":".join(["afterok", *after])
        options["kill-on-invalid-dep"] = "yes"
    tasks = max(request.gpus, 1)
    parameters: Dict[str, Any] = {
        "job_name": f"mapush-{request.exp}",
        "time": profile.minutes,
        "nodes": nodes,
        "ntasks_per_node": tasks,
        "cpus_per_task": profile.cpus,
        "partition": profile.partition,
        "account": profile.account,
        "qos": profile.qos,
        "constraint": profile.constraint,
        "nodelist": profile.nodelist,
        "exclude": profile.exclude,
        "array_parallelism": at_once,
        "stderr_to_stdout": True,
        "wckey": None,  # submitit's default is one that an accounting cluster does not know
        "setup": _setup(requests, profile, group),
        "teardown": ['mapush_end "$?"'],
        # The log because submitit gives each step its own; the cores because srun forgets them.
        "srun_args": [
            f"--output={log}",
            "--open-mode=append",
            "--kill-on-bad-exit=1",
            f"--cpus-per-task={profile.cpus}",
        ],
        "additional_parameters": {k: v for k, v in options.items() if v is not None},
    }
    if request.gpus:
        kind = f"{profile.gpu_type}:" if profile.gpu_type else ""
        if profile.gpu_request == "gres":
            parameters["gres"] = f"gpu:{kind}{request.gpus}"
        else:
            parameters["additional_parameters"]["gpus-per-node"] = f"{kind}{request.gpus}"
    executor.update_parameters(**parameters)
    return executor


def _setup(requests: Sequence[JobRequest], profile: Profile, group: Path) -> List[str]:
    """Lines of the batch script before the step."""
    request = requests[0]
    lines = [f"module load {shlex.quote(module)}" for module in profile.modules]
    lines += profile.setup
    values = {
        **script_environment(request),
        "MAPUSH_MAX_FAILURES": str(profile.max_failures),
        "MAPUSH_MAX_IDLE": str(profile.max_idle),
        "MAPUSH_FAILURE_WAIT": str(profile.failure_wait),
        "MAPUSH_REQUEUE": "1" if profile.requeue else "0",
    }
    lines += [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    batch = Path(request.code) / "job" / "batch.sh"
    # In words of its own: a path may hold what a shell would run between double quotes.
    missing = f"mapush: {batch}: is not there on"
    lines += [
        f"cd {shlex.quote(request.code)} && . {shlex.quote(str(batch))} || "
        + "{ "
        + f'echo {shlex.quote(missing)} "$(hostname); does this node see it?" >&2; exit 2; '
        + "}",
        f"mapush_begin {shlex.quote(str(group))}",
    ]
    return lines


def _complaint(text: str) -> str:
    """What sbatch said, out of submitit's report of the whole command."""
    found = re.search(r"(sbatch: .*)", text, re.DOTALL)
    said = first_line(found[1] if found else text)
    hint = "" if _REFUSED in said else " (--cluster local runs the job on this machine)"
    return f"{said}{hint}"
