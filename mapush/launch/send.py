"""From what a user wants to jobs on their way: folders, the code's copy, SLURM or this machine."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import shutil
from datetime import datetime
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from mapush.errors import EXIT_COMPLETE, MapushError, OwnershipError, RequestError
from mapush.launch import local, sbatch, snapshot
from mapush.launch.jobs import (
    JobFolder,
    MaybeQueued,
    find_job,
    job_names,
    known_jobs,
    submissions,
    take_folders,
)
from mapush.launch.node import slurm, trainer
from mapush.launch.profile import Profile
from mapush.launch.request import LOCAL, SLURM, CodeCopy, JobRequest
from mapush.launch.squeue import in_queue

_END_SECONDS = 10.0
_ARRAY = "array"  # stands for the experiments of an array that has several


@dataclasses.dataclass(frozen=True)
class Member:
    """One run to train."""

    exp: str
    task: Path
    """The task's folder."""
    arguments: Tuple[str, ...]
    """For its train.sh."""


@dataclasses.dataclass(frozen=True)
class Submission:
    """What a user has asked for, checked as far as that can be done without a cluster."""

    root: Path
    members: Tuple[Member, ...]
    profile: Profile
    cluster: str
    python: str
    gpus: int = 0
    at_once: int = 1
    """Members of an array that may run at the same time."""
    after: Tuple[str, ...] = ()
    """Jobs that must be complete first, by name or SLURM's id."""
    job: Optional[JobFolder] = None
    """An earlier job that is submitted again."""
    again: bool = False
    """Whether a job like one that is queued or running is wanted."""

    @property
    def name(self) -> str:
        """The experiment, or what stands for several."""
        names = {member.exp for member in self.members}
        return names.pop() if len(names) == 1 else _ARRAY

    @property
    def code(self) -> Tuple[Path, List[Path]]:
        """Where copies of the code are kept, and the tasks that belong to this one."""
        return submissions(self.root) / "code", [member.task for member in self.members]


def send(submission: Submission) -> List[JobFolder]:
    """Send the jobs off.

    Returns:
        Their folders.

    Raises:
        OwnershipError: If a job like it is queued or running.
        RequestError: If it is refused; nothing is left behind then.
        MapushError: If it cannot be sent.
        StorageError: If something cannot be written.
    """
    after = _predecessors(submission)
    if submission.job is not None:
        _refuse_living(submission.job)
    elif not submission.again:
        _refuse_twins(submission)
    code = snapshot.take(*submission.code)
    with _folders(submission) as places:
        requests = _requests(submission, places, code, after)
        if submission.cluster != SLURM and len(places) > 1:
            slots = local.make_slots(places[0].place, submission.at_once)
            requests = [each.model_copy(update={"slots": slots}) for each in requests]
        for place, request in zip(places, requests):
            place.open(request)
        if submission.cluster == SLURM:
            sbatch.submit(places, requests, submission.at_once)
        else:
            local.submit(places, requests[0].code)
    return places


def is_there(path: Path) -> bool:
    """Whether there is such a file or directory, as far as this user can see."""
    with contextlib.suppress(OSError):
        return path.exists()
    return False


def dry_run(submission: Submission) -> str:
    """What `send` would hand to sbatch, or run on this machine; nothing is written."""
    after = _predecessors(submission)
    code = snapshot.place(*submission.code)
    count, parent = len(submission.members), submissions(submission.root)
    names = next(job_names(datetime.now(), submission.name, count))[-count:]
    places = [submission.job or JobFolder(parent / each) for each in names]
    requests = _requests(submission, places, code, after)
    lines: List[str] = []
    if submission.cluster == SLURM:
        lines += [sbatch.batch_script(places, requests, submission.at_once), ""]
    for place, request in zip(places, requests):
        lines += [f"# {place.path}", *trainer.set_up(request.profile.model_dump())]
        words = trainer.command(request.model_dump())
        lines.append(shlex.join(words[words.index("mapush") + 1 :]))
    return "\n".join(lines) + "\n"


