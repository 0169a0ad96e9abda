"""What there is to say of each run and each job of a root in one line: data, not yet text."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from pathlib import Path
from typing import Callable, Iterator, List, Optional, Set, Tuple

from mapush.errors import MapushError, RequestError
from mapush.evaluation import success_rates
from mapush.evaluation.scores import newest_score
from mapush.files import size_of
from mapush.launch.jobs import JobFolder, known_jobs
from mapush.runs import record
from mapush.runs.directory import RunDirectory
from mapush.runs.listing import runs
from mapush.runs.owner import Owner
from mapush.views.standing import OVER, Queue, of_job, of_run, slurm_id_of
from mapush.views.tables import plain


@dataclasses.dataclass(frozen=True)
class Summary:
    """One run, or one job without a run, in one line."""

    run: Optional[str]
    """None for a job that has none."""
    experiment: str
    seed: Optional[int]
    """None where the task's train.sh says it, or nobody."""
    status: str
    why: str
    """What there is to say of the status, such as SLURM's reason; for people."""
    steps: int
    """Environment steps of the newest checkpoint."""
    total_steps: Optional[int]
    success_rate: Optional[float]
    """Of the newest checkpoint that was evaluated."""
    checkpoints: int
    bytes: int
    """Of all checkpoints."""
    started: str
    """ISO time with UTC offset; without a run, of the job's submission."""
    job: str
    """mapush's name of the job; empty for a run of the foreground."""
    slurm_job: str
    """As `squeue` shows it; empty outside SLURM."""
    owner: str
    """Which process trained it last; empty without a run."""


def summarize(run: RunDirectory, queue: Queue) -> Summary:
    """Look at one run.

    Raises:
        RequestError: If its run.yaml or its success_rate.txt cannot be read.
        StorageError: If a directory cannot be listed.
    """
    found = run.read()
    entries = run.entries()
    status, why = of_run(run, found, queue)
    return Summary(
        run=run.name,
        experiment=plain(found.exp),
        seed=found.seed,
        status=status,
        why=plain(why),
        steps=entries[-1].step if entries else 0,
        total_steps=found.total_steps,
        success_rate=newest_score(entries, run.part(success_rates.FILE_NAME)),
        checkpoints=len(entries),
        bytes=sum(size_of(entry.path) for entry in entries),
        started=plain(found.started),
        job=plain(found.owner.job_id),
        slurm_job=plain(slurm_id_of(run, found.owner)),
        owner=plain(_short(found.owner)),
    )


def summarize_job(job: JobFolder, queue: Queue) -> Optional[Summary]:
    """Look at one job that owns no run; None if there is nothing to say of it.

    Raises:
        RequestError: If its job.json cannot be read.
        StorageError: If the storage does not tell.
    """
    status, why = of_job(job, queue)
    # The run was removed, or another job has resumed it.
    had_run = status == record.COMPLETE or job.run_link.is_symlink()
    if had_run and status in OVER:
        return None
    request = job.asked()
    seed = request.seed
    return Summary(
        run=None,
        experiment=plain(request.exp),
        seed=int(seed) if seed.isdecimal() else None,
        status=status,
        why=plain(why),
        steps=0,
        total_steps=None,
        success_rate=None,
        checkpoints=0,
        bytes=0,
        started=plain(request.submitted),
        job=job.job_id,
        slurm_job=job.slurm_id(),
        owner="",
    )


def summaries(root: Path, queue: Queue, warn: Callable[[str], None]) -> List[Summary]:
    """Every run and every job of a root that owns none, newest first.

    Args:
        root: Holds `log/` and `results/`.
        queue: SLURM's.
        warn: Takes a line about each that cannot be read.

    Raises:
        StorageError: If `results/` cannot be listed.
    """
    return sorted(_summaries(root, queue, warn), key=_order, reverse=True)


def _summaries(root: Path, queue: Queue, warn: Callable[[str], None]) -> Iterator[Summary]:
    owned: Set[str] = set()
    for run in runs(root, warn=warn):
        try:
            summary = summarize(run, queue)
            _order(summary)
            owned.add(summary.job)
            yield summary
        except MapushError as error:
            warn(f"a run is left out: {error}")
    for job in known_jobs(root):
        try:
            summary = None if job.job_id in owned else summarize_job(job, queue)
            if summary is not None:
                _order(summary)
                yield summary
        except MapushError as error:
            warn(f"a job is left out: {error}")


def _order(summary: Summary) -> Tuple[datetime, str]:
    name = summary.run or summary.job
    try:
        return datetime.fromisoformat(summary.started).astimezone(), name
    except ValueError:
        raise RequestError(f"{name}: {summary.started[:40]!r} is no ISO time") from None


def _short(owner: Owner) -> str:
    return f"{f'job {owner.job_id}' if owner.job_id else owner.pid}@{owner.node}"
