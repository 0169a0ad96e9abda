"""What a user is told about submitted jobs: ids, paths, and the commands that act on them."""

from __future__ import annotations

import shlex
from typing import List, Sequence

from mapush.arguments import command_line
from mapush.launch.jobs import JobFolder
from mapush.launch.node.folder import PROCESS, Outcome
from mapush.launch.request import SLURM
from mapush.launch.send import Submission


def sent(places: Sequence[JobFolder], submission: Submission) -> List[str]:
    """Lines about jobs that were sent off just now."""
    lines: List[str] = []
    for place, member in zip(places, submission.members):
        slurm_id = place.slurm_id()
        lines.append(f"job       {slurm_id or place.job_id}")
        if len(places) > 1:
            lines.append(f"run       {member.exp} {' '.join(member.arguments)}".rstrip())
        named = f"{submission.root / 'results'}/<MM-DD-HH>_{member.exp}"
        lines.append(f"results   {place.run_link} -> {named}, when training starts")
        lines.append(f"log       {place.output}")
    logs = " ".join(shlex.quote(str(place.output)) for place in places)
    lines.append(f"follow    tail -F {logs}")
    if submission.cluster == SLURM:
        first = places[0].slurm_id()
        lines.append(f"cancel    scancel {first if len(places) == 1 else first.partition('_')[0]}")
    else:
        pids = " ".join(f"$(cat {shlex.quote(place.file(PROCESS))})" for place in places)
        lines.append(f"cancel    kill {pids}")
    return lines


def ended(place: JobFolder, outcome: Outcome) -> List[str]:
    """Lines about a job that did not complete."""
    why = f"{outcome.reason}: {outcome.message}" if outcome.message else outcome.reason
    return [
        f"mapush: {why}",
        f"all that was said is in {place.output}; to resume: {resume_command(place)}",
    ]


def resume_command(place: JobFolder) -> str:
    """The command that submits a job again, to be pasted here."""
    return command_line("mapush.submit", "--job-id", place.job_id, root=place.place.parents[2])
