"""This machine: its shell, its Python, its cores, and whether a job outlives its user's login."""

from __future__ import annotations

import os
import re
import shutil
from typing import List

from mapush.diagnosis import software
from mapush.diagnosis.finding import LOSS, NOTE, OK, WARNING, Finding
from mapush.diagnosis.gpu import examine_gpus
from mapush.diagnosis.outside import ask
from mapush.diagnosis.question import Question
from mapush.job.request import LOCAL

SECTION = "machine"
_OLDEST_BASH = (4, 2)
_PYTHON_SECONDS = 60.0


def examine_machine(question: Question) -> List[Finding]:
    """Everything about this machine and its software."""
    is_local = question.cluster == LOCAL
    found = [_bash(), *_python(question)]
    if is_local:
        found += [_cores(question), *_after_logout()]
    return [*found, *examine_gpus(SECTION, question.gpus_wanted(is_here=is_local))]


def _bash() -> Finding:
    answer = ask(["bash", "-c", 'echo "$BASH_VERSION"'])
    numbers = re.match(r"(\d+)\.(\d+)", answer.out)
    if not answer.is_good or numbers is None:
        cost = "no job starts: train.sh is a script for it"
        return Finding(SECTION, "bash", LOSS, answer.complaint, cost, "install bash")
    what = f"bash {answer.out.strip()}"
    if (int(numbers[1]), int(numbers[2])) < _OLDEST_BASH:
        return Finding(SECTION, "bash", LOSS, what, "no job starts", "install bash 4.2 or newer")
    return Finding(SECTION, "bash", OK, what)


def _python(question: Question) -> List[Finding]:
    if question.profile.container:
        return []
    name = question.python
    modules = software.wanted(question.simulator, is_host=True)
    answer = ask([name, *software.question_for(modules, imports=False)], _PYTHON_SECONDS)
    said = software.parse(answer)
    if said is None:
        # On a cluster the nodes may have a Python that this machine has not.
        is_local = question.cluster == LOCAL
        why = answer.complaint if not answer.is_good else f"{name}: is no Python"
        cost = "no trainer starts" if is_local else "no trainer starts, if nodes lack it too"
        mend = "--python, or have it looked for on a node with --on-node"
        return [Finding(SECTION, "Python", LOSS if is_local else WARNING, why, cost, mend)]
    return software.judge(SECTION, said, modules, question.simulator)


def _cores(question: Question) -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    asked = question.profile.cpus
    if (cores or 1) < asked:
        what = f"{cores} cores, and --cpus {asked}"
        return Finding(SECTION, "cores", NOTE, what, "training is as slow as the cores there are")
    return Finding(SECTION, "cores", OK, f"{cores}")


def _after_logout() -> List[Finding]:
    """Whether the background jobs of a user end with the login."""
    if shutil.which("loginctl") is None or shutil.which("busctl") is None:
        return []
    login = "org.freedesktop.login1"
    killing = ask(
        [
            *("busctl", "get-property", login, "/org/freedesktop/login1"),
            *(f"{login}.Manager", "KillUserProcesses"),
        ],
        5.0,
    )
    if killing.out.strip() != "b true":
        return []
    lingering = ask(["loginctl", "show-user", str(os.getuid()), "--property=Linger"], 5.0)
    if lingering.out.strip() == "Linger=yes":
        return []
    return [
        Finding(
            SECTION,
            "logout",
            WARNING,
            "KillUserProcesses=yes",
            "jobs in the background end when you log out; mapush.submit --job-id goes on with one",
            "loginctl enable-linger",
        )
    ]
