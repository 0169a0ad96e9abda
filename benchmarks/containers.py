"""`python -m benchmarks.containers`: what a container costs, in seconds at the start and in bytes.

Measures images that are there already: `--image mapush:mujoco --image mapush-mujoco.sif`. The
training is the real command with one update to do; a start is over when its checkpoint is on disk.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import List, Optional

from rich.console import Console
from rich.table import Column, Table

from benchmarks.contender import PROJECT
from benchmarks.machine import describe_machine
from benchmarks.measure_start import ONE_UPDATE, seconds_to_checkpoint
from mapush.arguments import Parser
from mapush.errors import EXIT_COMPLETE, exit_with

_OPTIONS = ("--exp=cuboid", *ONE_UPDATE)


def is_file(image: str) -> bool:
    """Whether an image is Apptainer's."""
    return image.endswith(".sif")


def engine() -> str:
    """The program that runs images by name."""
    for name in ("docker", "podman"):
        if shutil.which(name):
            return name
    sys.exit("mapush: found neither docker nor podman")


def command(image: Optional[str], root: str, name: str) -> List[str]:
    """One small training, bare or in an image."""
    if image is None:
        return [sys.executable, "-m", "mapush.train", *_OPTIONS, "--root", root]
    if is_file(image):
        return ["apptainer", "run", "--cleanenv", "--bind", f"{root}:/out", image, *_OPTIONS]
    who = f"--user={os.getuid()}:{os.getgid()}"
    return [name, "run", "--rm", who, f"--volume={root}:/out", image, *_OPTIONS]


def seconds_to_first_update(image: Optional[str], name: str) -> float:
    """From the start of the process to the first checkpoint.

    Raises:
        RequestError: If the training fails.
    """
    with tempfile.TemporaryDirectory(prefix="mapush-containers-") as root:
        return seconds_to_checkpoint(command(image, root, name), Path(root), PROJECT)


def size(image: str, name: str) -> float:
    """GB on disk."""
    if is_file(image):
        return Path(image).stat().st_size / 1e9
    told = subprocess.check_output([name, "image", "inspect", "--format", "{{.Size}}", image])
    return int(told) / 1e9


def main() -> int:
    """Measure and print."""
    parser = Parser(prog="benchmarks.containers", description=__doc__)
    parser.add_argument(
        "--image",
        action="append",
        default=[],
        help="an image's name or a .sif file; may be given often",
    )
    parser.add_argument("--engine", default=None, help="docker or podman (default: what is there)")
    parser.add_argument("--times", type=int, default=5, help="starts of each (default: 5)")
    parser.add_argument(
        "--build",
        default="",
        metavar="COMMAND",
        help="also time this, such as 'make image SIM=mujoco'",
    )
    arguments = parser.parse_args()
    name = arguments.engine or engine()
    console = Console(highlight=False)
    console.print(describe_machine())

    table = Table(
        Column("start", overflow="fold"),
        "to the first update, s (median)",
        "longest",
        "more than bare",
        "size, GB",
    )
    bare = 0.0
    for image in [None, *arguments.image]:
        # Alternating would be fairer to a machine that others use; a warm cache matters more.
        seconds_to_first_update(image, name)
        spent = [seconds_to_first_update(image, name) for _ in range(arguments.times)]
        middle = statistics.median(spent)
        bare = bare if image else middle
        more = f"{middle - bare:+.2f}" if image else ""
        bytes_there = f"{size(image, name):.2f}" if image else ""
        table.add_row(image or "bare", f"{middle:.2f}", f"{max(spent):.2f}", more, bytes_there)
    console.print(table)
    if arguments.build:
        begun = time.perf_counter()
        subprocess.run(arguments.build, shell=True, check=True, cwd=PROJECT, capture_output=True)
        console.print(f"{arguments.build}: {time.perf_counter() - begun:.1f} s")
    return EXIT_COMPLETE


if __name__ == "__main__":
    exit_with(main)
