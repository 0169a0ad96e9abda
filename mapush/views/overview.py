"""All runs of a root and the jobs that have none yet, one line each."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime
from pathlib import Path
from textwrap import shorten
from typing import List

from rich.console import Console

from mapush.runs import record
from mapush.runs.listing import strangers
from mapush.views import tables
from mapush.views.standing import OVER, QUEUED, Queue
from mapush.views.summary import Summary, summaries

_HEADINGS = ("run", "exp", "seed", "status", "steps", "success", "saved", "started", "job")
_RIGHT = ("seed", "steps", "success", "saved")
_REASON = 40  # characters of SLURM's reason in the table; some are sentences
_NAMED = 5  # directories that are named in a remark before it says only how many more


def list_runs(root: Path, as_json: bool = False) -> None:
    """Print the runs and jobs of a root, newest first; what cannot be read gets a line."""
    out = tables.screen()
    errors = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def warn(text: str) -> None:
        errors.print(f"mapush: {text}")

    queue = Queue()
    found = summaries(root, queue, warn)
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
        f"{summary.checkpoints} ({tables.human_bytes(summary.bytes)})" if is_run else "-",
        f"{datetime.fromisoformat(summary.started):%Y-%m-%d %H:%M}",
        summary.slurm_job or summary.job or "-",
    ]


def _mention_ends(found: List[Summary], out: Console) -> None:
    """Say in a line each why jobs came to no run."""
    ended = [each for each in found if each.run is None and each.status in OVER and each.why]
    for each in ended[:_NAMED]:
        out.print(f"{each.slurm_job or each.job}: {each.status}: {each.why}")
    if len(ended) > _NAMED:
        out.print(f"and {len(ended) - _NAMED} more jobs that came to no run; --json tells why")


def _mention_others(root: Path, out: Console) -> None:
    """Say in a line each which directories beside the runs are none."""
    empty, foreign = strangers(root)
    if empty:
        out.print(f"reserved by starts that were killed, empty: {_listed(empty)}")
    if foreign:
        out.print(f"no runs, for they have no {record.FILE_NAME}: {_listed(foreign)}")


def _listed(names: List[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
