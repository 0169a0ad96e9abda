r"""Do the published policies do in our simulator what they did in Isaac Gym?

    python -m benchmarks.parity --checkpoints ../shared/reference/checkpoints

Evaluates every DIR/<exp>/rl_model_<N>_steps/module.pt by the published protocol (the first episode
of every environment, deterministic actions) and compares with what its authors measured.
"""

from __future__ import annotations

import argparse
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import torch
import yaml
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.machine import describe_machine
from mapush.arguments import Parser
from mapush.errors import RequestError, exit_with
from mapush.evaluation.evaluator import TEST_SEED, Evaluator
from mapush.evaluation.figures import Figures
from mapush.evaluation.policy import load_policy
from mapush.simulators import SimulatorChoice
from mapush.tasks import known_experiments, load_task, task_folder

MEAN_GOAL = 0.04  # mean absolute error of a task's success rates
LARGEST_GOAL = 0.10  # of any one checkpoint
PUBLISHED_EPISODES = 300
_FIGURES = Path(__file__).with_name("published.yaml")
_NAME = re.compile(r"rl_model_(\d{1,18})_steps")

Known = Dict[str, Dict[float, Dict[str, float]]]


@dataclass(frozen=True)
class Row:
    """One checkpoint: ours beside what was published of it, if anything was."""

    millions: float
    ours: Figures
    success: Optional[float]
    time: Optional[float]

    @property
    def difference(self) -> Optional[float]:
        """Success rate, ours less the published one."""
        return None if self.success is None else self.ours.success_rate - self.success


def find_checkpoints(
    root: Path, exps: List[str], only: Optional[List[float]]
) -> Dict[str, List[Tuple[float, Path]]]:
    """The module.pt of every task under `root`, with their million steps, in order of steps.

    Raises:
        RequestError: there is none, or none of those asked for.
    """
    if not root.is_dir():
        raise RequestError(f"--checkpoints {root}: no such directory; name one with <exp>/ in it")
    found = {}
    for exp in exps:
        steps = [
            (int(named.group(1)) / 1e6, path)
            for path in root.glob(f"{exp}/rl_model_*_steps/module.pt")
            if (named := _NAME.fullmatch(path.parent.name))
        ]
        chosen = sorted(each for each in steps if only is None or each[0] in only)
        if chosen:
            found[exp] = chosen
    if not found:
        wanted = "" if only is None else " of " + ", ".join(f"{each:g}" for each in only) + " M"
        raise RequestError(
            f"--checkpoints {root}: holds no <exp>/rl_model_<N>_steps/module.pt{wanted} for "
            f"{', '.join(exps)}"
        )
    return found


def table(exp: str, rows: List[Row]) -> Table:
    """The comparison of one task."""
    shown = Table(title=exp, title_justify="left", title_style="bold", box=SIMPLE)
    for heading in (
        "million\nsteps",
        "success\npublished",
        "\nours",
        "\n95% interval",
        "\ndifference",
        "time s\npublished",
        "\nours",
        "exceptions\nours",
    ):
        shown.add_column(heading, justify="right")
    for row in rows:
        low, high = row.ours.interval
        shown.add_row(
            f"{row.millions:g}",
            "-" if row.success is None else f"{row.success:.3f}",
            f"{row.ours.success_rate:.3f}",
            f"{low:.3f} .. {high:.3f}",
            "-" if row.difference is None else f"{row.difference:+.3f}",
            "-" if row.time is None else f"{row.time:.2f}",
            f"{row.ours.finished_time:.2f}",
            f"{row.ours.failure_rate:.3f}",
        )
    return shown


def verdict(exp: str, rows: List[Row]) -> str:
    """Mean absolute error and largest difference of one task, and whether the goal is met."""
    differences = [row.difference for row in rows if row.difference is not None]
    if not differences:
        return f"{exp}: nothing was published of these checkpoints"
    mean = sum(map(abs, differences)) / len(differences)
    largest = max(differences, key=abs)
    times = [row.ours.finished_time - row.time for row in rows if row.time is not None]
    met = mean <= MEAN_GOAL and abs(largest) <= LARGEST_GOAL
    return (
        f"{exp}: mean absolute error {mean:.3f} (goal {MEAN_GOAL:.2f}), "
        f"largest difference {largest:+.3f} (goal {LARGEST_GOAL:.2f}), "
        f"mean finishing time {sum(times) / len(times):+.2f} s: "
        f"goal {'met' if met else 'MISSED'}"
    )


def main(arguments: Optional[List[str]] = None) -> int:
    """Evaluate, compare, print."""
    options = _parser().parse_args(arguments)
    if options.num_envs < 1:
        raise RequestError(f"--num_envs {options.num_envs}: at least 1")
    exps = options.exp or known_experiments()
    tasks = {exp: load_task(task_folder(exp)) for exp in exps}
    known: Known = yaml.safe_load(_FIGURES.read_text(encoding="utf-8"))
    checkpoints = find_checkpoints(options.checkpoints, exps, options.only)
    torch.set_num_threads(1)  # the networks are small; the cores are the simulator's
    console = Console(highlight=False, width=100)
    begun = time.perf_counter()
    for exp, listed in checkpoints.items():
        rows = []
        for millions, path in track(
            listed, exp, console=console, transient=True, disable=not console.is_terminal
        ):
            policy = load_policy(path, tasks[exp])
            evaluator = Evaluator(
                tasks[exp], SimulatorChoice(), options.num_envs, options.seed, policy.decimation
            )
            ours = evaluator.evaluate(policy)
            told = known.get(exp, {}).get(millions, {})
            rows.append(Row(millions, ours, told.get("success"), told.get("time")))
        console.print(table(exp, rows))
        console.print(verdict(exp, rows), soft_wrap=True)
        console.print()
    console.print(
        f"{options.num_envs:,} episodes per checkpoint (published: {PUBLISHED_EPISODES}), seed "
        f"{options.seed}, {time.perf_counter() - begun:.0f} s\n{describe_machine()}",
        soft_wrap=True,
    )
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="benchmarks.parity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--checkpoints", type=Path, required=True, metavar="DIR", help="holds <exp>/rl_model_*"
    )
    parser.add_argument(
        "--exp", action="append", help="only this task; may be repeated (default: all there are)"
    )
    parser.add_argument(
        "--only", type=_millions, metavar="M,M", help="only these, million steps (default: all)"
    )
    parser.add_argument(
        "--num_envs", type=int, default=1000, help="episodes per checkpoint (default: 1000)"
    )
    parser.add_argument(
        "--seed", type=int, default=TEST_SEED, help=f"of the starts (default: {TEST_SEED})"
    )
    return parser


def _millions(text: str) -> List[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers such as 50,100") from None


if __name__ == "__main__":
    exit_with(main)
