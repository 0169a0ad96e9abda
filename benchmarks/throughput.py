"""`python -m benchmarks.throughput`: how fast the simulator, the environment and training are.

With `--against COMMIT`, that commit is checked out beside this one and both are measured in turns.
The training is the real command with its checkpoints on disk; where its time goes is what its
metrics.jsonl says.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
from importlib.util import find_spec
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from rich.console import Console
from rich.table import Table

from benchmarks import measure_start, old_commit
from benchmarks.comparison import Goal, Row, comparison, in_turns, where_time_goes
from benchmarks.contender import Contender, checked_out, present
from benchmarks.machine import describe_machine
from benchmarks.measure_training import SUCCESS, Training, train
from mapush.arguments import NUMBERS, Parser
from mapush.errors import EXIT_COMPLETE, RequestError, exit_with
from mapush.simulators import DEFAULT, known_simulators, simulator_kind
from mapush.tasks import task_folder

MANY_ENVS = 1000  # beside --num_envs, how the environment scales

_STEPS = "benchmarks.measure_steps"


def main(arguments: Optional[List[str]] = None) -> int:
    """Measure and print."""
    options = _parser().parse_args(arguments)
    for name in ("rounds", "num_envs", "train_timesteps"):
        if getattr(options, name) < 1:
            raise RequestError(f"--{name} {getattr(options, name)}: at least 1")
    task_folder(options.exp)
    console = Console(highlight=False, width=120)
    console.print(describe_machine(), soft_wrap=True)
    with _contenders(options) as (old, new):
        for table in _tables(options, old, new):
            console.print(table)
    return EXIT_COMPLETE


@contextlib.contextmanager
def _contenders(
    options: argparse.Namespace,
) -> Iterator[Tuple[Optional[Contender], List[Contender]]]:
    """The old commit, if one is asked for, and the simulators of this checkout."""
    for name in options.sim or ():
        simulator_kind(name)
    new = [present(name) for name in dict.fromkeys(options.sim or _installed())]
    if not options.against:
        yield None, new
        return
    with checked_out(options.against) as tree:
        yield Contender(options.against, tree, old_commit.SIM), new


def _installed() -> List[str]:
    """The default simulator and MuJoCo, where they are there."""
    names = [name for name in dict.fromkeys((DEFAULT, "mujoco")) if name in known_simulators()]
    return [name for name in names if all(map(find_spec, simulator_kind(name).modules))]


def _tables(
    options: argparse.Namespace, old: Optional[Contender], new: Sequence[Contender]
) -> Iterator[Table]:
    everyone = [*([old] if old else []), *new]
    names = old.name if old else None, [contender.name for contender in new]

    def speed(what: str, contenders: Sequence[Contender], num_envs: int) -> Dict[str, List[float]]:
        def measure(contender: Contender) -> float:
            request = {"what": what, "num_envs": num_envs, "seconds": options.seconds}
            return contender.ask(_STEPS, exp=options.exp, **request)["speed"]

        return in_turns(contenders, options.rounds, measure)

    trained = in_turns(
        everyone,
        options.rounds,
        lambda contender: train(
            contender,
            options.exp,
            [f"--train_timesteps={options.train_timesteps}", "--save_freq=20000"],
        ),
    )
    started = in_turns(
        everyone, options.rounds, lambda each: measure_start.second_start(each, options.exp)
    )
    several = f"environment, {options.num_envs:,} at a time, all cores, steps/s"
    rows = [
        Row(
            f"simulator alone, {options.num_envs:,} environments, one core, steps/s",
            speed("simulator", everyone, options.num_envs),
            goal=Goal(6, is_ratio=True),
        ),
        Row(
            several,
            speed("environment", everyone, options.num_envs),
            goal=Goal(10, is_ratio=True),
        ),
        Row(
            several.replace(f"{options.num_envs:,}", f"{MANY_ENVS:,}", 1),
            speed("environment", new, MANY_ENVS),
        ),
        *_training_rows(trained),
        Row(
            "second start to its first update, over a bare import torch, s",
            started,
            ".2f",
            Goal(1.5, is_most=True),
        ),
    ]
    if options.to_success:
        rows.append(_success_row(options, everyone))
    yield comparison(f"{options.exp}, {options.rounds} rounds in turns", rows, *names)
    yield where_time_goes(trained)


def _training_rows(trained: Dict[str, List[Training]]) -> List[Row]:
    def of(figure: str) -> Dict[str, List[float]]:
        return {name: [getattr(run, figure) for run in runs] for name, runs in trained.items()}

    stalls = {
        name: [update["stall_ms"] for run in runs for update in run.updates[1:]]
        for name, runs in trained.items()
    }
    whole = {
        name: [run.updates[-1]["steps"] / run.wall for run in runs]
        for name, runs in trained.items()
    }
    return [
        Row(
            "training, a checkpoint every 20,000 steps, steps/s",
            of("speed"),
            goal=Goal(4, is_ratio=True),
        ),
        Row("the whole command, start to results, steps/s", whole),
        Row("stall per checkpoint, ms", stalls, ".1f"),
        Row("peak memory of training, GB", of("memory"), ".2f", Goal(1, is_most=True)),
    ]


def _success_row(options: argparse.Namespace, everyone: Sequence[Contender]) -> Row:
    """Seconds of training to the success rate, the seeds in the place of rounds."""
    found: Dict[str, List[float]] = {contender.name: [] for contender in everyone}
    for seed in options.to_success:
        words = [f"--seed={seed}", f"--eval_freq={options.eval_freq}", "--final_envs=0"]
        for contender in everyone:
            run = train(
                contender, options.exp, words, lambda now: now.seconds_to(SUCCESS) is not None
            )
            seconds = run.seconds_to(SUCCESS)
            found[contender.name].append(float("inf") if seconds is None else seconds)
    seeds = " ".join(map(str, options.to_success))
    return Row(
        f"training to a success rate of {SUCCESS:.2f}, seeds {seeds}, s",
        found,
        ".1f",
        Goal(0.25, is_most=True, is_ratio=True),
    )


def _parser() -> Parser:
    parser = Parser(prog="benchmarks.throughput", description=__doc__, epilog=NUMBERS)
    parser.add_argument(
        "--sim",
        action="append",
        metavar="NAME",
        help="a simulator to measure; may be repeated, and the first one is compared with the "
        f"goals (default: {DEFAULT} and mujoco, where installed)",
    )
    parser.add_argument(
        "--against", metavar="COMMIT", help="also measure this commit, such as 724e0bb"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of which the median (default: 3)")
    parser.add_argument("--exp", default="cuboid", help="task (default: cuboid)")
    parser.add_argument(
        "--num_envs",
        type=int,
        default=200,
        help="of simulator and environment; training has the recipe's own (default: 200)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=3.0,
        help="to step simulator and environment for, in whole episodes (default: 3)",
    )
    parser.add_argument("--train_timesteps", type=int, default=2_000_000, help="(default: 2000000)")
    parser.add_argument(
        "--to_success",
        type=int,
        nargs="+",
        metavar="SEED",
        help=f"also train with these seeds until an evaluation finds {SUCCESS:.2f}; takes minutes",
    )
    parser.add_argument(
        "--eval_freq", type=int, default=500_000, help="of --to_success (default: 500000)"
    )
    return parser


if __name__ == "__main__":
    # So that a checkout and a training do not outlive the command.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    exit_with(main)
