"""Sends jobs to SLURM through submitit: one batch script for a job, or for an array of them.

submitit makes the lines `#SBATCH`, hands the script to sbatch and names the job. Its own srun of
its own process, which comes last in its script, is never reached: the set-up lines before it are
the batch script of this project, which becomes the job's supervisor. submitit requeues on one
signal only, in a process that dies with the step, and after the user's own lines. And the text of a
script that is only shown comes from submitit's writer by its private name; there is no other.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

from mapush.errors import MapushError, RequestError, StorageError
from mapush.files import storage_error
from mapush.launch import squeue
from mapush.launch.jobs import JobFolder, MaybeQueued
from mapush.launch.node import slurm, trainer
from mapush.launch.node.folder import LOG, SLURM_ID
from mapush.launch.profile import BATCH_SCRIPT, PROJECT
from mapush.launch.request import JobRequest

_REFUSED = "Batch job submission failed"  # unless the answer itself was lost:
_LOST = re.compile(r"timed out|zero bytes|(receive|send|shutdown) failure|unexpected message", re.I)
# Said before any controller is asked, so that nothing can have been queued.
_UNSENT = "Could not establish a configuration source"
_HERE = "(--cluster local runs the job on this machine)"
# A profile's fields that sbatch has by the same name.
_SAME = ("time", "partition", "account", "qos", "reservation", "constraint", "nodelist", "exclude")
_LOOKS, _PAUSE = 3, 0.5  # a job that sbatch was not told of may take a moment to appear


def submit(places: Sequence[JobFolder], requests: Sequence[JobRequest], at_once: int = 1) -> None:
    """Send one job, or an array of several, to SLURM.

    Args:
        places: The jobs' folders, open.
        requests: What they are to do; they ask for the same resources.
        at_once: How many members of an array may run at the same time.

    Raises:
        MaybeQueued: If sbatch has failed and SLURM does not say whether it has the job, or its id
            cannot be written down.
        RequestError: If sbatch refuses; its message is in ours.
        StorageError: If a folder cannot be written.
    """
    number = _send(places, requests, at_once)
    try:
        for index, place in enumerate(places):
            place.write(SLURM_ID, f"{number}_{index}" if len(places) > 1 else number)
    except StorageError as error:
        raise MaybeQueued(f"SLURM job {number}: is queued, but {error}") from error
    if len({request.exp for request in requests}) > 1:
        _name_members(number, requests)


def batch_script(
    places: Sequence[JobFolder], requests: Sequence[JobRequest], at_once: int = 1
) -> str:
    """The script that `submit` would hand to sbatch; nothing is written or sent."""
    with _clean():
        executor = _executor(places, requests, at_once)
    if len(places) > 1:
        executor.parameters["map_count"] = len(places)
    return executor._make_submission_file_text("# never reached", "")


def group_folder(places: Sequence[JobFolder]) -> Path:
    """Where submitit keeps its files: the job's own folder, or the one of the array."""
    first = places[0].place
    return first if len(places) == 1 else first.with_name(first.name.rpartition("_")[0])


