"""What of the submitter's environment reaches a job, or would change it."""

from __future__ import annotations

import shlex
from typing import Iterable, List, Mapping, Sequence

from mapush.doctor.ask import one_line
from mapush.doctor.child import CARRIED
from mapush.doctor.finding import NOTE, OK, WARNING, Finding
from mapush.launch.node import slurm, trainer
from mapush.launch.request import SLURM

SECTION = "environment"
_FOR_SBATCH = "SBATCH_"
# sbatch's options whose variables are not called as they are.
_OPTIONS = {
    "ARRAY_INX": "array",
    "CPU_FREQ_REQ": "cpu-freq",
    "MEM_PER_NODE": "mem",
    "TIMELIMIT": "time",
}
_SHOWN = 12


def judge_environment(environment: Mapping[str, str], cluster: str) -> List[Finding]:
    """Judge the variables of whoever sends the job.

    Args:
        environment: Theirs.
        cluster: What runs the job: `slurm` or `local`.
    """
    found: List[Finding] = []
    foreign = {name for name in environment if slurm.is_foreign(name)}
    of_sbatch = {name for name in foreign if name.startswith(_FOR_SBATCH)}
    if of_sbatch and cluster == SLURM:
        found.append(_for_sbatch(environment, sorted(of_sbatch)))
        foreign -= of_sbatch
    if foreign:
        job = environment.get("SLURM_JOB_ID")
        where = f"this shell is inside SLURM job {job}; " if job else ""
        what = f"{where}not passed on by mapush.submit: {_listed(foreign)}"
        found.append(Finding(SECTION, "SLURM's variables", NOTE, what))
    own = [name for name in environment if name in trainer.OWN_VARIABLES]
    if own:
        what = f"not passed on by mapush.submit: {_values(environment, own)}"
        if cluster == SLURM and "MAPUSH_JOB_OF" not in environment:  # of no other job
            what += "; `sbatch slurm/train.sh` goes by those that its head lists"
        found.append(Finding(SECTION, "mapush's variables", NOTE, what))
    carried = [name for name in CARRIED if environment.get(name)]
    if carried:
        what = f"passed on to the trainer, and tried with it: {_values(environment, carried)}"
        found.append(Finding(SECTION, "passed on", NOTE, what))
    what = "nothing in it that would change a job"
    return found or [Finding(SECTION, "variables", OK, what)]


def _for_sbatch(environment: Mapping[str, str], names: Sequence[str]) -> Finding:
    cost = "`sbatch slurm/train.sh` takes them over the script's own lines"
    if environment.get("SBATCH_EXPORT", "ALL") != "ALL":
        cost += ", and SBATCH_EXPORT keeps your variables from the job"
    cost += "; mapush.submit does not pass them on"
    options = " ".join(_option(name, environment[name]) for name in names)
    fix = f"unset {' '.join(names)}; what is meant to stay, say as: sbatch {options}"
    return Finding(SECTION, "sbatch's variables", WARNING, _values(environment, names), cost, fix)


def _option(name: str, value: str) -> str:
    word = name[len(_FOR_SBATCH) :]
    option = _OPTIONS.get(word, word.lower().replace("_", "-"))
    return f"--{option}={shlex.quote(one_line(value))}" if value else f"--{option}"


def _listed(names: Iterable[str]) -> str:
    words = sorted(names)
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more


def _values(environment: Mapping[str, str], names: Iterable[str]) -> str:
    return ", ".join(f"{name}={one_line(environment[name], 80)}" for name in sorted(names))
