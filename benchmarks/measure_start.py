"""How long a process takes to its first update."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import List

from benchmarks.contender import Contender
from mapush.errors import RequestError

ONE_UPDATE = (
    *("--num_envs=20", "--decisions=4", "--train_timesteps=400"),
    *("--eval_freq=0", "--final_envs=0"),
)
"""Options of a training that is over after one small update."""


def seconds_to_checkpoint(command: List[str], root: Path, tree: Path) -> float:
    """From the start of a process to its first checkpoint, which follows the first update.

    Args:
        command: trains.
        root: where its results go; empty.
        tree: its working directory.

    Raises:
        RequestError: the training fails.
    """
    begun = time.perf_counter()
    with subprocess.Popen(
        command, cwd=tree, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        while not list(root.glob("log/*/*/*/checkpoints/rl_model_*")):
            if process.poll() is not None:
                said = process.stderr.read().strip() if process.stderr else ""
                raise RequestError(f"{' '.join(command)}: ended too early: {said}")
            time.sleep(0.002)
        spent = time.perf_counter() - begun
        process.communicate()
    return spent


def second_start(contender: Contender, exp: str) -> float:
    """Seconds to the first update where a process has started just before, less `import torch`."""

    def start() -> float:
        with tempfile.TemporaryDirectory(prefix="mapush-start-") as root:
            command = contender.train(exp, Path(root), *ONE_UPDATE)
            return seconds_to_checkpoint(command, Path(root), contender.tree)

    start()  # what is compiled, is; what is read, is in memory
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    bare = time.perf_counter() - begun
    return start() - bare
