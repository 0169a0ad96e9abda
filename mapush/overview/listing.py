"""All runs of a root, one line each."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime
from pathlib import Path
from typing import List, Optional

from rich.console import Console

from mapush.errors import MapushError
from mapush.files import storage_errors
from mapush.overview import facts, tables
from mapush.results import record
from mapush.results.directory import runs
from mapush.results.identity import Owner
from mapush.results.run import RunDirectory

_HEADINGS = ("run", "exp", "status", "steps", "success", "saved", "started", "owner")
_NAMED = 5  # directories that are named in a remark before it says only how many more


@dataclasses.dataclass(frozen=True)
class Summary:
    """One run in one line."""

    run: str
    experiment: str
    status: str
    steps: int
    """Environment steps of the newest checkpoint."""
    total_steps: Optional[int]
    success_rate: Optional[float]
    """Of the newest checkpoint that was evaluated."""
    checkpoints: int
    bytes: int
    """Of all checkpoints."""
    started: str
    """ISO time with UTC offset."""
    owner: str


def summarize(run: RunDirectory) -> Summary:
    """Look at one run.

    Raises:
        RequestError: If its run.yaml or its success_rate.txt cannot be read.
        StorageError: If a directory cannot be listed.
    """
    found = run.read()
    entries = facts.entries_of(run)
    return Summary(
        run=run.name,
        experiment=facts.plain(found.exp),
        status=facts.status_of(run, found),
        steps=entries[-1].step if entries else 0,
        total_steps=facts.total_steps(found),
        success_rate=facts.newest_score(run, entries),
        checkpoints=len(entries),
        bytes=sum(facts.size_of(entry.path) for entry in entries),
        started=facts.plain(found.started),
        owner=facts.plain(_short(found.owner)),
    )


def list_runs(root: Path, as_json: bool = False) -> None:
    """Print the runs of a root, newest first; what is no run or cannot be read gets a line."""
    out = tables.screen()
    errors = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    found: List[Summary] = []
    for run in runs(root, warn=lambda text: errors.print(f"mapush: {text}")):
        try:
            found.append(summarize(run))
        except MapushError as error:
            errors.print(f"mapush: a run is left out: {error}")
    found.reverse()
    if as_json:
        out.print(json.dumps([dataclasses.asdict(each) for each in found], indent=2))
        return
    if found:
        right = ("steps", "success", "saved")
        tables.show_table(out, _HEADINGS, [_row(each) for each in found], right)
    else:
        out.print(f"there are no runs in {root / 'results'}")
    _mention_others(root, out)


def _row(summary: Summary) -> List[str]:
    total = "" if summary.total_steps is None else f" / {summary.total_steps:,}"
    rate = summary.success_rate
    return [
        summary.run,
        summary.experiment,
        summary.status,
        f"{summary.steps:,}{total}",
        "-" if rate is None else f"{rate:.3f}",
        f"{summary.checkpoints} ({facts.human_bytes(summary.bytes)})",
        f"{datetime.fromisoformat(summary.started):%Y-%m-%d %H:%M}",
        summary.owner,
    ]


def _short(owner: Owner) -> str:
    return f"{f'job {owner.job_id}' if owner.job_id else owner.pid}@{owner.node}"


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