def _send(places: Sequence[JobFolder], requests: Sequence[JobRequest], at_once: int) -> str:
    """SLURM's number of the job or array, looked up where sbatch's answer leaves a doubt."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    group = group_folder(places)
    folders = [place.path for place in places]
    # Of a job that is submitted again.
    earlier = squeue.find_by_script(str(group)) if any(group.glob("*.sh")) else []
    found: Optional[str] = None
    fault: Optional[MapushError] = None
    said = ""
    try:
        # submitit prints what sbatch says to stderr, beside raising it.
        with contextlib.redirect_stderr(io.StringIO()), _clean():
            executor = _executor(places, requests, at_once)
            if len(folders) == 1:
                found = executor.submit(_never_run, folders[0]).job_id
            else:
                found = executor.map_array(_never_run, folders)[0].job_id.partition("_")[0]
    except (FailedJobError, FailedSubmissionError) as error:
        said = str(error)
        # submitit reports the whole command first.
        own = said[max(said.find("sbatch: "), 0) :]
        fault = RequestError(f"sbatch refuses the job: {slurm.complaint(own)}")
    except OSError as error:
        fault = storage_error(error, group)
    if fault is not None and _REFUSED in said and not _LOST.search(said):
        raise fault
    if fault is not None and _UNSENT in said:
        raise RequestError(f"{fault} {_HERE}")
    # submitit takes the first number behind the word `job`, which may stand in a site's greeting,
    # so SLURM is asked which job has the script.
    try:
        for look in range(_LOOKS):
            time.sleep(_PAUSE if look else 0.0)
            numbers = [n for n in squeue.find_by_script(str(group)) if n not in earlier]
            if numbers:
                return numbers[0]
    except slurm.SlurmError as error:
        if found is None:
            raise MaybeQueued(
                f"{fault}; whether the job is queued all the same SLURM does not say ({error}): "
                "look with squeue --me, and if it is not there, submit again"
            ) from None
    if found is not None:
        return found
    if isinstance(fault, StorageError):
        raise fault
    raise RequestError(f"{fault} {_HERE}")


def _name_members(number: str, requests: Sequence[JobRequest]) -> None:
    """Let squeue show each member of an array under its own experiment."""
    for exp in sorted({request.exp for request in requests}):
        indices = [str(i) for i, request in enumerate(requests) if request.exp == exp]
        with contextlib.suppress(slurm.SlurmError):  # a name is not worth a job
            # Without the brackets all but the first would be other jobs.
            members = f"JobId={number}_[{','.join(indices)}]"
            slurm.call("scontrol", "update", members, f"JobName={_name(exp)}")


def _name(exp: str) -> str:
    return f"mapush-{exp}"


@contextlib.contextmanager
def _clean() -> Iterator[None]:
    """Run the block, and what it starts, in an environment fit for a job's: see `slurm.clean`.

    sbatch passes it on to the job, the user's own variables included.
    """
    before = dict(os.environ)
    own = trainer.put_aside(trainer.of_no_job(before))
    program = slurm.find("sbatch")
    if program is not None:
        # submitit goes by the PATH alone.
        own["PATH"] = os.pathsep.join([own.get("PATH", os.defpath), str(Path(program).parent)])
    os.environ.clear()
    os.environ.update(own)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _executor(places: Sequence[JobFolder], requests: Sequence[JobRequest], at_once: int) -> Any:  # noqa: ANN401
    from submitit import SlurmExecutor

    request, profile = requests[0], requests[0].profile
    group = group_folder(places)
    if shutil.which("srun") is None:
        raise RequestError("srun: not found beside sbatch; is SLURM's bin directory in PATH?")
    executor = SlurmExecutor(folder=str(group))
    options: Dict[str, Any] = {
        **{name: getattr(profile, name) for name in _SAME},
        "output": f"{group}{'_%a' if len(places) > 1 else ''}/{LOG}",
        "mem": profile.memory,
        "mem-per-cpu": profile.memory_per_cpu,
        "signal": f"{profile.signal}@{profile.signal_lead}",
        "export": "ALL",
    }
    options.update({"requeue": True} if profile.requeue else {"no-requeue": True})
    if request.after:
        options["dependency"] = ":".join(["afterok", *request.after])
        options["kill-on-invalid-dep"] = "yes"
    if request.gpus:
        kind = f"{profile.gpu_type}:" if profile.gpu_type else ""
        by_gres = profile.gpu_request == "gres"
        amount = f"{kind}{request.gpus}"
        options["gres" if by_gres else "gpus-per-node"] = f"gpu:{amount}" if by_gres else amount
    names = {each.exp for each in requests}
    executor.update_parameters(
        job_name=_name(names.pop() if len(names) == 1 else "array"),
        nodes=1,
        ntasks_per_node=1,
        cpus_per_task=profile.cpus,
        array_parallelism=at_once,
        stderr_to_stdout=True,
        wckey=None,  # submitit's default is one that an accounting cluster does not know
        setup=_script_lines(group, request),
        use_srun=False,
        additional_parameters={k: v for k, v in options.items() if v is not None},
    )
    return executor


def _script_lines(group: Path, request: JobRequest) -> List[str]:
    """The batch script of this project without its head, told which job it is to run."""
    text = (PROJECT / BATCH_SCRIPT).read_text(encoding="utf-8")
    body = text.partition("\n\n")[2].rstrip()
    words = ["--job", str(group), request.code.path, request.python]
    return [f"set -- {' '.join(map(shlex.quote, words))}", *body.splitlines()]


def _never_run(folder: str) -> None:
    """What submitit pickles for its own process, which the batch script does not come to."""
