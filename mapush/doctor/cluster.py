"""Asks SLURM itself: whether it is there and answers, and whether it takes the job.

Whether a job would be let in and find a node is for `sbatch --test-only` to say, with the job's own
script. What SLURM does to a job that runs is judged in `preemption`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Dict, List, Optional

from mapush.doctor.ask import ask, one_line
from mapush.doctor.finding import LOSS, NOTE, OK, WARNING, Finding, losses
from mapush.doctor.preemption import Record, judge_interruptions, records, settings
from mapush.doctor.question import Question
from mapush.launch.jobs import JobFolder, submissions
from mapush.launch.node import slurm, trainer
from mapush.launch.profile import Profile
from mapush.launch.sbatch import batch_script

SECTION = "slurm"
_COMMANDS = {
    "sbatch": "no job can be sent",
    "srun": "no job can be sent",
    "scontrol": "an interrupted job cannot be requeued",
    "squeue": "mapush cannot see how jobs stand",
    "scancel": "a job cannot be cancelled, nor a signal be handed on to its trainer",
}
_IN_PATH = ("sbatch", "srun")  # submitit looks for them nowhere else
_OLDEST, _NEWEST = (20, 11), (25, 5)
_VERSION = re.compile(r"\bslurm\S* (\d+)\.(\d+)\S*", re.IGNORECASE)
_WHEN = re.compile(r"to start at (.+)")
_OF_MEMORY = re.compile(r"memory|--mem\b", re.IGNORECASE)
_ASKED_OF_A_STEP = (
    *("account", "constraint", "cpus-per-task", "exclude", "gpus-per-node", "gres", "mem"),
    *("mem-per-cpu", "nodelist", "partition", "qos", "reservation"),
)


def examine_slurm(question: Question, slow: float) -> List[Finding]:
    """Everything about SLURM that can be seen from this machine.

    Args:
        question: The job.
        slow: Seconds that the storage takes for a checkpoint.
    """
    found = _commands()
    if losses(found):
        return found
    try:
        config = settings(slurm.call("scontrol", "show", "config"))
        partitions = records(slurm.call("scontrol", "-o", "show", "partition"))
    except slurm.SlurmError as error:
        cost = "jobs cannot be sent, judged or requeued as long as SLURM does not answer"
        fix = "try again; if it stays so, tell whoever runs the cluster"
        return [*found, Finding(SECTION, "controller", LOSS, str(error), cost, fix)]
    found += [_version(), _admission(question)]
    qos = _qos(config, question.profile)
    of_job: Dict[str, Finding] = {}
    for partition in _partitions(partitions, question.profile):
        state = partition.get("State", "UP")
        if state != "UP":
            what = f"{partition.get('PartitionName')} is {state}"
            cost, fix = "a job waits until it is up again", "another --partition, or wait"
            found.append(Finding(SECTION, "partition", WARNING, what, cost, fix))
        for finding in judge_interruptions(config, partition, question.profile, qos, slow):
            of_job.setdefault(finding.name, finding)
    return [*found, *of_job.values()]


def step_options(question: Question) -> List[str]:
    """Options with which srun asks for the same node as the job."""
    options = []
    for line in _script(question).splitlines():
        if line.startswith("#SBATCH --"):
            (option,) = shlex.split(line[len("#SBATCH ") :])
            if option[2:].partition("=")[0] in _ASKED_OF_A_STEP:
                options.append(option)
    return options


def _commands() -> List[Finding]:
    found = []
    for name, cost in _COMMANDS.items():
        path = slurm.find(name)
        if path is None:
            fix = "run mapush on a login node; SLURM's client commands belong into PATH"
            found.append(Finding(SECTION, name, LOSS, "not found", cost, fix))
        elif name in _IN_PATH and shutil.which(name) is None:
            fix = f"export PATH={Path(path).parent}:$PATH"
            found.append(Finding(SECTION, name, LOSS, f"{path}, not in PATH", cost, fix))
    return found or [Finding(SECTION, "commands", OK, ", ".join(_COMMANDS))]


def _version() -> Finding:
    try:
        said = slurm.call("sbatch", "--version")
    except slurm.SlurmError as error:
        said = str(error)
    match = _VERSION.search(said)
    what = f"answers, {match[0] if match else 'and sbatch --version says ' + one_line(said)}"
    if match and _OLDEST <= (int(match[1]), int(match[2])) <= _NEWEST:
        return Finding(SECTION, "controller", OK, what)
    tried = "{}.{:02} to {}.{:02}".format(*_OLDEST, *_NEWEST)
    cost = "what it prints may not be understood"
    return Finding(SECTION, "controller", NOTE, f"{what}; mapush knows {tried}", cost)


def _admission(question: Question) -> Finding:
    """Has sbatch itself judge the job; none is sent."""
    name = "sbatch --test-only"
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "submission.sh")
        script.write_text(_script(question), encoding="utf-8")
        environment = trainer.put_aside(trainer.of_no_job(os.environ))
        words = [slurm.find("sbatch") or "sbatch", "--test-only", str(script)]
        answer = ask(words, slurm.SECONDS, {**environment, "LC_ALL": "C"})
    said = slurm.complaint(f"{answer.err}\n{answer.out}")
    if answer.code is None:
        cost = "unknown whether the job would be taken"
        return Finding(SECTION, name, WARNING, answer.complaint, cost, "try again")
    when = _WHEN.search(said)
    if answer.is_good and when:
        return Finding(SECTION, name, OK, f"takes the job, to start {when[1]}")
    if answer.is_good:
        cost = "mapush asks squeue for the job's number where it does not understand sbatch"
        return Finding(SECTION, name, NOTE, f"answers in a form of its own: {said!r}", cost)
    fix = "change what the profile asks for, or the options that win over it"
    if "configuration is not available" in said:
        fix += "; or wait, if all such nodes are down for now (sinfo -R)"
    if question.profile.memory and _OF_MEMORY.search(said):
        fix = "less --memory, or --memory none, or --memory-per-cpu where it is refused per node"
    return Finding(SECTION, name, LOSS, said, "sbatch refuses the job", fix)


def _partitions(there: List[Record], profile: Profile) -> List[Record]:
    """Those that the job may run in."""
    if profile.partition is None:
        return [each for each in there if each.get("Default") == "YES"]
    wanted = [name.strip() for name in profile.partition.split(",")]
    return [each for each in there if each.get("PartitionName") in wanted]


def _qos(config: Record, profile: Profile) -> Optional[Record]:
    if config.get("PreemptType") != "preempt/qos" or profile.qos is None:
        return None
    try:
        said = slurm.call("sacctmgr", "-nP", "show", "qos", "format=Name,PreemptMode,GraceTime")
    except slurm.SlurmError:
        return None
    for line in said.splitlines():
        name, _, rest = line.partition("|")
        if name == profile.qos:
            mode, _, grace = rest.partition("|")
            return {"PreemptMode": mode, "GraceTime": grace}
    return None


def _script(question: Question) -> str:
    """The batch script of a job as `mapush.submit` would send it, but for its code."""
    folder = JobFolder(submissions(question.root) / "doctor")
    return batch_script([folder], [question.request(question.gpus)])
