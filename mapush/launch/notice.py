"""What a user is told about submitted jobs: ids, paths, and the commands that act on them."""

from __future__ import annotations

import shlex
from typing import List, Sequence

from mapush.arguments import command_line
from mapush.errors import EXIT_FAILURE
from mapush.launch.jobs import JobFolder
from mapush.launch.node import slurm
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


def gone(place: JobFolder) -> Outcome:
    """What ended a job of this machine that has no process and no outcome."""
    why = f"see {place.path}; to resume: {resume_command(place)}"
    return Outcome(EXIT_FAILURE, f"the process that ran job {place.job_id} is gone", why)


def over_on_slurm(place: JobFolder, state: slurm.Job) -> Outcome:
    """What ended a job that is over, as SLURM says, without an outcome."""
    known = f"SLURM job {place.slurm_id()} has ended ({state.state}"
    known += f", {state.reason})" if state.reason else ")"
    nodes = f" on {state.nodes}" if state.nodes else ""
    if state.reason == "DependencyNeverSatisfied":
        why = "the job that it comes after did not complete"
    elif state.state == "CANCELLED":
        why = f"it was cancelled; to resume: {resume_command(place)}"
    elif not place.ledger().starts:
        root = place.place.parents[2]
        why = f"it said nothing{nodes}; does that node see {root}, where its log is?"
    else:
        why = f"see {place.output}; to resume: {resume_command(place)}"
    return Outcome(EXIT_FAILURE, known, why)


def resume_command(place: JobFolder) -> str:
    """The command that submits a job again, to be pasted here."""
    return command_line("mapush.submit", "--job-id", place.job_id, root=place.place.parents[2])
