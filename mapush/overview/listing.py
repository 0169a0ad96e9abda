"""All runs of a root and the jobs that have none yet, one line each."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime
from pathlib import Path
from textwrap import shorten
from typing import Callable, Iterator, List, Optional, Set, Tuple

from rich.console import Console

from mapush.errors import MapushError, RequestError
from mapush.files import storage_errors
from mapush.launch.jobs import JobFolder, known_jobs
from mapush.overview import facts, tables
from mapush.overview.standing import OVER, QUEUED, Queue, of_job, of_run, slurm_id_of
from mapush.results import record
from mapush.results.directory import runs
from mapush.results.identity import Owner
from mapush.results.run import RunDirectory

_HEADINGS = ("run", "exp", "seed", "status", "steps", "success", "saved", "started", "job")
_RIGHT = ("seed", "steps", "success", "saved")
_REASON = 40  # characters of SLURM's reason in the table; some are sentences
_NAMED = 5  # directories that are named in a remark before it says only how many more


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
    entries = facts.entries_of(run)
    status, why = of_run(run, found, queue)
    return Summary(
        run=run.name,
        experiment=facts.plain(found.exp),
        seed=found.seed,
        status=status,
        why=facts.plain(why),
        steps=entries[-1].step if entries else 0,
        total_steps=facts.total_steps(found),
        success_rate=facts.newest_score(run, entries),
        checkpoints=len(entries),
        bytes=sum(facts.size_of(entry.path) for entry in entries),
        started=facts.plain(found.started),
        job=facts.plain(found.owner.job_id),
        slurm_job=facts.plain(slurm_id_of(run, found.owner)),
        owner=facts.plain(_short(found.owner)),
    )


def summarize_job(place: JobFolder, queue: Queue) -> Optional[Summary]:
    """Look at one job that owns no run; None if there is nothing to say of it.

    Raises:
        RequestError: If its job.json cannot be read.
        StorageError: If the storage does not tell.
    """
    status, why = of_job(place, queue)
    # The run was removed, or another job has gone on with it.
    had_run = status == record.COMPLETE or place.run_link.is_symlink()
    if had_run and status in OVER:
        return None
    request = place.asked()
    seed = request.seed
    return Summary(
        run=None,
        experiment=facts.plain(request.exp),
        seed=int(seed) if seed.isdecimal() else None,
        status=status,
        why=facts.plain(why),
        steps=0,
        total_steps=None,
        success_rate=None,
        checkpoints=0,
        bytes=0,
        started=facts.plain(request.submitted),
        job=place.job_id,
        slurm_job=place.slurm_id(),
        owner="",
    )


def list_runs(root: Path, as_json: bool = False) -> None:
    """Print the runs and jobs of a root, newest first; what cannot be read gets a line."""
    out = tables.screen()
    errors = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def warn(text: str) -> None:
        errors.print(f"mapush: {text}")

    queue = Queue()
    found = list(_all(root, queue, warn))
    found.sort(key=_order, reverse=True)
    if queue.error:
        warn(f"{queue.error}; how jobs stand there is not known")
    if as_json:
        out.print(json.dumps([dataclasses.asdict(each) for each in found], indent=2))
        return
    if found:
        tables.show_table(out, _HEADINGS, [_row(each) for each in found], _RIGHT)
    else:
        out.print(f"there are no runs in {root / 'results'}")
    _mention_ends(found, out)
    _mention_others(root, out)


def _all(root: Path, queue: Queue, warn: Callable[[str], None]) -> Iterator[Summary]:
    owned: Set[str] = set()
    for run in runs(root, warn=warn):
        try:
            summary = summarize(run, queue)
            _order(summary)
            owned.add(summary.job)
            yield summary
        except MapushError as error:
            warn(f"a run is left out: {error}")
    for place in known_jobs(root):
        try:
            job = None if place.job_id in owned else summarize_job(place, queue)
            if job is not None:
                _order(job)
                yield job
        except MapushError as error:
            warn(f"a job is left out: {error}")


def _order(summary: Summary) -> Tuple[datetime, str]:
    name = summary.run or summary.job
    try:
        return datetime.fromisoformat(summary.started).astimezone(), name
    except ValueError:
        raise RequestError(f"{name}: {summary.started[:40]!r} is no ISO time") from None


def _row(summary: Summary) -> List[str]:
    total = "" if summary.total_steps is None else f" / {summary.total_steps:,}"
    rate, is_run = summary.success_rate, summary.run is not None
    why = shorten(summary.why, _REASON, placeholder="...") if summary.status == QUEUED else ""
    return [
        summary.run or "-",
        summary.experiment,
        "-" if summary.seed is None else str(summary.seed),
        f"{summary.status} ({why})" if why else summary.status,
        f"{summary.steps:,}{total}" if is_run else "-",
        "-" if rate is None else f"{rate:.3f}",
        f"{summary.checkpoints} ({facts.human_bytes(summary.bytes)})" if is_run else "-",
        f"{datetime.fromisoformat(summary.started):%Y-%m-%d %H:%M}",
        summary.slurm_job or summary.job or "-",
    ]


def _short(owner: Owner) -> str:
    return f"{f'job {owner.job_id}' if owner.job_id else owner.pid}@{owner.node}"


def _mention_ends(found: List[Summary], out: Console) -> None:
    """Say in a line each why jobs came to no run."""
    ended = [each for each in found if each.run is None and each.status in OVER and each.why]
    for each in ended[:_NAMED]:
        out.print(f"{each.slurm_job or each.job}: {each.status}: {each.why}")
    if len(ended) > _NAMED:
        out.print(f"and {len(ended) - _NAMED} more jobs that came to no run; --json tells why")


def _mention_others(root: Path, out: Console) -> None:
    """Say in a line each which directories beside the runs are none."""
    empty, foreign = [], []
    for path in sorted(_visible(root / "results")):
        with storage_errors(path):
            if not (path / record.FILE_NAME).exists():
                (foreign if any(path.iterdir()) else empty).append(path.name)
    if empty:
        out.print(f"reserved by starts that were killed, empty: {_listed(empty)}")
    if foreign:
        out.print(f"no runs, for they have no {record.FILE_NAME}: {_listed(foreign)}")


def _visible(directory: Path) -> List[Path]:
    if not directory.is_dir():
        return []
    return [path for path in directory.iterdir() if path.name[:1] != "." and path.is_dir()]


def _listed(names: List[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
