"""`python -m benchmarks.durability`: attacks everything that must not be lost, for minutes.

The attacks are those of `tests/durability`, all of them instead of some.
"""

from __future__ import annotations

import contextlib
import os
import random
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterator, List

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe_machine
from mapush.arguments import Parser
from mapush.errors import EXIT_COMPLETE, exit_with
from tests.durability import measure, random_kills
from tests.durability import test_two_at_once as pair
from tests.durability.injection import Injection, attack, count_calls, faults, kills, unavailable
from tests.durability.readers import READERS, Fuzz
from tests.durability.scenarios import SCENARIOS, Scenario
from tests.durability.starts import assert_all_found, start_many

_KILLED_RUN = ["--train_timesteps", "20000", "--eval_freq", "8000"]
_KILLS_PER_RUN = 12


@dataclass
class Row:
    """One attack: how often it was tried, what was lost, and how much had to be done again."""

    attack: str
    tried: int = 0
    lost: List[str] = field(default_factory=list)
    worst: str = "-"


def every_call(place: Path, kind: type, choose: Callable, words: str, limit: int) -> Row:
    """Attack an operation at its system calls; `limit` of the attacks, spread evenly."""
    scenario: Scenario = kind(place / "template")
    undisturbed = scenario.copy(place / "undisturbed")
    counted = count_calls(lambda: scenario.prepare(undisturbed))
    calls = {call: counted[call] for call in scenario.calls if call in counted}
    row = Row(f"{words} {scenario.name}")
    injections: List[Injection] = choose(calls)
    for injection in injections[:: max(-(-len(injections) // limit), 1)]:
        root = scenario.copy(place / f"try-{row.tried}")
        row.tried += 1
        outcome = attack(lambda root=root: scenario.prepare(root), injection)
        with _losses(row, str(injection)):
            scenario.judge(root, outcome)
    return row


def killed_at_random(place: Path, count: int) -> Row:
    """Kill real training processes at random moments; each run ends to the bit as undisturbed."""
    row = Row("SIGKILL at a random moment of training")
    expected = random_kills.reference(place / "reference", *_KILLED_RUN)
    worst, seed = 0, 0
    with ThreadPoolExecutor(2) as pool:
        while row.tried < count and not row.lost:
            seeds = [seed, seed + 1]
            seed += 2
            for tally in pool.map(
                lambda seed: random_kills.kill_until_done(
                    place / f"run-{seed}",
                    expected,
                    random.Random(seed),
                    min(_KILLS_PER_RUN, count),
                    *_KILLED_RUN,
                ),
                seeds,
            ):
                row.tried += tally.kills
                row.lost += tally.lost
                worst = max(worst, tally.worst)
    row.attack += f", {seed} runs"
    row.worst = f"{worst:,} ({worst / random_kills.ROLLOUT:g} rollouts)"
    return row


def names(place: Path, count: int, kill_one_in: int, flock_works: bool) -> Row:
    """Start many runs in the same hour at once."""
    killed, seconds = start_many(place, count, kill_one_in, flock_works)
    locks = "locks" if flock_works else "no locks"
    row = Row(f"starts at once, {len(killed)} killed, {locks}: {seconds:.1f} s", count)
    with _losses(row, "names"):
        assert_all_found(place, count, killed)
    return row


def two_at_once(place: Path, count: int) -> Row:
    """Real trainers: a second one is refused, a stopped one that lost its run writes nothing."""
    row = Row("two trainers on one run")
    overtaken = pair.test_a_stopped_trainer_that_lost_its_run_writes_nothing_and_ends
    tests = (
        pair.test_a_second_trainer_is_refused_with_the_owner_named,
        lambda path: overtaken("here", path),
        lambda path: overtaken("elsewhere", path),
        pair.test_a_dead_owners_run_is_taken_over_without_a_person,
    )
    for number in range(count):
        row.tried += 1
        with _losses(row, f"two at once {number}"):
            tests[number % len(tests)](_made(place / str(number)))
    return row


def fuzzed(place: Path, name: str, seconds: float) -> Row:
    """Feed a reader files for some time."""
    row = Row(f"damaged and made-up {name}")
    end = time.monotonic() + seconds
    with _losses(row, name):
        fuzz = Fuzz(place, name)
        while time.monotonic() < end:
            row.tried += fuzz.run(300)
    return row


def main() -> int:
    """Attack and print."""
    parser = Parser(prog="benchmarks.durability", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="of training (default: 200)")
    parser.add_argument(
        "--calls",
        type=int,
        default=400,
        help="most faults tried per operation, of all calls x errors (default: 400); kills are "
        "tried at every call",
    )
    parser.add_argument("--starts", type=int, default=1000, help="at once (default: 1000)")
    parser.add_argument("--pairs", type=int, default=8, help="of trainers (default: 8)")
    parser.add_argument(
        "--fuzz", type=float, default=20.0, help="seconds for each reader (default: 20)"
    )
    parser.add_argument("--signals", type=int, default=100, help="timed (default: 100)")
    parser.add_argument("--restarts", type=int, default=5, help="timed (default: 5)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(highlight=False)
    console.print(describe_machine())
    table = Table(title="attacks")
    for heading in ("attack", "tried", "lost", "worst steps lost"):
        table.add_column(heading, justify="left" if heading == "attack" else "right")
    rows: List[Row] = []

    def add(row: Row) -> None:
        rows.append(row)
        table.add_row(row.attack, f"{row.tried:,}", f"{len(row.lost):,}", row.worst)
        console.print(f"{row.attack}: {row.tried:,} tried, {len(row.lost):,} lost")
        for loss in row.lost[:5]:
            console.print(f"  {loss}", style="red", markup=False)

    with tempfile.TemporaryDirectory(prefix="mapush-durability-") as directory:
        top = Path(directory)
        places = (_made(top / str(number)) for number in range(10**6))
        if unavailable():
            console.print(f"the attacks on system calls are left out: {unavailable()}")
        else:
            for kind in SCENARIOS:
                add(every_call(next(places), kind, kills, "SIGKILL at every call of", 10**6))
            for kind in SCENARIOS:
                add(every_call(next(places), kind, faults, "storage faults in", arguments.calls))
        add(names(next(places), arguments.starts, 0, True))
        add(names(next(places), arguments.starts, 20, True))
        add(names(next(places), arguments.starts, 20, False))
        add(two_at_once(next(places), arguments.pairs))
        for name in READERS:
            add(fuzzed(next(places), name, arguments.fuzz))
        add(killed_at_random(next(places), arguments.kills))
        console.print(table)
        console.print(_costs(places, arguments.signals, arguments.restarts))
    raise SystemExit(1 if any(row.lost for row in rows) else 0)
    return EXIT_COMPLETE


def _costs(places: Iterator[Path], signals: int, restarts: int) -> Table:
    draw = random.Random(1)
    stops = sorted(measure.seconds_to_durable(next(places), draw) for _ in range(signals))
    starts = measure.seconds_to_first_steps(next(places), restarts)
    costs = Table(title="what it costs (the stall per checkpoint: benchmarks.throughput)")
    for heading in ("what", "measured", "goal"):
        costs.add_column(heading, justify="left" if heading == "what" else "right")
    worst = stops[min(int(0.99 * len(stops)), len(stops) - 1)]
    costs.add_row(
        f"signal to durable checkpoint, median of {signals}, s",
        f"{statistics.median(stops):.3f}",
        "",
    )
    costs.add_row("the same, 99th percentile, s", f"{worst:.3f}", "0.250")
    costs.add_row(
        f"start of a resumed process to its first update, worst of {restarts}, s",
        f"{max(starts):.2f}",
        "6.00",
    )
    return costs


@contextlib.contextmanager
def _losses(row: Row, what: str) -> Iterator[None]:
    """Count what fails inside as lost."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, something that was promised failed
        row.lost.append(f"{what}: {type(error).__name__}: {str(error)[:500]}")


def _made(path: Path) -> Path:
    path.mkdir()
    return path


if __name__ == "__main__":
    os.environ.pop("MAPUSH_JOB_ID", None)
    exit_with(main)
