"""What SLURM does to a job before its run is complete, and whether the run survives that. Pure."""

from __future__ import annotations

from typing import List, Optional, Tuple

from mapush.diagnosis.finding import LOSS, NOTE, OK, WARNING, Finding
from mapush.diagnosis.scontrol import (
    UNLIMITED,
    Record,
    exit_codes,
    number,
    plain,
    seconds,
)
from mapush.job.profile import Profile

SECTION = "slurm"
CHECKPOINT_SECONDS = 1.0
"""From the signal to the trainer's end, measured, with its checkpoint durable after 0.25 s."""
_JUDGED_AND_REQUEUED = 1.0  # seconds that the batch shell needs after that
_LEAST_KILL_WAIT = 5  # SLURM takes at least these between TERM and KILL
_EARLY = 60  # seconds that SLURM may be early with the signal before a time limit
_ADVISED_LEAD = 60
_SHARE = 0.2  # of a start; more than that between signal and time limit is a waste

OFF, REQUEUE, CANCEL, SUSPEND = "OFF", "REQUEUE", "CANCEL", "SUSPEND"


def judge_interruptions(
    config: Record,
    partition: Record,
    profile: Profile,
    qos: Optional[Record] = None,
    slow: float = 0.0,
) -> List[Finding]:
    """Judge one partition.

    Args:
        config: `scontrol show config`.
        partition: `scontrol -o show partition` of it.
        profile: What the job asks for.
        qos: The job's quality of service, where preemption goes by that.
        slow: Seconds that the storage takes for a checkpoint.
    """
    return [
        _preemption(config, partition, profile, qos, slow),
        _user_signal(config, profile),
        _requeue(config, profile),
        *_exit_codes(config),
        _processes(config),
        *_time_limit(partition, profile),
    ]


def preemption(config: Record, partition: Record, qos: Optional[Record]) -> Tuple[str, int]:
    """What happens to a job that another one displaces, and its seconds of grace.

    Returns:
        `OFF`, `REQUEUE`, `CANCEL`, `SUSPEND`, or empty if it cannot be told; GraceTime.
    """
    kind = plain(config.get("PreemptType"))
    if kind in ("", "preempt/none"):
        return OFF, 0
    mode, grace = plain(partition.get("PreemptMode")), number(partition.get("GraceTime")) or 0
    if kind == "preempt/qos":
        if qos is None:
            return "", grace
        mode, grace = plain(qos.get("PreemptMode")), int(seconds(qos.get("GraceTime")) or 0)
        mode = "" if mode.lower() == "cluster" else mode
    words = (mode or plain(config.get("PreemptMode"))).upper().replace("+", ",").split(",")
    known = [word for word in words if word in (OFF, REQUEUE, CANCEL, SUSPEND)]
    return (known[0] if known else ""), grace


def _preemption(
    config: Record, partition: Record, profile: Profile, qos: Optional[Record], slow: float
) -> Finding:
    name = f"preemption in {partition.get('PartitionName', '?')}"
    mode, grace = preemption(config, partition, qos)
    kill = max(number(config.get("KillWait")) or 0, _LEAST_KILL_WAIT)
    there, needed = grace + kill, max(CHECKPOINT_SECONDS, slow) + _JUDGED_AND_REQUEUED
    time = (
        f"{there} s from the first signal to KILL (GraceTime {grace}, then {kill}), "
        f"about {needed:.0f} s needed"
    )
    if mode == OFF:
        return Finding(SECTION, name, OK, "jobs are not preempted")
    if mode == SUSPEND:
        return Finding(
            SECTION,
            name,
            NOTE,
            "PreemptMode=SUSPEND: a job is stopped in memory and goes on",
            cost="no work; the run stands still for as long, and its memory stays taken",
        )
    if not mode:
        said = "PreemptType=preempt/qos: the job's quality of service decides"
        return Finding(
            SECTION,
            name,
            NOTE,
            said,
            cost="unknown: its PreemptMode and GraceTime were not seen",
            mend="name it with --qos, where sacctmgr is there",
        )
    if there < needed:
        return Finding(
            SECTION,
            name,
            LOSS,
            f"PreemptMode={mode}: {time}",
            cost="a preempted job is killed before its checkpoint is durable: back to the last "
            "periodic one each time",
            mend="put --root on faster storage, or ask for a longer GraceTime",
        )
    if mode == CANCEL and grace == 0 and profile.requeue:
        return Finding(
            SECTION,
            name,
            WARNING,
            f"PreemptMode=CANCEL without GraceTime: {time}",
            cost="the job is requeued only if that works out within these seconds, also on a busy "
            "cluster; else it waits for a person, with its checkpoint",
            mend="a partition with GraceTime or PreemptMode=REQUEUE",
        )
    by = "SLURM requeues it" if mode == REQUEUE and grace == 0 else "mapush requeues it"
    by = by if profile.requeue else "it ends with its checkpoint"
    return Finding(SECTION, name, OK, f"PreemptMode={mode}, {by}; {time}")


