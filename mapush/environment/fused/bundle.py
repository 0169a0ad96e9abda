"""`python -m mapush.environment.fused.bundle --to DIR`: the kernels of all tasks, for an image.

An image's processes find them by MAPUSH_KERNELS and compile only what a task's values change.
"""

from __future__ import annotations

from pathlib import Path

from mapush.arguments import Parser
from mapush.environment.fused.environment import FusedEnvironment
from mapush.errors import EXIT_COMPLETE, exit_with
from mapush.simulators.planar import compiled
from mapush.simulators.planar.simulator import PlanarSimulator
from mapush.tasks import known_experiments, load_task, task_folder


def main() -> int:
    """Compile them for the CPU."""
    parser = Parser(prog="mapush.environment.fused.bundle", description=__doc__)
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="is filled")
    compiled.keep_in(parser.parse_args().to)
    for exp in known_experiments():
        task = load_task(task_folder(exp))
        FusedEnvironment(task, 1, "cpu", seed=0).close()
        PlanarSimulator(task.scene, 1).close()
    return EXIT_COMPLETE


if __name__ == "__main__":
    exit_with(main)
