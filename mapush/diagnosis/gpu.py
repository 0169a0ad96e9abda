"""GPUs as `nvidia-smi` shows them, and whether the simulator takes them. Pure but for asking."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import List, Optional

from mapush.diagnosis.finding import LOSS, NOTE, OK, Finding, one_line
from mapush.diagnosis.outside import Answer, ask

QUERY = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
ON_CPU = ("mujoco",)
"""Simulators that use no GPU."""
ISAAC_GYM = "isaacgym"
OLDEST_DRIVER = 470  # of Isaac Gym

# Isaac Gym ends with a segmentation fault on these: Hopper, Blackwell and later.
_TOO_NEW = re.compile(r"\b(H[12]00|H[28]0|H800|GH200|GB?[23]00|B[123]00|RTX 50\d\d|RTX PRO)\b")


@dataclass(frozen=True)
class Gpu:
    """One GPU."""

    name: str
    driver: str


def parse(text: str) -> List[Gpu]:
    """What `nvidia-smi` prints for `QUERY`."""
    found = []
    for line in text.splitlines():
        name, comma, driver = line.rpartition(",")
        if comma and re.match(r"\s*\d+\.", driver):
            found.append(Gpu(one_line(name), driver.strip()))
    return found


@dataclass(frozen=True)
class Wanted:
    """What a job asks for, and where that is looked at."""

    count: int
    simulator: str
    """As of `--sim`."""
    is_here: bool
    """Whether jobs run where it is looked at."""
    in_container: bool = False
    """A container is not entered without the GPUs that a job asks for, used or not."""


def examine_gpus(section: str, wanted: Wanted) -> List[Finding]:
    """Look at this machine's GPUs, if any are asked for."""
    return judge(section, ask(QUERY), wanted) if wanted.count else []


def judge(section: str, answer: Answer, wanted: Wanted) -> List[Finding]:
    """Judge what `nvidia-smi` said to `QUERY`."""
    gpus = parse(answer.out) if answer.is_good else []
    found: List[Finding] = []
    is_used = wanted.simulator not in ON_CPU
    if not is_used:
        what = f"--gpus {wanted.count}, and --sim {wanted.simulator} runs on the CPU"
        cost = "a GPU is taken from others and changes nothing"
        found.append(Finding(section, "GPUs", NOTE, what, cost, "leave --gpus out"))
    if len(gpus) < wanted.count:
        if is_used or wanted.in_container:
            found.append(_too_few(section, answer, gpus, wanted))
    else:
        names = ", ".join(sorted({gpu.name for gpu in gpus}))
        what = f"{len(gpus)} ({names}), driver {gpus[0].driver}"
        found.append(Finding(section, "GPU driver", OK, what))
    problem = _isaac_gym(gpus)
    if problem:
        is_it = wanted.simulator == ISAAC_GYM
        mend = "another kind of GPU, with --gpu-type" if is_it else ""
        cost = "a segmentation fault at its start" if is_it else ""
        level = LOSS if is_it else NOTE
        found.append(Finding(section, "Isaac Gym", level, problem, cost, mend))
    return found


def _too_few(section: str, answer: Answer, gpus: List[Gpu], wanted: Wanted) -> Finding:
    what = f"nvidia-smi shows {len(gpus)}, --gpus {wanted.count}"
    if not answer.is_good:
        what = answer.complaint
    if not wanted.is_here:
        what += "; a login node need not have any, --on-node looks there"
        return Finding(section, "GPU driver", NOTE, what)
    cost = "no job with --gpus starts"
    mend = "install NVIDIA's driver, ask for other nodes, or leave --gpus out"
    return Finding(section, "GPU driver", LOSS, what, cost, mend)


def _isaac_gym(gpus: List[Gpu]) -> Optional[str]:
    for gpu in gpus:
        if _TOO_NEW.search(gpu.name):
            return f"does not run on {gpu.name}"
        major = int(gpu.driver.partition(".")[0])
        if major < OLDEST_DRIVER:
            return f"needs driver {OLDEST_DRIVER} or newer, not {gpu.driver}"
    return None
