"""Kills at random moments of real training processes, each followed by a resume."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List

import yaml

from mapush.checkpoint import module
from mapush.checkpoint.store import CheckpointStore, load_entry
from mapush.runs import metrics
from tests.support import PROJECT, differences, only_run, run_train, train_command

ROLLOUT = 400  # environment steps of one update of the small settings


@dataclass
class Tally:
    """What came of the kills.

    Attributes:
        kills: how many hit a living process.
        in_training: how many of these hit it after its directory was taken.
        runs: how many runs were killed and gone on with to their end.
        lost: what was lost, one line each.
        worst: most environment steps done again after one kill, the rollout in hand included.
    """

    kills: int = 0
    in_training: int = 0
    runs: int = 0
    lost: List[str] = field(default_factory=list)
    worst: int = 0


def reference(root: Path, *options: str) -> Dict[str, object]:
    """The state that a run ends with when nothing disturbs it."""
    done = run_train(root, *options)
    assert done.returncode == 0, done.stderr
    return final_state(root)


def final_state(root: Path) -> Dict[str, object]:
    """The state of a finished run's last checkpoint."""
    checkpoints = only_run(root) / "checkpoints"
    return load_entry(CheckpointStore(checkpoints).entries()[-1])


def kill_until_done(
    root: Path, expected: Dict[str, object], draw: random.Random, kills: int, *options: str
) -> Tally:
    """Start a job again and again, each time killed at a random moment, then let it end.

    Args:
        root: An empty directory.
        expected: The state it must end with.
        draw: Gives the moments.
        kills: How many kills at the most; the last start is left alone.
    """
    tally = Tally(runs=1)
    while tally.kills < kills:
        with _started(root, *options) as process:
            # One in four at any moment from the start of Python on, the others once it has its run.
            anywhere = draw.random() < 0.25
            if not anywhere:
                _wait_for_its_run(process)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(draw.uniform(0, 5.0 if anywhere else 2.0))
            if process.poll() is not None:
                break
            process.send_signal(signal.SIGKILL)
        tally.kills += 1
        _judge_kill(root, tally)
        if tally.lost:
            return tally
    done = run_train(root, *options, job="kills")
    if done.returncode != 0:
        tally.lost.append(f"{root}: the last start ended with {done.returncode}: {done.stderr}")
        return tally
    found = [path for path in (root / "results").iterdir() if (path / "run.yaml").is_file()]
    if len(found) != 1:
        tally.lost.append(f"{root}: {len(found)} runs of one job")
        return tally
    state = load_entry(CheckpointStore(found[0] / "checkpoints").entries()[-1])
    if differences(state, expected):
        tally.lost.append(f"{root}: ends otherwise: {differences(state, expected)[:3]}")
    noted = yaml.safe_load((found[0] / "run.yaml").read_bytes())["interruptions"]
    for note in noted:
        # What the metrics tell, and at the most one rollout in hand, of which no file tells.
        tally.worst = max(tally.worst, note["steps_lost"] + ROLLOUT)
    return tally


def _started(root: Path, *options: str) -> subprocess.Popen:
    return subprocess.Popen(
        train_command(root, *options),
        cwd=PROJECT,
        env={**os.environ, "MAPUSH_JOB_ID": "kills"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _wait_for_its_run(process: subprocess.Popen) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(("run ", "resuming ")):
            return


def _judge_kill(root: Path, tally: Tally) -> None:
    """Every checkpoint listed is whole, and none is missing that the metrics imply."""
    for checkpoints in (*root.glob("log/MQE/*/*/checkpoints"), *root.glob("results/*/checkpoints")):
        tally.in_training += 1
        entries = CheckpointStore(checkpoints).entries()
        for entry in entries[-2:]:
            module.load(entry.module)
            load_entry(entry)
        recorded = metrics.last_step(checkpoints.with_name(metrics.FILE_NAME))
        newest = entries[-1].step if entries else 0
        if recorded - newest > ROLLOUT:
            tally.lost.append(f"{root}: {recorded:,} steps are recorded and {newest:,} are saved")
