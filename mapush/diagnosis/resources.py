"""Whether a partition and its nodes have what a job asks for. Pure."""

from __future__ import annotations

import dataclasses
from typing import Callable, List, Optional, Sequence, Set, Tuple

from mapush.diagnosis.finding import LOSS, NOTE, OK, WARNING, Finding
from mapush.diagnosis.scontrol import (
    Record,
    allowed,
    features_met,
    gpus,
    megabytes,
    names,
    number,
    plain,
)
from mapush.job.profile import Profile

SECTION = "slurm"
_UNUSABLE = ("DOWN", "DRAIN", "FAIL", "NOT_RESPONDING", "MAINT", "UNKNOWN", "INVAL")


@dataclasses.dataclass(frozen=True)
class Asker:
    """Who sends the job."""

    is_root: bool
    groups: Set[str]


@dataclasses.dataclass(frozen=True)
class _Need:
    """One thing that a node must have."""

    text: str
    met: Callable[[Record], Optional[bool]]
    have: Callable[[Record], float] = lambda node: 0.0
    mend: str = ""


def wanted_partitions(
    partitions: Sequence[Record], profile: Profile
) -> Tuple[List[Record], List[Finding]]:
    """The partitions that the job may run in, and what is wrong with those it names."""
    there = {each.get("PartitionName", ""): each for each in partitions}
    if profile.partition:
        wanted = [name.strip() for name in profile.partition.split(",") if name.strip()]
    else:
        wanted = [name for name, each in there.items() if each.get("Default") == "YES"]
        if not wanted:
            return [], [
                Finding(
                    SECTION,
                    "partition",
                    LOSS,
                    "the cluster has no default partition",
                    cost="sbatch refuses the job",
                    mend=f"--partition, one of: {_listed(there)}",
                )
            ]
    missing = [name for name in wanted if name not in there]
    findings = [
        Finding(
            SECTION,
            "partition",
            LOSS,
            f"--partition {name}: there is none of that name",
            cost="sbatch refuses the job",
            mend=f"--partition, one of: {_listed(there)}",
        )
        for name in missing
    ]
    return [there[name] for name in wanted if name in there], findings


def judge_partition(
    partition: Record, profile: Profile, asker: Asker, config: Record
) -> List[Finding]:
    """Judge whether the job may run in a partition at all."""
    name = f"partition {partition.get('PartitionName', '?')}"
    found = [_state(name, partition)]
    for what, cost, mend in _refusals(partition, profile, asker, config):
        found.append(Finding(SECTION, name, LOSS, what, cost, mend))
    if plain(partition.get("OverSubscribe")) == "EXCLUSIVE":
        found.append(
            Finding(
                SECTION,
                name,
                NOTE,
                "OverSubscribe=EXCLUSIVE: a job gets a whole node",
                cost=f"a node's cores and GPUs for a trainer of {profile.cpus} cores",
                mend="a larger --num_envs and --cpus, or another partition",
            )
        )
    return found


def judge_nodes(
    nodes: Sequence[Record], partition: Record, profile: Profile, gpu_count: int
) -> List[Finding]:
    """Judge whether a partition has a node with what the job asks for, and one that is usable."""
    where = partition.get("PartitionName", "?")
    name = f"nodes of {where}"
    own = [node for node in nodes if where in names(node.get("Partitions"))]
    if not own:
        return [
            Finding(
                SECTION,
                name,
                LOSS,
                "SLURM shows none",
                cost="a job is never started",
                mend="another --partition",
            )
        ]
    fitting = own
    for need in _needs(profile, gpu_count):
        verdicts = [need.met(node) for node in own]
        if None in verdicts:
            continue  # sbatch itself judges those
        if not any(verdicts):
            most = max(need.have(node) for node in own)
            best = f"; the most is {most:,.0f}" if most else ""
            return [
                Finding(
                    SECTION,
                    name,
                    LOSS,
                    f"none of {len(own)} has {need.text}{best}",
                    cost="sbatch refuses the job, or it is queued for ever",
                    mend=need.mend,
                )
            ]
        fitting = [node for node, met in zip(own, verdicts) if met and node in fitting]
    if not fitting:
        return [
            Finding(
                SECTION,
                name,
                LOSS,
                f"none of {len(own)} has all that is asked for at once",
                cost="sbatch refuses the job, or it is queued for ever",
                mend="ask for less, or for another partition",
            )
        ]
    usable = [node for node in fitting if _is_usable(node)]
    if not usable:
        states = ", ".join(sorted({node.get("State", "?") for node in fitting}))
        return [
            Finding(
                SECTION,
                name,
                WARNING,
                f"{len(fitting)} fit and none is usable ({states})",
                cost="the job waits until one comes back",
                mend="another partition, or wait",
            )
        ]
    what = f"{len(fitting)} of {len(own)} fit, {len(usable)} usable now"
    return [Finding(SECTION, name, OK, what)]