def _user_signal(config: Record, profile: Profile) -> Finding:
    sent = "preempt_send_user_signal" in plain(config.get("SlurmctldParameters"))
    what = f"{profile.signal}, as asked for" if sent else "TERM, which a trainer takes as well"
    return Finding(SECTION, "signal of a preemption", OK, what)


def _requeue(config: Record, profile: Profile) -> Finding:
    if not profile.requeue:
        return Finding(
            SECTION,
            "requeue",
            WARNING,
            "the profile says requeue: false",
            cost="every interruption ends the job, with a checkpoint, and waits for a person",
            mend="--requeue true",
        )
    what = "asked for with each job"
    if config.get("JobRequeue") == "0":
        what += ", which counts although JobRequeue=0"
    wait = 120
    for word in plain(config.get("AuthInfo")).split(","):
        if word.startswith("cred_expire="):
            wait = number(word.partition("=")[2]) or wait
    return Finding(SECTION, "requeue", OK, f"{what}; a requeued job waits {wait} s at least")


def _exit_codes(config: Record) -> List[Finding]:
    found = []
    for setting, does in (("RequeueExit", "requeues"), ("RequeueExitHold", "requeues and holds")):
        ours = sorted(exit_codes(config.get(setting)) & {1, 2, 75})
        if ours:
            codes = ", ".join(map(str, ours))
            found.append(
                Finding(
                    SECTION,
                    setting,
                    WARNING,
                    f"SLURM {does} jobs that end with {codes}",
                    cost="a job that has given up, or was refused, is started again, or held",
                    mend="scancel such a job, or have its code taken out of slurm.conf",
                )
            )
    return found


def _processes(config: Record) -> Finding:
    tracking = plain(config.get("ProctrackType"))
    if tracking == "proctrack/linuxproc":
        return Finding(
            SECTION,
            "processes",
            WARNING,
            f"ProctrackType={tracking}",
            cost="processes of an ended job can live on and take a node's cores; an old trainer "
            "stops by itself once its run has a new owner",
            mend="ask for proctrack/cgroup",
        )
    return Finding(SECTION, "processes", OK, f"ended with their job ({tracking or 'unknown'})")


def _time_limit(partition: Record, profile: Profile) -> List[Finding]:
    where = partition.get("PartitionName", "?")
    limit, lead = profile.minutes * 60, profile.signal_lead
    most = seconds(partition.get("MaxTime"))
    found = []
    if most is not None and limit > most:
        found.append(
            Finding(
                SECTION,
                f"time limit in {where}",
                LOSS,
                f"--time {profile.time} is more than MaxTime={partition['MaxTime']}",
                cost="sbatch refuses the job, or it is queued for ever",
                mend=f"--time {partition['MaxTime']}: a run that needs longer is requeued",
            )
        )
    elif most is not None:
        said = "none" if most == UNLIMITED else partition["MaxTime"]
        what = f"--time {profile.time} (MaxTime: {said}); a run that needs longer is requeued"
        found.append(Finding(SECTION, f"time limit in {where}", OK, what))
    return [*found, _lead(limit, lead)]


def _lead(limit: int, lead: int) -> Finding:
    name = "signal before the time limit"
    what = f"--signal-lead {lead} s of a time limit of {limit:,} s"
    if lead + _EARLY >= limit:
        return Finding(
            SECTION,
            name,
            LOSS,
            f"{what}; SLURM may be {_EARLY} s early with it",
            cost="each start may be stopped as it begins, and the run never ends",
            mend="a longer --time",
        )
    if lead < _ADVISED_LEAD:
        return Finding(
            SECTION,
            name,
            NOTE,
            f"{what}; SLURM looks every 30 s only",
            cost="if the signal comes too late, TERM and the seconds before KILL have to do",
            mend=f"--signal-lead {_ADVISED_LEAD} or more",
        )
    if lead > _SHARE * limit:
        return Finding(
            SECTION,
            name,
            WARNING,
            what,
            cost=f"{100 * lead / limit:.0f} % of each start is not used",
            mend="a longer --time",
        )
    return Finding(SECTION, name, OK, what)
