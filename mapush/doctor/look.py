"""Looks at what a job meets where it runs: the shell, TMPDIR, the trainer's Python, the node.

Runs on this machine, and on a compute node as a program of its own: Python 3.6 and the standard
library only, and of mapush what is so too.
"""

import json
import os
import re
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any, List, Mapping

from mapush.doctor.ask import ask, one_line
from mapush.doctor.child import Child
from mapush.doctor.finding import LOSS, NOTE, OK, WARNING, Finding
from mapush.launch.node import slurm, trainer

NODE = "node"
QUESTION = "question.json"
ANSWER = "answer"
_OLDEST_BASH = (4, 2)
_VERSION = 'printf "\\nmapush-bash=%s" "$BASH_VERSION"'


def look(
    section: str,
    request: Mapping[str, Any],
    environment: Mapping[str, str],
    wanted: Mapping[str, Any],
) -> List[Finding]:
    """Everything that a job meets; for the arguments see `Child`."""
    child = Child(section, request, environment, wanted)
    return [_shell(section, environment), _temporary(section, environment), *child.examine()]


def main(folder: str) -> None:
    """Look from a compute node; prints a line of JSON.

    Args:
        folder: Holds the question, and takes an answer that the other side must see.
    """
    question = json.loads(Path(folder, QUESTION).read_text(encoding="utf-8"))
    node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    environment = trainer.restore(os.environ)
    what = f"{sys.executable}, Python {sys.version.split()[0]}, on {node}"
    found = [Finding(NODE, "supervisor", OK, what), *_commands(node)]
    found += look(NODE, question["request"], environment, question["wanted"])
    trouble = ""
    try:
        Path(folder, ANSWER).write_text(question["token"], encoding="utf-8")
    except OSError as error:
        trouble = f"cannot be written on {node} ({error.strerror})"
    said = {"node": node, "root": trouble, "found": [list(finding) for finding in found]}
    sys.stdout.write(f"\nmapush:{json.dumps(said)}\n")


def _commands(node: str) -> List[Finding]:
    fix = "have SLURM's client commands in PATH on the nodes"
    found = []
    if slurm.find("srun") is None:
        what = f"srun: not found on {node}"
        found.append(Finding(NODE, "srun", LOSS, what, "no trainer starts", fix))
    try:
        slurm.job(os.environ["SLURM_JOB_ID"])
        found.append(Finding(NODE, "scontrol", OK, f"answers on {node}"))
    except slurm.SlurmError as error:
        cost = "an interrupted job cannot be requeued, only by SLURM itself"
        found.append(Finding(NODE, "scontrol", LOSS, f"on {node}: {error}", cost, fix))
    return found


def _shell(section: str, environment: Mapping[str, str]) -> Finding:
    """The shell's version, and what it says before it does anything, which is BASH_ENV's."""
    answer = ask([trainer.BASH, "-c", _VERSION], environment=environment)
    before, _, version = answer.out.rpartition("mapush-bash=")
    said = one_line(before + answer.err) or answer.trouble
    what = f"{trainer.BASH} {version}" if version else f"{trainer.BASH}: does nothing"
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or tuple(map(int, numbers.groups())) < _OLDEST_BASH:
        fix = f"bash 4.2 or newer as {trainer.BASH}, and no BASH_ENV that ends it"
        return Finding(section, "bash", LOSS, f"{what} {said}".strip(), "no job starts", fix)
    if not said:
        return Finding(section, "bash", OK, what)
    what, cost = f"{what}; says first: {said}", "that stands in the log of every job"
    return Finding(section, "bash", NOTE, what, cost, "fix BASH_ENV, or what else is passed on")


def _temporary(section: str, environment: Mapping[str, str]) -> Finding:
    path = environment.get("TMPDIR") or "/tmp"
    try:
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(bytes(1 << 20))
    except OSError as error:
        what = f"{path}: cannot be written ({error.strerror})"
        cost = "a container or a library that unpacks something there fails"
        fix = "another TMPDIR, or free some space"
        return Finding(section, "TMPDIR", WARNING, what, cost, fix)
    return Finding(section, "TMPDIR", OK, f"{path}: can be written")
