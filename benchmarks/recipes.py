"""`python -m benchmarks.recipes --vary "epochs=8 minibatches=4"`: what a recipe's values are worth.

Every variant of the default recipe trains with every seed, by the real command in a process of its
own, and its last policy is evaluated. A seed alone says little: success differs by 0.1 and more.
"""

from __future__ import annotations

import signal
import statistics
from dataclasses import replace
from typing import List, Optional, Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.contender import present
from benchmarks.machine import describe_machine
from benchmarks.measure_training import SUCCESS, Training, train
from mapush.arguments import NUMBERS, Parser
from mapush.errors import EXIT_COMPLETE, exit_with
from mapush.simulators import DEFAULT
from mapush.tasks import task_folder

AS_IT_IS = ""


def main(arguments: Optional[List[str]] = None) -> int:
    """Train and print a row per variant."""
    options = _parser().parse_args(arguments)
    task_folder(options.exp)
    console = Console(highlight=False, width=120)
    console.print(describe_machine(), soft_wrap=True)
    common = [
        f"--train_timesteps={options.train_timesteps}",
        f"--eval_freq={options.eval_freq}",
        f"--eval_envs={options.episodes}",
        "--final_envs=0",
    ]
    variants = [AS_IT_IS, *options.vary]
    changes = [[_set(change) for change in variant.split()] for variant in variants]
    runs: List[List[Training]] = [[] for _ in variants]
    # The seeds one after another, so that a machine that slows down slows all variants.
    for seed in options.seeds:
        for variant, changed, found in zip(variants, changes, runs):
            words = [*common, f"--seed={seed}", *changed]
            # Its name is what an error begins with.
            contender = replace(present(options.sim), name=f"--vary {variant!r}")
            found.append(train(contender, options.exp, words))
            print(f"{_label(variant)}, seed {seed}: {_curve(found[-1])}", flush=True)
    seeds = " ".join(map(str, options.seeds))
    console.print(results(f"{options.exp}, seeds {seeds}", variants, runs))
    return EXIT_COMPLETE


def _set(change: str) -> str:
    name = change.partition("=")[0]
    return f"--set={change}" if "." in name else f"--set=ppo.{change}"


def _label(variant: str) -> str:
    return variant or "default"


def _curve(run: Training) -> str:
    rates = " ".join(f"{rate:.2f}" for _, rate in run.evaluations)
    return f"{rates} ({run.seconds:.0f} s)"


def results(title: str, variants: Sequence[str], runs: Sequence[Sequence[Training]]) -> Table:
    """A row per variant of what its runs, one per seed, reached."""
    table = Table(title=title)
    table.add_column("recipe default with", overflow="fold")
    headings = ("success", "lowest, highest", "steps/s", "update, us per step")
    for heading in (*headings, f"seconds to {SUCCESS:.2f}", f"steps to {SUCCESS:.2f}"):
        table.add_column(heading, justify="right")
    for variant, found in zip(variants, runs):
        rates = [run.evaluations[-1][1] for run in found]
        seconds = [run.seconds_to(SUCCESS) for run in found]
        steps = [run.steps_to(SUCCESS) for run in found]
        table.add_row(
            _label(variant),
            f"{statistics.mean(rates):.3f}",
            f"{min(rates):.3f}, {max(rates):.3f}",
            f"{statistics.median(run.steps / _seconds(run) for run in found):,.0f}",
            f"{statistics.median(1e6 * run.spent('update') / run.steps for run in found):.2f}",
            *(_median(seconds, ".0f"), _median(steps, ",.0f")),
        )
    return table


def _seconds(run: Training) -> float:
    return run.seconds - run.spent("evaluate")


def _median(values: Sequence[Optional[float]], form: str) -> str:
    """Of the runs that got there, with how many did where not all."""
    there = [value for value in values if value is not None]
    if not there:
        return "never"
    of_all = "" if len(there) == len(values) else f" ({len(there)} of {len(values)})"
    return f"{statistics.median(there):{form}}{of_all}"


def _parser() -> Parser:
    parser = Parser(prog="benchmarks.recipes", description=__doc__, epilog=NUMBERS)
    parser.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar='"NAME=VALUE ..."',
        help="values to change, of ppo where no section is named: a row of the table; may be "
        "repeated",
    )
    parser.add_argument("--exp", default="cuboid", help="task (default: cuboid)")
    parser.add_argument("--sim", default=DEFAULT, help=f"simulator (default: {DEFAULT})")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="(default: 1 2 3)")
    parser.add_argument(
        "--train_timesteps", type=int, default=10_000_000, help="(default: 10000000)"
    )
    parser.add_argument("--eval_freq", type=int, default=500_000, help="(default: 500000)")
    parser.add_argument("--episodes", type=int, default=500, help="of each evaluation (500)")
    return parser


if __name__ == "__main__":
    # So that a training does not outlive the command.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    exit_with(main)
