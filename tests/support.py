"""What several test modules share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

PROJECT = Path(__file__).resolve().parents[1]

# 20 environments x 4 decisions x 5 control steps: 400 steps per update, 4,000 in ten updates.
SMALL = (
    "--exp cuboid --num_envs 20 --decisions 4 --hold 5 --train_timesteps 4000 --save_freq 400 "
    "--eval_freq 2000 --eval_envs 4 --final_envs 4 --keep all"
).split()


def train_command(root: Path, *options: str) -> List[str]:
    """A small training run as a command line; later options win."""
    return [sys.executable, "-m", "mapush.train", *SMALL, "--root", str(root), *options]


def run_train(
    root: Path, *options: str, job: str = "", **more: Any
) -> subprocess.CompletedProcess[str]:
    """Run a small training run to its end in a process of its own."""
    return subprocess.run(
        train_command(root, *options),
        cwd=PROJECT,
        env={**os.environ, "MAPUSH_JOB_ID": job},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **more,
    )


def only_run(root: Path) -> Path:
    """The one results directory under a root."""
    (found,) = [path for path in (root / "results").iterdir() if path.is_dir()]
    return found


def differences(first: Any, second: Any, where: str = "") -> List[str]:
    """Where two states of tensors and plain values differ, to the bit."""
    import torch

    if isinstance(first, torch.Tensor):
        return [] if torch.equal(first, second) else [where]
    if isinstance(first, Mapping):
        if first.keys() != second.keys():
            return [f"{where}: keys"]
        return [d for key in first for d in differences(first[key], second[key], f"{where}/{key}")]
    if isinstance(first, (list, tuple)):
        if len(first) != len(second):
            return [f"{where}: length"]
        pairs = enumerate(zip(first, second))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{where}/{i}")]
    return [] if first == second else [f"{where}: {first!r} != {second!r}"]


def scalars(directory: Path) -> Dict[str, List[Tuple[int, float]]]:
    """Every point of every curve in a directory of event files, in the order written."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    curves: Dict[str, List[Tuple[int, float]]] = {}
    for path in sorted(directory.glob("events.out.tfevents.*"), key=lambda p: p.stat().st_mtime):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                point = (event.step, float(value.tensor.float_val[0]))
                curves.setdefault(value.tag, []).append(point)
    return curves


def learned_scalars(directory: Path) -> Dict[str, List[Tuple[int, float]]]:
    """The curves that do not depend on how fast the machine is."""
    timed = ("speed/", "checkpoint/")
    return {tag: points for tag, points in scalars(directory).items() if not tag.startswith(timed)}


def without_openrl() -> str:
    """Why tests of OpenRL cannot run here; empty if they can."""
    from importlib.util import find_spec

    # In CI, where it is installed, its absence is a failure.
    required = os.environ.get("MAPUSH_REQUIRE_OPENRL") == "1"
    installed = required or find_spec("openrl") is not None
    return "" if installed else "OpenRL is not installed: pip install -r requirements/openrl.txt"
