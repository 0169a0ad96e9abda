"""Whether the container of a profile can be entered as a job enters it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Dict, List

from mapush.diagnosis import software
from mapush.diagnosis.finding import LOSS, NOTE, OK, WARNING, Finding
from mapush.diagnosis.outside import Answer, ask
from mapush.diagnosis.question import Question
from mapush.job.request import LOCAL

SECTION = "container"
SECONDS = 180.0
"""To start a container and import torch there; a first start unpacks the image."""


def examine_container(question: Question) -> List[Finding]:
    """Look at the image, its runtime and what is in it."""
    if not question.profile.container:
        return [Finding(SECTION, "image", OK, "none; jobs run on the host's own software")]
    answer = ask(
        ["bash", "-c", entry(question, question.code)],
        SECONDS,
        environment=environment(question, question.code, gpus=0),
    )
    found = judge(question, answer, is_job_here=question.cluster == LOCAL)
    if question.profile.runtime in ("auto", "apptainer", "singularity"):
        found += _user_namespaces(found[0].level)
    return found


def entry(question: Question, code: Path) -> str:
    """Lines of bash that say what the Python has that trains, in the container or bare.

    Args:
        question: The job.
        code: Directory with `job/enter.sh`.
    """
    profile = question.profile
    modules = software.wanted(question.simulator, is_host=False)
    lines = [f"module load {shlex.quote(module)}" for module in profile.modules]
    lines += profile.setup
    arguments = software.question_for(modules, imports=True)
    command = [
        *("bash", str(code / "job" / "enter.sh")),
        *("bash", "-c", 'exec "$PYTHON" "$@"', "doctor", *arguments),
    ]
    return "\n".join([*lines, f"exec {' '.join(map(shlex.quote, command))}"])


def environment(question: Question, code: Path, gpus: int) -> Dict[str, str]:
    """What `job/enter.sh` goes by, as a job has it."""
    profile = question.profile
    own = {name: value for name, value in os.environ.items() if not name.startswith("MAPUSH_")}
    return {
        **own,
        "MAPUSH_CODE": str(code),
        "MAPUSH_ROOT": str(question.place),
        "MAPUSH_GPUS": str(gpus),
        "MAPUSH_CONTAINER": profile.container or "",
        "MAPUSH_RUNTIME": profile.runtime,
        "MAPUSH_BINDS": "\n".join(profile.binds),
        "PYTHON": question.python,
    }


def judge(question: Question, answer: Answer, is_job_here: bool) -> List[Finding]:
    """Judge what `entry` said.

    Args:
        question: The job.
        answer: How it ended.
        is_job_here: Whether jobs run where it was tried.
    """
    image = question.profile.container
    said = software.parse(answer)
    if said is None:
        why = answer.complaint.partition("mapush: ")[2] or answer.complaint
        level = LOSS if is_job_here else WARNING
        where = "" if is_job_here else ", if it is the same on the nodes; --on-node looks there"
        mend = "--container, --runtime and --setup choose the image and load what runs it"
        return [Finding(SECTION, "image", level, why, f"no trainer starts{where}", mend)]
    found = [Finding(SECTION, "image", OK, f"{image}: can be entered")]
    if not said.writable:
        what = f"{question.place}: cannot be written in the container"
        mend = "have it mounted with the same user, or another --runtime"
        found.append(Finding(SECTION, "root", LOSS, what, "a run cannot begin", mend))
    modules = software.wanted(question.simulator, is_host=False)
    return [*found, *software.judge(SECTION, said, modules, question.simulator)]


def _user_namespaces(level: str) -> List[Finding]:
    answer = ask(["unshare", "--user", "--map-root-user", "true"], 10.0)
    name = "user namespaces"
    if answer.is_good:
        return [Finding(SECTION, name, OK, "can be made here")]
    if level == OK:
        return [Finding(SECTION, name, NOTE, "none here; the runtime does without")]
    return [
        Finding(
            SECTION,
            name,
            WARNING,
            answer.complaint,
            "apptainer needs them unless it is installed with setuid",
            "have user.max_user_namespaces raised, or apptainer-suid installed",
        )
    ]
