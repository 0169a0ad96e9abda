"""How a trainer is started: the user's modules and set-up lines in a child shell, then the trainer.

The child shell gets the environment that the job was submitted in, and what its lines make of that
goes to the trainer alone.
"""

import os
import shlex
from typing import Any, Dict, List, Mapping, Sequence

from mapush.launch.node import slurm, verdict
from mapush.launch.node.folder import RUN_LINK

BASH = "/bin/bash"
KEPT = "MAPUSH_KEPT_"
"""Stands before the name of a variable that would change what bash, Python or SLURM's commands do
on the way to the user's own shell, which gets it back."""

# Read by bash or the loader before a script's or a program's first line.
_UNSAFE = ("BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT")
_FUNCTION = "BASH_FUNC_"
# What a supervisor tells its own trainer; from another job's it would be wrong.
_OWN = ("CODE", "COMMIT", "CONTAINER", "RUNTIME", "BINDS", "GPUS", "RESTART_COUNT", "RUN_LINK")
_OWN += ("JOB_ID", "JOB_OF", "SLURM_ID", "SETUP", "MAX_FAILURES", "MAX_IDLE", "FAILURE_WAIT")
OWN_VARIABLES = frozenset("MAPUSH_" + name for name in _OWN)

# The lines between are the user's. What they do to stdout and stderr ends with them; the trap tells
# a shell that they have ended from a trainer that has; `exec` is no alias or function of theirs.
_BEGIN = """trap 'echo "mapush: {words}" >&199; exit {code}' EXIT
"""
_END = """
\\builtin exec {bash} -p {enter} "$@" 1>&198 2>&199 198>&- 199>&-
"""


def put_aside(environment: Mapping[str, str]) -> Dict[str, str]:
    """An environment in which the user's shell settings wait under other names; see `restore`."""
    return {
        KEPT + name if name in _UNSAFE or _is_function(name, value) else name: value
        for name, value in environment.items()
    }


def restore(environment: Mapping[str, str]) -> Dict[str, str]:
    """The user's environment again, from one of `put_aside`."""
    names = {name: name[len(KEPT) :] if name.startswith(KEPT) else name for name in environment}
    return {names[name]: value for name, value in environment.items()}


def without_own(environment: Mapping[str, str]) -> Dict[str, str]:
    """An environment without what another job's supervisor has told its trainer."""
    return {name: value for name, value in environment.items() if name not in OWN_VARIABLES}


def of_no_job(environment: Mapping[str, str]) -> Dict[str, str]:
    """An environment without what SLURM or a supervisor has said of another job."""
    return slurm.clean(without_own(environment))


def environment(
    known: Mapping[str, str],
    request: Mapping[str, Any],
    folder: str,
    restart: int,
    slurm_id: str = "",
    raw_id: str = "",
) -> Dict[str, str]:
    """The user's environment with what `job/enter.sh` and the trainer go by.

    Args:
        known: The environment that the job was submitted in.
        request: The content of job.json.
        folder: The job's.
        restart: How often its trainer was started before.
        slurm_id: As squeue shows it, `ID` or `ID_INDEX`; empty without SLURM.
        raw_id: As SLURM_JOB_ID has it.
    """
    profile, code = request["profile"], request["code"]
    found = {
        **of_no_job(known),
        "MAPUSH_CODE": code["path"],
        "MAPUSH_ROOT": request["root"],
        "MAPUSH_CONTAINER": profile.get("container") or "",
        "MAPUSH_RUNTIME": profile.get("runtime") or "auto",
        "MAPUSH_BINDS": "\n".join(profile.get("binds") or ()),
        "MAPUSH_JOB_ID": os.path.basename(folder),
        "MAPUSH_RUN_LINK": os.path.join(folder, RUN_LINK),
        "MAPUSH_RESTART_COUNT": str(restart),
        "PYTHON": request["python"],
        "PYTHONUNBUFFERED": "1",
    }
    if request.get("gpus") is not None:
        found["MAPUSH_GPUS"] = str(request["gpus"])
    if code.get("commit"):
        found["MAPUSH_COMMIT"] = code["commit"] + ("+changed" if code.get("changed") else "")
    if raw_id:
        found.update(MAPUSH_JOB_OF=raw_id, MAPUSH_SLURM_ID=slurm_id)
    return found


def command(request: Mapping[str, Any]) -> List[str]:
    """The trainer of a job, in its child shell."""
    script = os.path.join(request["code"]["path"], "task", request["exp"], "train.sh")
    return shell(request, [BASH, script, *request["arguments"]])


def set_up(profile: Mapping[str, Any]) -> List[str]:
    """The user's lines, modules first, as the child shell runs them before the command."""
    lines = ["module load " + shlex.quote(each) for each in profile.get("modules") or ()]
    return [*lines, *(profile.get("setup") or ())]


def shell(request: Mapping[str, Any], words: Sequence[str]) -> List[str]:
    """A command in a job's child shell: after the user's lines, and in the container if any.

    Args:
        request: The content of job.json, or what of it names profile and code.
        words: The command.
    """
    enter = os.path.join(request["code"]["path"], "job", "enter.sh")
    code = verdict.SET_UP_ENDED
    text = _BEGIN.format(code=code, words=verdict.describe(code))
    text += "\n".join(set_up(request["profile"]))
    text += _END.format(bash=BASH, enter=shlex.quote(enter))
    return [BASH, "-c", text, "mapush", *words]


def option(words: Sequence[str], name: str) -> str:
    """The value of a long option among a trainer's, the last one given; empty if there is none."""
    found = ""
    for word, following in zip(words, [*words[1:], ""]):
        if word == name:
            found = following
        elif word.startswith(name + "="):
            found = word.partition("=")[2]
    return found


def become(words: Sequence[str]) -> None:
    """Become a command, in the user's environment; the step of a job on a cluster does.

    Raises:
        OSError: There is no such command.
    """
    found = restore(os.environ)
    os.dup2(1, 198)
    os.dup2(2, 199)
    # SLURM counts the GPUs of this step; a job that says how many it wants has said so already.
    found.setdefault("MAPUSH_GPUS", found.get("SLURM_GPUS_ON_NODE") or "0")
    os.execve(words[0], list(words), found)


def _is_function(name: str, value: str) -> bool:
    return name.startswith(_FUNCTION) or value.startswith("() {")
