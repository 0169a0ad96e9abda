"""`python -m benchmarks.preemption`: what every kind of interruption costs a job on a real cluster.

The clusters, the jobs and the attacks are those of `tests/cluster`; each is done once.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import torch
from rich.console import Console

from benchmarks.machine import describe_machine
from mapush.arguments import Parser
from mapush.errors import EXIT_COMPLETE, EXIT_FAILURE, exit_with
from tests.cluster.cluster import Cluster, unavailable
from tests.cluster.plan import Scenario, clusters, scenarios
from tests.cluster.scenario import References, Result

_HEADINGS = (
    "what happens",
    "form",
    "steps lost",
    "signal to checkpoint, s",
    "to running again, s",
    "requeues",
    "identical",
)


def run(
    chosen: Dict[str, Scenario], found: Dict[str, Cluster], place: Path, at_once: int
) -> Dict[str, Future[Result]]:
    """Play scenarios, some at a time, saying when one is over.

    Args:
        chosen: The scenarios by name.
        found: The clusters by name.
        place: For their files.
        at_once: How many at a time.
    """
    references = References(place / "reference")
    console = Console(highlight=False)
    said = threading.Lock()

    def play(number: int, name: str, scenario: Scenario) -> Result:
        outcome = "failed"
        try:
            result = scenario.story(
                scenario.form, found[scenario.cluster], place / str(number), references
            )
            outcome = "failed" if result.problems else "ok"
            return result
        finally:
            with said:
                console.print(f"{name}: {outcome}", markup=False)

    with ThreadPoolExecutor(at_once) as pool:
        return {
            name: pool.submit(play, number, name, scenario)
            for number, (name, scenario) in enumerate(chosen.items())
        }


def row(scenario: Scenario, result: Optional[Result]) -> List[str]:
    """One line of the table; of several interruptions the worst figures."""
    if result is None:
        return [scenario.case, scenario.form, "", "", "", "", "failed"]
    saved = [cost.to_checkpoint for cost in result.costs if cost.to_checkpoint is not None]
    verdict = "yes" if result.identical else result.state.lower()
    return [
        scenario.case,
        scenario.form,
        f"{max(cost.steps_lost for cost in result.costs):,}" if result.costs else "-",
        f"{max(saved):.3f}" if saved else "-",
        f"{max(cost.to_running for cost in result.costs):.1f}" if result.costs else "-",
        str(result.requeues),
        "failed" if result.problems else verdict,
    ]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as Markdown."""
    lines = [_HEADINGS, ["---", "---", "--:", "--:", "--:", "--:", "---"], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """Interrupt and print."""
    parser = Parser(prog="benchmarks.preemption", description=__doc__)
    parser.add_argument("--only", default="", metavar="REGEX", help="of the names (default: all)")
    parser.add_argument(
        "--at-once", type=int, default=2, help="jobs; they share the cores (default: 2)"
    )
    arguments = parser.parse_args()
    if unavailable():
        parser.exit(2, f"SLURM is not installed: {unavailable()}\n")
    torch.set_num_threads(1)
    print(describe_machine())
    chosen = {
        name: scenario for name, scenario in scenarios().items() if re.search(arguments.only, name)
    }
    failed: List[str] = []
    rows = []
    with tempfile.TemporaryDirectory(prefix="mapush-preemption-") as place, clusters(
        arguments.at_once
    ) as found:
        futures = run(chosen, found, Path(place), arguments.at_once)
        for name, future in futures.items():
            error = future.exception()
            result = None if error else future.result()
            problems = [str(error)] if result is None else result.problems
            if problems:
                failed.append("\n".join([name, *problems]))
            rows.append(row(chosen[name], result))
    print(table(rows))
    for text in failed:
        print(f"\n{text}")
    return EXIT_FAILURE if failed else EXIT_COMPLETE


if __name__ == "__main__":
    os.environ.pop("MAPUSH_JOB_ID", None)
    exit_with(main)
