"""What a user is told about jobs on their way: ids, places, and the commands that act on them."""

from __future__ import annotations

import shlex
from typing import List, Sequence

from mapush.job.dispatch import Order
from mapush.job.folder import JobFolder
from mapush.job.request import SLURM, Outcome


def sent(places: Sequence[JobFolder], order: Order) -> List[str]:
    """Lines about jobs that were sent off just now."""
    lines: List[str] = []
    for place, member in zip(places, order.members):
        slurm_id = place.slurm_id()
        lines.append(f"job       {slurm_id or place.job_id}")
        if len(places) > 1:
            lines.append(f"run       {member.exp} {' '.join(member.arguments)}".rstrip())
        named = f"{order.root / 'results'}/<MM-DD-HH>_{member.exp}"
        lines.append(f"results   {place.run_link} -> {named}, when training starts")
        lines.append(f"log       {place.output}")
    logs = " ".join(shlex.quote(str(place.output)) for place in places)
    lines.append(f"follow    tail -F {logs}")
    if order.cluster == SLURM:
        first = places[0].slurm_id()
        lines.append(f"cancel    scancel {first if len(places) == 1 else first.partition('_')[0]}")
    else:
        pids = " ".join(f"$(cat {shlex.quote(str(place.path / 'pid'))})" for place in places)
        lines.append(f"cancel    kill {pids}")
    return lines


def ended(place: JobFolder, outcome: Outcome) -> List[str]:
    """Lines about a job that did not complete."""
    why = f"{outcome.reason}: {outcome.message}" if outcome.message else outcome.reason
    return [
        f"mapush: {why}",
        f"all that was said is in {place.output}; to go on: "
        f"python -m mapush.submit --job-id {place.job_id}",
    ]
