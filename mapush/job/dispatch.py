"""From an order to jobs on their way: folders, snapshot, and a cluster or this machine."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from datetime import datetime
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple

from mapush.errors import EXIT_COMPLETE, MapushError, OwnershipError, RequestError
from mapush.job import cluster, local, slurm, snapshot
from mapush.job.folder import (
    JobFolder,
    find_job,
    job_names,
    known_jobs,
    submissions,
    take_folders,
)
from mapush.job.profile import Profile
from mapush.job.request import LOCAL, SLURM, JobRequest

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
class Order:
    """What a user has asked for, checked as far as that can be done without a cluster."""

    root: Path
    members: Tuple[Member, ...]
    profile: Profile
    cluster: str = LOCAL
    gpus: int = 0
    nodes: int = 1
    at_once: int = 1
    """Members of an array that may run at the same time."""
    after: Tuple[str, ...] = ()
    """Jobs that must be complete first, by name or SLURM's id."""
    job: Optional[JobFolder] = None
    """An earlier job whose run goes on."""
    again: bool = False
    """Whether a job like one that is queued or running is wanted."""


def send(order: Order) -> List[JobFolder]:
    """Send an order's jobs off.

    Returns:
        Their folders.

    Raises:
        OwnershipError: If a job like it is queued or running.
        RequestError: If it is refused; nothing is left behind then.
        MapushError: If it cannot be sent.
        StorageError: If something cannot be written.
    """
    after = _predecessors(order)
    if order.job is not None:
        _refuse_living(order.job)
    elif not order.again:
        _refuse_twins(order)
    code = snapshot.take(_snapshots(order.root), [member.task for member in order.members])
    with _folders(order) as places:
        requests = [
            _request(order, place, member, code, after)
            for place, member in zip(places, order.members)
        ]
        if order.cluster == SLURM:
            cluster.submit(places, requests, order.profile, after, order.at_once, order.nodes)
        else:
            if len(places) > 1:
                slots = local.make_slots(places[0].path, order.at_once)
                requests = [dataclasses.replace(request, slots=slots) for request in requests]
            local.submit(places, requests)
    return places


def rehearse(order: Order) -> str:
    """What `send` would hand to sbatch, or run on this machine; nothing is written."""
    after = _predecessors(order)
    code = snapshot.place(_snapshots(order.root), [member.task for member in order.members])
    name = next(job_names(datetime.now(), _name(order)))
    parent = submissions(order.root)
    names = (
        [name] if len(order.members) == 1 else [f"{name}_{i}" for i in range(len(order.members))]
    )
    places = [order.job] if order.job else [JobFolder(parent / each) for each in names]
    requests = [
        _request(order, place, member, code, after) for place, member in zip(places, order.members)
    ]
    if order.cluster == SLURM:
        return cluster.batch_script(
            places, requests, order.profile, after, order.at_once, order.nodes
        )
    return "\n".join(local.command(request) for request in requests) + "\n"


def _name(order: Order) -> str:
    names = {member.exp for member in order.members}
    return names.pop() if len(names) == 1 else _ARRAY


def _snapshots(root: Path) -> Path:
    return submissions(root) / "code"


@contextlib.contextmanager
def _folders(order: Order) -> Iterator[List[JobFolder]]:
    """The folders of the order's jobs; if they are not sent off, new ones are gone again."""
    if order.job is not None:
        with order.job.kept_unless_sent():
            yield [order.job]
        return
    places = take_folders(order.root, _name(order), datetime.now(), len(order.members))
    try:
        yield places
    except BaseException:
        for place in places:
            place.remove()
        if len(places) > 1:
            JobFolder(cluster.group_folder(places)).remove()
        raise


def _request(
    order: Order, place: JobFolder, member: Member, code: Path, after: Sequence[str]
) -> JobRequest:
    profile = order.profile
    return JobRequest(
        job_id=place.job_id,
        exp=member.exp,
        arguments=("--root", str(order.root), *member.arguments),
        root=str(order.root),
        code=str(code),
        cluster=order.cluster,
        gpus=order.gpus,
        devices=os.environ.get("CUDA_VISIBLE_DEVICES"),
        python=profile.python or "",
        container=_image(profile.container),
        runtime=profile.runtime,
        binds=profile.binds,
        max_failures=profile.max_failures,
        max_idle=profile.max_idle,
        failure_wait=profile.failure_wait,
        after=tuple(after) if order.cluster == LOCAL else (),
    )


def _image(container: Optional[str]) -> str:
    """An image's path in full, since the job runs elsewhere; a name in a registry as it is."""
    if not container:
        return ""
    return str(Path(container).absolute()) if Path(container).exists() else container


def _predecessors(order: Order) -> List[str]:
    """The jobs to come after: SLURM's ids, or folders on this machine.

    Raises:
        RequestError: If one is not known, which SLURM would take for complete, or has ended
            otherwise, after which SLURM would keep the new one for ever.
    """
    if order.cluster != SLURM:
        return [str(find_job(order.root, text).path) for text in order.after]
    found = [_predecessor(order.root, text) for text in order.after]
    return [slurm_id for slurm_id in found if slurm_id]


def _predecessor(root: Path, text: str) -> str:
    """SLURM's id of a job to come after; empty if it is complete already."""
    place: Optional[JobFolder] = None
    with contextlib.suppress(RequestError):  # any job of SLURM will do
        place = find_job(root, text)
    slurm_id = place.slurm_id() if place else text
    state = slurm.job_state(slurm_id) if slurm_id.replace("_", "").isdecimal() else None
    if state is not None and (not state.is_over or state.name == "COMPLETED"):
        return slurm_id
    outcome = place.outcome() if place else None
    if outcome is not None and outcome.exit_code == EXIT_COMPLETE:
        return ""
    if outcome is not None or (state is not None and state.name != "GONE"):
        how = outcome.reason if outcome else (state.name if state else "")
        raise RequestError(f"--after {text}: that job has ended without completing ({how})")
    raise RequestError(f"--after {text}: there is no such job; squeue lists those that SLURM has")


def is_living(place: JobFolder) -> bool:
    """Whether a job is queued or running.

    Raises:
        MapushError: If SLURM does not answer.
    """
    slurm_id = place.slurm_id()
    if slurm_id:
        return bool(slurm.living([slurm_id]))
    return place.is_running() or place.is_starting()


def _refuse_living(place: JobFolder) -> None:
    if is_living(place):
        raise OwnershipError(
            f"--job-id {place.job_id}: is queued or running; wait for its end or cancel it first"
        )


def _refuse_twins(order: Order) -> None:
    """Raise if one of an order's runs is on its way already, by the same experiment and options."""
    wanted = {
        (member.exp, ("--root", str(order.root), *member.arguments)) for member in order.members
    }
    twins: List[JobFolder] = []
    for place in known_jobs(order.root):
        with contextlib.suppress(RequestError):
            request = place.request()
            if (request.exp, request.arguments) in wanted and place.outcome() is None:
                twins.append(place)
    waiting = [place.slurm_id() for place in twins if place.slurm_id()]
    try:
        there = set(slurm.living(waiting)) if waiting else set()
    except MapushError as error:
        raise type(error)(f"{error}; without an answer a job might be sent twice") from None
    for place in twins:
        slurm_id = place.slurm_id()
        if slurm_id in there or (not slurm_id and is_living(place)):
            known = f"SLURM job {slurm_id}" if slurm_id else place.job_id
            raise OwnershipError(
                f"--exp {place.request().exp}: the same run is queued or running as {known}; "
                "--again trains it a second time"
            )
