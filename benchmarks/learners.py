"""`python -m benchmarks.learners`: how fast each learner trains, side by side.

Every row is the real command in a process of its own, as in `benchmarks.throughput`, without
evaluations. The rows take turns, so that a machine that slows down slows all of them.
"""

from __future__ import annotations

import statistics
from typing import Dict, List, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.contender import present
from benchmarks.machine import describe_machine
from benchmarks.measure_training import train
from mapush.arguments import Parser
from mapush.errors import EXIT_COMPLETE, exit_with
from mapush.simulators import DEFAULT

_PARTS = ("simulate", "act", "update")


class Contender(NamedTuple):
    """A learner with the recipe and environments it is meant for."""

    learner: str
    recipe: str
    num_envs: int


CONTENDERS = (
    Contender("native", "default", 100),
    Contender("native", "published", 500),
    Contender("openrl", "published", 500),
)


def measure(contender: Contender, exp: str, train_timesteps: int) -> Dict[str, float]:
    """Steps/s of one training after its first update, and microseconds per step of its parts."""
    options = [
        f"--learner={contender.learner}",
        f"--recipe={contender.recipe}",
        f"--num_envs={contender.num_envs}",
        f"--train_timesteps={train_timesteps}",
        *("--eval_freq=0", "--final_envs=0"),
    ]
    training = train(present(DEFAULT), exp, options)
    found = {part: 1e6 * training.spent(part) / training.steps for part in _PARTS}
    return {**found, "speed": training.speed, "memory": training.memory}


def main() -> int:
    """Measure and print."""
    parser = Parser(prog="benchmarks.learners", description=__doc__)
    parser.add_argument("--exp", default="cuboid", help="task (default: cuboid)")
    parser.add_argument("--train_timesteps", type=int, default=500_000, help="(default: 500000)")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median (default: 3)")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    console.print(describe_machine())
    rounds: List[List[Dict[str, float]]] = [
        [measure(each, arguments.exp, arguments.train_timesteps) for each in CONTENDERS]
        for _ in range(arguments.rounds)
    ]
    medians = [
        {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        for runs in zip(*rounds)
    ]
    table = Table(title=f"{arguments.exp}, {arguments.train_timesteps:,} steps")
    for heading in ("learner", "recipe", "environments"):
        table.add_column(heading)
    for heading in ("steps/s", "ratio", *(f"{part} us" for part in _PARTS)):
        table.add_column(heading, justify="right")
    slowest = medians[-1]["speed"]
    for contender, found in zip(CONTENDERS, medians):
        table.add_row(
            *(contender.learner, contender.recipe, str(contender.num_envs)),
            f"{found['speed']:,.0f}",
            f"{found['speed'] / slowest:.2f}",
            *(f"{found[part]:.1f}" for part in _PARTS),
        )
    console.print(table)
    return EXIT_COMPLETE


if __name__ == "__main__":
    exit_with(main)
