"""What SLURM does to a job before its run is complete, and whether the run survives that. Pure.

That is what `sbatch --test-only` cannot say. It also takes a time limit over the partition's
MaxTime, unless EnforcePartLimits is set, and the job then waits for ever.
"""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Set, Tuple

from mapush.doctor.finding import LOSS, NOTE, OK, WARNING, Finding
from mapush.launch.node import slurm
from mapush.launch.profile import Profile

SECTION = "slurm"
CHECKPOINT_SECONDS = 1.0
"""From the signal to the trainer's end, measured, with its checkpoint durable after 0.25 s."""
_JUDGED_AND_REQUEUED = 1.0  # seconds that the supervisor needs after that
_LEAST_KILL_WAIT = 5  # SLURM takes at least these between TERM and KILL
_EARLY = 60  # seconds that SLURM may be early with the signal before a time limit
_ADVISED_LEAD = 60
_OURS = {1, 2, 75}  # exit codes of a job that is not to be started again by SLURM

OFF, REQUEUE, CANCEL, SUSPEND = "OFF", "REQUEUE", "CANCEL", "SUSPEND"

Record = Dict[str, str]

_SETTING = re.compile(r"^(\S+)[ \t]*=[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_NOTHING = ("(null)", "N/A", "n/a", "NONE", "None")


def settings(text: str) -> Record:
    """`scontrol show config` by name; what is not set is left out."""
    return {name: value for name, value in _SETTING.findall(text) if value not in _NOTHING}


def records(text: str) -> List[Record]:
    """`scontrol -o show partition`: one for each line."""
    lines = [dict(re.findall(r"(\w+)=(\S*)", line)) for line in text.splitlines()]
    return [line for line in lines if line]


def judge_interruptions(
    config: Record,
    partition: Record,
    profile: Profile,
    qos: Optional[Record] = None,
    slow: float = 0.0,
) -> List[Finding]:
    """Judge one partition.

    Args:
        config: See `settings`.
        partition: See `records`.
        profile: What the job asks for.
        qos: The job's quality of service, where preemption goes by that.
        slow: Seconds that the storage takes for a checkpoint.
    """
    return [
        _preemption(config, partition, profile, qos, slow),
        _requeue(config, profile),
        *_exit_codes(config),
        *_processes(config.get("ProctrackType", "")),
        *_time_limit(partition, profile),
        _lead(round(profile.seconds), profile.signal_lead),
    ]


def _mode(config: Record, partition: Record, qos: Optional[Record]) -> Tuple[str, int]:
    """How a job is preempted, `OFF` if not, empty if that cannot be told; and its GraceTime."""
    kind = config.get("PreemptType", "preempt/none")
    if kind == "preempt/none":
        return OFF, 0
    mode, grace = partition.get("PreemptMode", ""), _number(partition.get("GraceTime"))
    if kind == "preempt/qos":
        if qos is None:
            return "", grace
        mode, grace = qos["PreemptMode"], int(slurm.seconds_of(qos["GraceTime"]) or 0)
        mode = "" if mode.lower() == "cluster" else mode
    words = (mode or config.get("PreemptMode", "")).upper().replace("+", ",").split(",")
    known = [word for word in words if word in (OFF, REQUEUE, CANCEL, SUSPEND)]
    return (known[0] if known else ""), grace


def _preemption(
    config: Record, partition: Record, profile: Profile, qos: Optional[Record], slow: float
) -> Finding:
    mode, grace = _mode(config, partition, qos)
    kill = max(_number(config.get("KillWait")), _LEAST_KILL_WAIT)
    there, needed = grace + kill, max(CHECKPOINT_SECONDS, slow) + _JUDGED_AND_REQUEUED
    time = (
        f"{there} s from the first signal to KILL (GraceTime {grace}, then {kill}), "
        f"about {needed:.0f} s needed"
    )
    by = "SLURM requeues it" if mode == REQUEUE and grace == 0 else "mapush requeues it"
    by = by if profile.requeue else "it ends with its checkpoint"
    level, what, cost, fix = OK, f"PreemptMode={mode}, {by}; {time}", "", ""
    if mode == OFF:
        what = "jobs are not preempted"
    elif mode == SUSPEND:
        level, what = NOTE, "PreemptMode=SUSPEND: a job is stopped in memory and resumed later"
        cost = "no work; the run stands still for as long, and its memory stays taken"
    elif not mode:
        level, what = NOTE, "PreemptType=preempt/qos: the job's quality of service decides"
        cost = "unknown: its PreemptMode and GraceTime were not seen"
        fix = "name it with --qos, where sacctmgr is there"
    elif there < needed:
        level, what = LOSS, f"PreemptMode={mode}: {time}"
        cost = "each preemption takes the run back to its last periodic checkpoint"
        fix = "put --root on faster storage, or ask for a longer GraceTime"
    elif mode == CANCEL and grace == 0 and profile.requeue:
        level, what = WARNING, f"PreemptMode=CANCEL without GraceTime: {time}"
        cost = "a job that is not requeued within these seconds waits for a person"
        fix = "a partition with GraceTime or PreemptMode=REQUEUE"
    name = f"preemption in {partition.get('PartitionName', '?')}"
    return Finding(SECTION, name, level, what, cost, fix)


def _requeue(config: Record, profile: Profile) -> Finding:
    if not profile.requeue:
        cost = "every interruption ends the job, with a checkpoint, and waits for a person"
        what = "the profile says requeue: false"
        return Finding(SECTION, "requeue", WARNING, what, cost, "--requeue true")
    what = "asked for with each job"
    if config.get("JobRequeue") == "0":
        what += ", which counts although JobRequeue=0"
    return Finding(SECTION, "requeue", OK, what)


def _exit_codes(config: Record) -> List[Finding]:
    found = []
    for setting, does in (("RequeueExit", "requeues"), ("RequeueExitHold", "requeues and holds")):
        codes = ", ".join(map(str, sorted(exit_codes(config.get(setting, "")) & _OURS)))
        if codes:
            what = f"SLURM {does} jobs that end with {codes}"
            cost = "a job that has given up, or was refused, is started again, or held"
            fix = "scancel such a job, or have its code taken out of slurm.conf"
            found.append(Finding(SECTION, setting, WARNING, what, cost, fix))
    return found


def exit_codes(value: str) -> Set[int]:
    """A list of exit codes such as `1-3,75`."""
    found: Set[int] = set()
    for first, last in re.findall(r"(\d{1,3})(?:-(\d{1,3}))?", value):
        found.update(range(int(first), int(last or first) + 1))
    return found


def _processes(tracking: str) -> List[Finding]:
    if tracking != "proctrack/linuxproc":
        return []
    cost = "processes of an ended job can live on and take cores; an old trainer stops by itself"
    what = f"ProctrackType={tracking}"
    return [Finding(SECTION, "processes", WARNING, what, cost, "ask for proctrack/cgroup")]


def _time_limit(partition: Record, profile: Profile) -> List[Finding]:
    most = slurm.seconds_of(partition.get("MaxTime", ""))
    if most is None or profile.seconds <= most:
        return []
    shown = partition["MaxTime"]
    name = f"time limit in {partition.get('PartitionName', '?')}"
    what = f"--time {profile.time} is more than MaxTime={shown}"
    fix = f"--time {shown}: a run that needs longer is requeued"
    return [Finding(SECTION, name, LOSS, what, "the job is refused or queued for ever", fix)]


def _lead(limit: int, lead: int) -> Finding:
    what = f"--signal-lead {lead} s of a time limit of {limit:,} s"
    level, cost, fix = OK, "", ""
    if lead + _EARLY >= limit:
        level, what = LOSS, f"{what}; SLURM may be {_EARLY} s early with it"
        cost = "each start may be stopped as it begins, and the run never ends"
        fix = "a longer --time"
    elif lead < _ADVISED_LEAD:
        level, what = NOTE, f"{what}; SLURM looks every 30 s only"
        cost = "if the signal comes too late, TERM and the seconds before KILL have to do"
        fix = f"--signal-lead {_ADVISED_LEAD} or more"
    return Finding(SECTION, "signal before the time limit", level, what, cost, fix)


def _number(value: Optional[str]) -> int:
    """The number that a value begins with, such as 5 of `5 sec`; 0 if there is none."""
    match = re.match(r"\d+", value or "")
    return int(match[0]) if match else 0
