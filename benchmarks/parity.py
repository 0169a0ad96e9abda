r"""Do the published policies do in our simulator what they did in Isaac Gym?

    python -m benchmarks.parity --checkpoints ../shared/reference/checkpoints

Evaluates every DIR/<exp>/rl_model_<N>_steps/module.pt by the published protocol (the first episode
of every environment, deterministic actions) and compares with what its authors measured.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import List, Mapping, Optional, Tuple

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.machine import describe_machine
from benchmarks.published import EPISODES, Published, find_checkpoints, published_figures
from mapush.arguments import Parser
from mapush.errors import EXIT_COMPLETE, RequestError, exit_with
from mapush.evaluation.figures import Figures
from mapush.simulators import DEFAULT, SimulatorChoice, load_before_torch, simulator_kind
from mapush.tasks import known_experiments, load_task, task_folder

_COLLABORATION = "collaboration degree"  # the metric's name in a task


@dataclass(frozen=True)
class Goal:
    """What is asked of one task.

    Attributes:
        mean: mean absolute error of its success rates.
        largest: absolute error of any one of them; None for no bound.
        time: mean absolute error of its finishing times, s.
    """

    mean: float
    largest: Optional[float]
    time: float


GOAL = Goal(mean=0.03, largest=0.08, time=0.4)
OTHER_GOALS: Mapping[str, Goal] = {"Tblock": Goal(mean=0.06, largest=None, time=0.4)}


@dataclass(frozen=True)
class Row:
    """One checkpoint: ours beside what was published of it, if anything was."""

    millions: float
    ours: Figures
    published: Optional[Published]

    @property
    def collaboration(self) -> float:
        """Our collaboration degree."""
        return self.ours.metrics.get(_COLLABORATION, float("nan"))


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
        "collab.\npublished",
        "\nours",
        "exceptions\nours",
    ):
        shown.add_column(heading, justify="right")
    for row in rows:
        low, high = row.ours.interval
        rate, told = row.ours.success_rate, row.published
        shown.add_row(
            f"{row.millions:g}",
            "-" if told is None else f"{told.success:.3f}",
            f"{rate:.3f}",
            f"{low:.3f} .. {high:.3f}",
            "-" if told is None else f"{rate - told.success:+.3f}",
            "-" if told is None else f"{told.time:.2f}",
            f"{row.ours.finished_time:.2f}",
            "-" if told is None else f"{told.collaboration:.3f}",
            f"{row.collaboration:.3f}",
            f"{row.ours.failure_rate:.3f}",
        )
    return shown


def verdict(exp: str, rows: List[Row]) -> str:
    """The errors of one task, ours less what was published, and whether its goal is met."""
    pairs = [(row, row.published) for row in rows if row.published is not None]
    if not pairs:
        return f"{exp}: nothing was published of these checkpoints"
    goal = OTHER_GOALS.get(exp, GOAL)
    success = [row.ours.success_rate - told.success for row, told in pairs]
    times = [row.ours.finished_time - told.time for row, told in pairs]
    largest = max(success, key=abs)
    met = (
        _size(success) <= goal.mean
        and (goal.largest is None or abs(largest) <= goal.largest)
        and _size(times) <= goal.time
    )
    bound = "" if goal.largest is None else f" (goal {goal.largest:.2f})"
    together = _size([row.collaboration - told.collaboration for row, told in pairs])
    return (
        f"{exp}: success rate, mean absolute error {_size(success):.3f} (goal {goal.mean:.2f}), "
        f"largest {largest:+.3f}{bound}; finishing time, mean absolute error {_size(times):.2f} s "
        f"(goal {goal.time:.1f}), mean {sum(times) / len(times):+.2f} s: "
        f"goal {'met' if met else 'MISSED'}; "
        f"collaboration degree, mean absolute error {together:.3f}"
    )


def _size(differences: List[float]) -> float:
    return sum(map(abs, differences)) / len(differences)


def compare(
    exp: str, listed: List[Tuple[float, Path]], options: argparse.Namespace, console: Console
) -> List[Row]:
    """Evaluate the checkpoints of one task, `listed` with their million steps."""
    from mapush.evaluation.evaluator import Evaluator
    from mapush.evaluation.policy import load_policy

    task, known = load_task(task_folder(exp)), published_figures().get(exp, {})
    simulator = SimulatorChoice(options.sim)
    rows = []
    for millions, path in track(
        listed, exp, console=console, transient=True, disable=not console.is_terminal
    ):
        policy = load_policy(path, task)
        evaluator = Evaluator(task, simulator, options.num_envs, options.seed, policy.decimation)
        try:
            ours = evaluator.evaluate(policy)
        finally:
            evaluator.close()
        rows.append(Row(millions, ours, known.get(millions)))
    return rows


def main(arguments: Optional[List[str]] = None) -> int:
    """Evaluate, compare, print."""
    options = _parser().parse_args(arguments)
    load_before_torch()
    import torch

    from mapush.evaluation.evaluator import TEST_SEED

    if options.seed is None:
        options.seed = TEST_SEED
    if options.num_envs < 1:
        raise RequestError(f"--num_envs {options.num_envs}: at least 1")
    simulator_kind(options.sim)
    exps = options.exp or known_experiments()
    checkpoints = find_checkpoints(options.checkpoints, exps, options.only)
    torch.set_num_threads(1)  # the networks are small; the cores are the simulator's
    console = Console(highlight=False, width=120)
    begun = time.perf_counter()
    for exp, listed in checkpoints.items():
        rows = compare(exp, listed, options, console)
        console.print(table(exp, rows))
        console.print(verdict(exp, rows), soft_wrap=True)
        console.print()
    console.print(
        f"--sim {options.sim}, {options.num_envs:,} episodes per checkpoint (published: "
        f"{EPISODES}), seed {options.seed}, {time.perf_counter() - begun:.0f} s\n"
        f"{describe_machine()}",
        soft_wrap=True,
    )
    return EXIT_COMPLETE


def _parser() -> Parser:
    parser = Parser(
        prog="benchmarks.parity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--checkpoints", type=Path, required=True, metavar="DIR", help="holds <exp>/rl_model_*"
    )
    parser.add_argument("--sim", default=DEFAULT, help=f"the simulator (default: {DEFAULT})")
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
        "--seed", type=int, metavar="N", help="of the starts (default: that of mapush.test)"
    )
    return parser


def _millions(text: str) -> List[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers such as 50,100") from None


if __name__ == "__main__":
    exit_with(main)