def judge_gpu_request(config: Record, profile: Profile, gpu_count: int) -> List[Finding]:
    """Judge whether the cluster takes the way in which GPUs are asked for."""
    if not gpu_count:
        return []
    if "gpu" not in names(config.get("GresTypes")):
        return [
            Finding(
                SECTION,
                "GPUs",
                LOSS,
                "the cluster has no GPUs that jobs can ask for",
                cost="sbatch refuses the job",
                mend="leave --gpus out",
            )
        ]
    select = plain(config.get("SelectType"))
    if profile.gpu_request == "gpus-per-node" and select != "select/cons_tres":
        return [
            Finding(
                SECTION,
                "GPUs",
                LOSS,
                f"--gpu-request gpus-per-node, and SelectType={select}",
                cost="sbatch refuses the job",
                mend="--gpu-request gres",
            )
        ]
    return []


def _state(name: str, partition: Record) -> Finding:
    state = partition.get("State", "?")
    if state == "UP":
        return Finding(SECTION, name, OK, f"UP, {partition.get('TotalNodes', '?')} nodes")
    if state == "DOWN":
        return Finding(
            SECTION,
            name,
            WARNING,
            "DOWN",
            cost="jobs are taken and wait until it is up again",
            mend="another --partition, or wait",
        )
    return Finding(
        SECTION,
        name,
        LOSS,
        f"State={state}",
        cost="sbatch refuses the job",
        mend="another --partition",
    )


def _refusals(
    partition: Record, profile: Profile, asker: Asker, config: Record
) -> List[Tuple[str, str, str]]:
    """What keeps the job out: what, cost, mend."""
    refused = "sbatch refuses the job"
    found = []
    for kind, value, flag in (
        ("Accounts", profile.account, "--account"),
        ("Qos", profile.qos, "--qos"),
    ):
        only, never = allowed(partition, kind)
        if value is not None and ((only is not None and value not in only) or value in never):
            may = f"one of: {_listed(only)}" if only else "another one"
            found.append((f"{flag} {value} may not use it", refused, f"{flag}, {may}"))
    only, _ = allowed(partition, "Groups")
    if only is not None and not asker.is_root and not only & asker.groups:
        found.append((f"only groups {_listed(only)} may use it", refused, "another --partition"))
    if partition.get("RootOnly") == "YES" and not asker.is_root:
        found.append(("RootOnly=YES", refused, "another --partition"))
    closed = "YES" in (config.get("DisableRootJobs", "").upper(), partition.get("DisableRootJobs"))
    if asker.is_root and closed:
        found.append(("root may not send jobs", refused, "run as another user"))
    if partition.get("ReqResv") == "YES" and not profile.reservation:
        found.append(("takes jobs of a reservation only", refused, "--reservation NAME"))
    if (number(partition.get("MinNodes")) or 0) > 1:
        what = f"MinNodes={partition['MinNodes']}, and a run uses one"
        found.append((what, refused, "another --partition"))
    most = number(partition.get("MaxCPUsPerNode"))
    if most is not None and profile.cpus > most:
        what = f"--cpus {profile.cpus} is more than MaxCPUsPerNode={most}"
        found.append((what, "the job is queued for ever", f"--cpus {most}"))
    most = number(partition.get("MaxMemPerNode"))
    if most is not None and megabytes(profile.memory) > most:
        what = f"--memory {profile.memory} is more than MaxMemPerNode={most} MB"
        found.append((what, "the job is queued for ever", f"--memory {most}M"))
    return found


def _needs(profile: Profile, gpu_count: int) -> List[_Need]:
    memory, kind = megabytes(profile.memory), profile.gpu_type

    def cores(node: Record) -> float:
        return number(node.get("CPUEfctv") or node.get("CPUTot")) or 0

    def real_memory(node: Record) -> float:
        return number(node.get("RealMemory")) or 0

    def cards(node: Record) -> float:
        there = gpus(node.get("Gres"))
        return there.get(kind, 0) if kind else sum(there.values())

    needs = [
        _Need(
            f"{profile.cpus} CPUs",
            lambda node: cores(node) >= profile.cpus,
            cores,
            mend="less --cpus",
        ),
        _Need(
            f"{memory:,.0f} MB of memory (--memory {profile.memory})",
            lambda node: real_memory(node) >= memory,
            real_memory,
            mend="less --memory",
        ),
    ]
    if gpu_count:
        kinds = f" of type {kind}" if kind else ""
        needs.append(
            _Need(
                f"{gpu_count} GPU{kinds}",
                lambda node: cards(node) >= gpu_count,
                cards,
                mend="another --gpu-type or --partition, or fewer --gpus",
            )
        )
    if profile.constraint:
        constraint = profile.constraint
        needs.append(
            _Need(
                f"--constraint {constraint}",
                lambda node: features_met(constraint, names(node.get("AvailableFeatures"))),
                mend="another --constraint; `sinfo -o '%N %f'` lists those there are",
            )
        )
    return needs


def _is_usable(node: Record) -> bool:
    # A star marks a node that does not answer; MIXED+DRAIN has both words.
    state = node.get("State", "")
    return not state.endswith("*") and not any(word in state.upper() for word in _UNUSABLE)


def _listed(found: object, most: int = 12) -> str:
    words = sorted(found)  # type: ignore[call-overload]
    return ", ".join(words[:most]) + (", ..." if len(words) > most else "")
