"""Jobs whose story is more than an interruption: disks, arrays, cancelled jobs, wrong requests."""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import time
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Tuple

from tests.cluster.cases import LONG, PREEMPTED
from tests.cluster.cluster import Cluster, wait_for
from tests.cluster.scenario import References, Result, alone, ended, judge
from tests.cluster.training_job import FORMS, STEPS, SUBMIT, TrainingJob, start

_DISK_MB = 24


class NotPossible(AssertionError):
    """This machine does not let its user do what a story needs."""


Story = Callable[[str, Cluster, Path, References], Result]


def disk_full_for_a_while(
    form: str, cluster: Cluster, root: Path, references: References
) -> Result:
    """The disk fills up in the middle and has space again a little later: nothing is stopped."""
    with small_disk(root), cluster.pair() as constraint, ended(root):
        job = start(cluster, form, root, constraint)
        job.await_training()
        with filled(root):
            job.await_words("cannot be saved|[Nn]o space left|disk is full")
        return alone(job, judge(job, job.await_end(), [], (), references.module(), 0, 0))


def disk_full_at_the_end(form: str, cluster: Cluster, root: Path, references: References) -> Result:
    """The disk is full when the training ends, and at the next start too: both are tried again."""
    with small_disk(root), cluster.pair() as constraint, ended(root):
        job = start(cluster, form, root, constraint)
        job.await_training()
        with filled(root):
            wait_for("the first failure", lambda: cluster.restarts(job.id) == 1, 120)
            begun = time.time()
            wait_for("the second failure", lambda: cluster.restarts(job.id) == 2, 120)
        cost = job.interruption(1, begun)
        # The full disk has not taken the log's last entries either, so the ledger knows of less.
        lost = STEPS - int(job.ledger()[0]["step"])
        costs = [dataclasses.replace(cost, steps_lost=lost)]
        ledger = ("failed", "killed")
        result = judge(job, job.await_end(), costs, ledger, references.module(), 1, 2)
        return alone(job, result)


def interrupted_as_it_starts(
    form: str, cluster: Cluster, root: Path, references: References
) -> Result:
    """Preempted before there is a run: nothing is lost, and the job begins anew."""
    with cluster.pair() as constraint, ended(root):
        job = start(cluster, form, root, constraint)
        job.await_words("start 1 on ")
        cluster.take(job.node())
        wait_for("the requeue", lambda: cluster.restarts(job.id) == 1, 60)
        state = job.await_end()
        result = judge(job, state, [], PREEMPTED, references.module(), len(job.ledger()), 1)
        return alone(job, result)


def cancelled(form: str, cluster: Cluster, root: Path, references: References) -> Result:
    """scancel: the checkpoint is durable, and the job stays cancelled."""
    with cluster.pair() as constraint, ended(root):
        job = start(cluster, form, root, constraint)
        job.await_training()
        job.cluster.run("scancel", job.id)
        state = job.await_end()
        record = job.record()
        notes = record.get("interruptions", [])
        problems = _wrong(
            ("state", state, "CANCELLED"),
            ("requeues", cluster.restarts(job.id), 0),
            ("status in run.yaml", record.get("status"), "cancelled"),
            ("ledger", [each["signal"] for each in notes], ["SIGTERM"]),
            ("lines in log.txt", job.interrupted_lines(), ["SIGTERM"]),
            ("durable", all(job.checkpoint(each["step"]).is_dir() for each in notes), True),
        )
        return Result(state, 0, [], False, _explained(problems, job))


def wrong_request(form: str, cluster: Cluster, root: Path, references: References) -> Result:
    """The trainer refuses what it is asked for on the node: exit code 2 and no requeue."""
    del references
    root.mkdir(parents=True)
    damaged = root / "module.pt"
    damaged.write_bytes(b"no checkpoint")
    with cluster.pair() as constraint, ended(root):
        job = start(cluster, form, root, constraint, options=["--checkpoint", str(damaged)])
        state = job.await_end()
        problems = _wrong(
            ("state", state, "FAILED"),
            ("exit code", job.show().get("ExitCode"), "2:0"),
            ("requeues", cluster.restarts(job.id), 0),
            ("half-made runs", [*job.runs(), *root.glob("log/MQE/*/*")], []),
            ("a line that says why", f"mapush: {damaged}" in job.output(), True),
        )
        return Result(state, 0, [], False, _explained(problems, job))


def array_with_one_preempted(
    form: str, cluster: Cluster, root: Path, references: References
) -> Result:
    """Three seeds on two nodes; the node of the first is taken: only that member is interrupted."""
    with cluster.pair() as constraint, ended(root):
        # Each member fills a node, so that the third waits and a preemption hits only one.
        options = ["--cpus", "8", "--seeds", "1", "2", "3"]
        array = start(cluster, form, root, constraint, steps=LONG, launcher=options)
        number = array.id.partition("_")[0]
        members = [TrainingJob(cluster, root, f"{number}_{index}", form) for index in range(3)]
        first = members[0]
        first.await_training()
        begun = time.time()
        cluster.take(first.node())
        costs = [first.interruption(1, begun)]
        results = []
        for seed, member in enumerate(members, 1):
            state = member.await_end(180, alone=False)
            interrupted = costs if member is first else []
            times = len(interrupted)
            module = references.module(LONG, seed)
            results.append(judge(member, state, interrupted, PREEMPTED, module, times, times))
        problems = [problem for result in results for problem in result.problems]
        problems += _wrong(("results directories", len(array.runs()), 3))
        requeues = sum(result.requeues for result in results)
        identical = all(result.identical for result in results)
        return Result(results[0].state, requeues, costs, identical, problems)


STORIES: Dict[str, Tuple[Story, Tuple[str, ...], str]] = {
    "disk full for a while": (disk_full_for_a_while, FORMS, "stock"),
    "disk full at the end": (disk_full_at_the_end, FORMS, "stock"),
    "one of an array preempted": (array_with_one_preempted, (SUBMIT,), "user-signal"),
    "preempted as it starts": (interrupted_as_it_starts, FORMS, "user-signal"),
    "scancel": (cancelled, FORMS, "user-signal"),
    "wrong request": (wrong_request, FORMS, "stock"),
}
"""What it does, in which forms, on which cluster."""


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[None]:
    """A file system of its own at a place, which the block may fill."""
    place.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m", "mapush-test", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotPossible(f"no small file system to fill: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)


@contextlib.contextmanager
def filled(place: Path) -> Iterator[None]:
    """No space left on a file system for as long as the block runs."""
    path = place / "filler"
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(65536))
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
        while True:
            file.write(b"\0")
    try:
        yield
    finally:
        path.unlink()


def _wrong(*checks: Tuple[str, object, object]) -> List[str]:
    return [
        f"{what}: {found!r} instead of {wanted!r}"
        for what, found, wanted in checks
        if found != wanted
    ]


def _explained(problems: List[str], job: TrainingJob) -> List[str]:
    return [*problems, job.describe()] if problems else []