def _requests(
    submission: Submission, places: Sequence[JobFolder], code: CodeCopy, after: Sequence[str]
) -> List[JobRequest]:
    profile = submission.profile
    container = profile.container
    if container and is_there(Path(container)):
        # An image's path in full, since the job runs elsewhere; a name in a registry as it is.
        profile = profile.model_copy(update={"container": str(Path(container).absolute())})
    return [
        JobRequest(
            job_id=place.job_id,
            submitted=datetime.now().astimezone().isoformat(timespec="seconds"),
            cluster=SLURM if submission.cluster == SLURM else LOCAL,
            exp=member.exp,
            arguments=("--root", str(submission.root), *member.arguments),
            root=str(submission.root),
            code=code,
            python=submission.python,
            gpus=submission.gpus,
            devices=os.environ.get("CUDA_VISIBLE_DEVICES"),
            after=tuple(after),
            profile=profile,
        )
        for place, member in zip(places, submission.members)
    ]


def _predecessors(submission: Submission) -> List[str]:
    """The jobs to come after: SLURM's ids, or folders on this machine.

    Raises:
        RequestError: If one is not known, which SLURM would take for complete, or has ended
            otherwise, after which SLURM would keep the new one for ever.
    """
    if submission.cluster != SLURM:
        return [find_job(submission.root, text).path for text in submission.after]
    found = [_predecessor(submission.root, text) for text in submission.after]
    return [slurm_id for slurm_id in found if slurm_id]


def _predecessor(root: Path, text: str) -> str:
    """SLURM's id of a job to come after; empty if it is complete already."""
    place: Optional[JobFolder] = None
    with contextlib.suppress(RequestError):  # any job of SLURM will do
        place = find_job(root, text)
    slurm_id = place.slurm_id() if place else text
    state = None
    if slurm_id.replace("_", "").isdecimal():
        state = slurm.job(slurm_id)
    if state is not None and (not state.is_over or state.state == "COMPLETED"):
        return slurm_id
    outcome = place.outcome() if place else None
    if outcome is not None and outcome.exit_code == EXIT_COMPLETE:
        return ""
    if outcome is not None or (state is not None and state.state != slurm.GONE):
        how = outcome.reason if outcome else (state.state if state else "")
        raise RequestError(f"--after {text}: that job has ended without completing ({how})")
    raise RequestError(f"--after {text}: there is no such job; squeue lists those that SLURM has")


def _refuse_living(place: JobFolder) -> None:
    # SLURM calls a job running for a moment after it has said how it ended.
    patience = _END_SECONDS if place.outcome() is not None else 0.0
    ask = Retrying(
        retry=retry_if_result(bool),
        stop=stop_after_delay(patience),
        wait=wait_fixed(0.5),
        retry_error_callback=lambda _: True,
    )
    if ask(place.is_living):
        raise OwnershipError(
            f"--job-id {place.job_id}: is queued or running; wait for its end or cancel it first"
        )


def _refuse_twins(submission: Submission) -> None:
    """Raise if one of the runs is on its way already, by the same experiment and options."""
    wanted = {
        (member.exp, ("--root", str(submission.root), *member.arguments))
        for member in submission.members
    }
    twins: List[Tuple[JobFolder, str]] = []
    for place in known_jobs(submission.root):
        with contextlib.suppress(RequestError):
            request = place.asked()
            if (request.exp, request.arguments) in wanted and place.outcome() is None:
                twins.append((place, request.exp))
    waiting = [place.slurm_id() for place, _ in twins if place.slurm_id()]
    try:
        there = in_queue() if waiting else {}
    except slurm.SlurmError as error:
        raise MapushError(f"{error}; without an answer a job might be sent twice") from None
    for place, exp in twins:
        slurm_id = place.slurm_id()
        if slurm_id in there or (not slurm_id and place.is_living()):
            known = f"SLURM job {slurm_id}" if slurm_id else place.job_id
            raise OwnershipError(
                f"--exp {exp}: the same run is queued or running as {known}; "
                "--again trains it a second time"
            )


@contextlib.contextmanager
def _folders(submission: Submission) -> Iterator[List[JobFolder]]:
    """The folders of the jobs; if they are not sent off, new ones are gone again."""
    if submission.job is not None:
        with submission.job.kept_unless_sent():
            yield [submission.job]
        return
    places = take_folders(submission.root, submission.name, datetime.now(), len(submission.members))
    try:
        yield places
    except MaybeQueued:
        raise
    except Exception:
        for path in (*(place.place for place in places), sbatch.group_folder(places)):
            shutil.rmtree(path, ignore_errors=True)
        raise
