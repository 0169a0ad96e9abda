"""Runs as training leaves them, with small checkpoints, and the command that looks at them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Dict, Iterable, Mapping, Optional, Tuple

from mapush.checkpoint.retention import KeepAll
from mapush.checkpoint.store import CheckpointStore
from mapush.runs.directory import RunDirectory
from mapush.runs.finish import finish
from mapush.runs.naming import reserve
from mapush.runs.owner import Owner
from mapush.runs.record import RUNNING
from tests.checkpoint.checkpoint_states import state_at
from tests.support import PROJECT

START = datetime(2025, 10, 28, 18, 7, 58)


def make_run(
    root: Path,
    steps: Iterable[int] = (20_000, 40_000, 60_000),
    status: str = "complete",
    scores: Optional[Mapping[int, float]] = None,
    hours: int = 0,
    owner: Optional[Owner] = None,
    **fields: object,
) -> RunDirectory:
    """A run of the cuboid with these checkpoints and, by step, success rates found in training."""
    known: Dict[str, object] = {"settings": {"train_timesteps": 100_000}, **fields}
    start = START + timedelta(hours=hours)
    owner = owner or Owner.current()
    run = reserve(root, "cuboid", "go1push_mid", start, owner, known)
    shutil.copytree(PROJECT / "task" / "cuboid", run.task)
    store = CheckpointStore(run.checkpoints, KeepAll())
    run.checkpoints.mkdir()
    for step in steps:
        rate = (scores or {}).get(step)
        store.save(state_at(step), None if rate is None else {"success_rate": rate})
    if status == "complete":
        finish(run)
    elif status != RUNNING:
        run.update(status=status)
    return run


def steps_in(run: RunDirectory) -> Tuple[int, ...]:
    """The steps of a run's checkpoints."""
    return tuple(entry.step for entry in CheckpointStore(run.checkpoints).entries())


def runs_command(*arguments: object, cwd: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    """`python -m mapush.runs` in a process of its own, with its output in pipes."""
    return subprocess.run(
        [sys.executable, "-m", "mapush.runs", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
