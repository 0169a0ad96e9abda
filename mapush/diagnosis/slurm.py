"""Asks SLURM itself; what the answers mean is judged in `interruption` and `resources`."""

from __future__ import annotations

import dataclasses
import grp
import os
import shlex
import shutil
from typing import Dict, List, Optional, Sequence, Tuple

from mapush.diagnosis.finding import LOSS, OK, WARNING, Finding, losses, one_line
from mapush.diagnosis.interruption import judge_interruptions
from mapush.diagnosis.outside import ask
from mapush.diagnosis.question import Question
from mapush.diagnosis.resources import (
    Asker,
    judge_gpu_request,
    judge_nodes,
    judge_partition,
    wanted_partitions,
)
from mapush.diagnosis.scontrol import Record, plain, records, settings
from mapush.job.cluster import batch_script
from mapush.job.folder import JobFolder, submissions
from mapush.job.profile import Profile
from mapush.job.request import SLURM, JobRequest

SECTION = "slurm"
_COMMANDS = {
    "sbatch": (LOSS, "no job can be sent", "run mapush on a login node"),
    "scontrol": (LOSS, "an interrupted job cannot be requeued", "install SLURM's client commands"),
    "srun": (LOSS, "a job's trainer cannot be started", "install SLURM's client commands"),
    "squeue": (LOSS, "mapush cannot see how jobs stand", "install SLURM's client commands"),
    "scancel": (WARNING, "jobs cannot be cancelled from here", "install SLURM's client commands"),
}
_ASKED_OF_A_STEP = (
    "account",
    "constraint",
    "cpus-per-task",
    "exclude",
    "gpus-per-node",
    "gres",
    "mem",
    "nodelist",
    "partition",
    "qos",
    "reservation",
)


def examine_slurm(question: Question, slow: float) -> List[Finding]:
    """Everything about SLURM that can be seen from this machine.

    Args:
        question: The job.
        slow: Seconds that the storage takes for a checkpoint.
    """
    found, usable = _commands()
    if not usable:
        return found
    answers = {}
    for what in ("config", "partition", "node"):
        answer = ask(["scontrol", "-o", "show", what])
        if not answer.is_good:
            cost = "jobs cannot be sent, judged or requeued as long as SLURM does not answer"
            mend = "try again; if it stays so, tell whoever runs the cluster"
            return [*found, Finding(SECTION, "controller", LOSS, answer.complaint, cost, mend)]
        answers[what] = answer.out
    config = settings(answers["config"])
    version = config.get("SLURM_VERSION", "of unknown version")
    found.append(Finding(SECTION, "controller", OK, f"answers, SLURM {version}"))
    partitions, missing = wanted_partitions(records(answers["partition"]), question.profile)
    found += missing
    found += _entry(partitions, records(answers["node"]), config, question)
    found += _staying(partitions, config, question.profile, slow)
    found.append(_rehearsal(question))
    return found


def step_options(question: Question) -> List[str]:
    """Options with which srun asks for the same node as the job."""
    options = []
    for line in _script(question).splitlines():
        if line.startswith("#SBATCH --"):
            (option,) = shlex.split(line[len("#SBATCH ") :])
            if option[2:].partition("=")[0] in _ASKED_OF_A_STEP:
                options.append(option)
    return options


def _commands() -> Tuple[List[Finding], bool]:
    missing = [name for name in _COMMANDS if shutil.which(name) is None]
    if not missing:
        return [Finding(SECTION, "commands", OK, ", ".join(_COMMANDS))], True
    found = []
    for name in missing:
        level, cost, mend = _COMMANDS[name]
        found.append(Finding(SECTION, name, level, "not found in PATH", cost, mend))
    return found, not losses(found)


def _entry(
    partitions: Sequence[Record], nodes: Sequence[Record], config: Record, question: Question
) -> List[Finding]:
    """Whether the job would be let in and find a node."""
    profile, asker = question.profile, _asker()
    each = [
        [
            *judge_partition(partition, profile, asker, config),
            *judge_nodes(nodes, partition, profile, question.gpus),
        ]
        for partition in partitions
    ]
    if any(not losses(findings) for findings in each):
        # It is enough that one of several takes the job.
        each = [[_less(finding) for finding in findings] for findings in each]
    return [
        *judge_gpu_request(config, profile, question.gpus),
        *(finding for findings in each for finding in findings),
    ]


def _less(finding: Finding) -> Finding:
    if finding.level != LOSS:
        return finding
    return dataclasses.replace(finding, level=WARNING, cost="the job runs in another one only")


def _staying(
    partitions: Sequence[Record], config: Record, profile: Profile, slow: float
) -> List[Finding]:
    """What happens to the job once it runs."""
    qos = _qos(config, profile)
    found: Dict[str, Finding] = {}
    for partition in partitions:
        for finding in judge_interruptions(config, partition, profile, qos, slow):
            found.setdefault(finding.name, finding)
    return list(found.values())


def _qos(config: Record, profile: Profile) -> Optional[Record]:
    if plain(config.get("PreemptType")) != "preempt/qos" or profile.qos is None:
        return None
    answer = ask(["sacctmgr", "-nP", "show", "qos", "format=Name,PreemptMode,GraceTime"])
    for line in answer.out.splitlines():
        name, _, rest = line.partition("|")
        if name == profile.qos:
            mode, _, grace = rest.partition("|")
            return {"PreemptMode": mode, "GraceTime": grace}
    return None


def _rehearsal(question: Question) -> Finding:
    """Has sbatch itself judge the job; none is sent."""
    answer = ask(["sbatch", "--test-only"], stdin=_script(question))
    if answer.code is None:
        cost = "unknown whether the job would be taken"
        return Finding(SECTION, "sbatch --test-only", WARNING, answer.complaint, cost, "try again")
    said = one_line(answer.err)
    if answer.is_good:
        when = said.partition(" to start at ")[2] or said
        return Finding(SECTION, "sbatch --test-only", OK, f"takes the job, to start {when}")
    return Finding(
        SECTION,
        "sbatch --test-only",
        LOSS,
        said or answer.complaint,
        cost="sbatch refuses the job",
        mend="change what the profile asks for, or the options that win over it",
    )


def _script(question: Question) -> str:
    """The batch script of a job as `mapush.submit` would send it, but for its code."""
    profile = question.profile
    place = JobFolder(submissions(question.root) / "doctor")
    request = JobRequest(
        job_id=place.job_id,
        exp="doctor",
        arguments=(),
        root=str(question.root),
        code=str(question.code),
        cluster=SLURM,
        gpus=question.gpus,
        python=profile.python or "",
        container=profile.container or "",
        runtime=profile.runtime,
        binds=profile.binds,
    )
    return batch_script([place], [request], profile)


def _asker() -> Asker:
    groups = set()
    for number in {os.getgid(), *os.getgroups()}:
        try:
            groups.add(grp.getgrgid(number).gr_name)
        except KeyError:
            continue
    return Asker(os.geteuid() == 0, groups)
