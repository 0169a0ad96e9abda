"""A job of `sbatch slurm/train.sh`: its folder is made here, at its first start on a node."""

import contextlib
import json
import os
import re
import socket
from typing import Any, Dict, List, Mapping, Sequence

from mapush.errors import EXIT_BAD_REQUEST, EXIT_RUN_AGAIN
from mapush.launch.node import slurm, trainer, verdict
from mapush.launch.node.folder import LOG, REQUEST, Folder, Outcome
from mapush.launch.node.log import say, speak_into
from mapush.launch.node.scheduler import OURS, STEP, Slurm
from mapush.launch.node.signals import Child, Signals, end_of

# Variables of the profile's fields: see `mapush.launch.profile`.
_FIELDS = ("CONTAINER", "RUNTIME", "MAX_FAILURES", "MAX_IDLE", "FAILURE_WAIT")


class Refused(Exception):
    """The job ends here; why has been said.

    Args:
        code: The job's exit code.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def adopt(
    project: str,
    arguments: Sequence[str],
    place: Slurm,
    environment: Mapping[str, str],
    signals: Signals,
) -> Folder:
    """The folder of the job: at a restart the one it has, else a new one with its request.

    The request is checked and written by the user's own Python, as by mapush.submit.

    Args:
        project: mapush's checkout.
        arguments: Of the batch script.
        place: The job.
        environment: See `trainer.put_aside`.
        signals: Of this process.

    Raises:
        Refused: The request is wrong, or the job was interrupted meanwhile.
    """
    known = dict(environment)
    if known.get("MAPUSH_JOB_OF", place.raw_id) != place.raw_id:
        say("submitted from a job of mapush: its own MAPUSH_ variables are not taken over")
        known = trainer.without_own(known)
    _remark(known)
    root = os.path.join(project, _root(arguments) or known.get("MAPUSH_ROOT") or "")
    if place.nodes > 1:
        _refuse(f"{place.nodes} nodes: a run trains on one; ask sbatch for --nodes=1")
    folder = _folder(os.path.join(os.path.normpath(root), "log", "submit"), place)
    say(f"mapush: the log of this job is {folder.file(LOG)}")
    if _is_accepted(folder, project):
        return folder
    draft = _draft(project, arguments, place, known)
    draft.update(folder=folder.path, root=os.path.normpath(root))
    # In a container PYTHON is the container's own.
    accept = 'exec "$PYTHON" -m mapush.launch.accept "$1"'
    words = trainer.shell(draft, [trainer.BASH, "-c", accept, "accept", json.dumps(draft)])
    own = trainer.variables(draft, folder.path, 0, place.slurm_id, place.raw_id)
    before = os.dup(1)
    speak_into(folder)
    begin = folder.log_bytes()
    full = dict(slurm.clean(trainer.without_own(known)), **own)
    child = Child([*STEP, *words], full, project)
    code = end_of(child, signals, lambda number, to: to.send(number))
    os.dup2(before, 1)
    if code or not _is_accepted(folder, project):
        code = code or verdict.SET_UP_ENDED
        raise _ended(code, folder, folder.last_words(begin), place)
    return folder


def _is_accepted(folder: Folder, project: str) -> bool:
    """Whether the request is complete: the job has a copy of the code."""
    if not os.path.exists(folder.file(REQUEST)):
        return False
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return folder.request()["code"]["path"] != project
    return False


def _ended(code: int, folder: Folder, said: str, place: Slurm) -> Refused:
    if verdict.is_interruption(code):
        if place.standing() == OURS:
            place.again(0.0)
        return Refused(EXIT_RUN_AGAIN)
    said = verdict.describe(code) if code == verdict.SET_UP_ENDED else said
    say("mapush: " + (said or f"the request could not be checked (exit code {code})"))
    with contextlib.suppress(OSError):
        folder.write_outcome(Outcome(EXIT_BAD_REQUEST, "the request was refused", said))
    return Refused(EXIT_BAD_REQUEST)


def _refuse(line: str) -> None:
    say("mapush: " + line)
    raise Refused(EXIT_BAD_REQUEST)


def _remark(environment: Mapping[str, str]) -> None:
    """Sbatch takes such variables over the lines of its script, and below its command line."""
    given = sorted(name for name in environment if name.startswith("SBATCH_"))
    given = [name for name in given if name != "SBATCH_CLUSTERS"]
    if given:
        what = ", ".join(f"{name}={environment[name]}" for name in given)
        say(f"sbatch has taken from the environment: {what}")


def _root(arguments: Sequence[str]) -> str:
    found = ""
    for word, following in zip(arguments, [*arguments[1:], ""]):
        if word == "--root":
            found = following
        elif word.startswith("--root="):
            found = word.partition("=")[2]
    return found


def _folder(parent: str, place: Slurm) -> Folder:
    """The job's folder, which bears SLURM's number.

    Numbers come round again, so a first start never takes a folder that is there; a restart takes
    the newest, by time.
    """
    array, _, index = place.slurm_id.partition("_")
    end = "_" + index if index else ""
    name = os.path.join(parent, "slurm-" + array)
    try:
        os.makedirs(parent, exist_ok=True)
        if place.restarts:
            found = _same_number(parent, "slurm-" + array, end)
            if found:
                return Folder(max(found, key=lambda path: os.stat(path).st_mtime))
        count = 0
        while True:
            path = name + (f".{count:03d}" if count else "") + end
            with contextlib.suppress(FileExistsError):
                os.mkdir(path)
                return Folder(path)
            count += 1
    except OSError as error:
        host = socket.gethostname()
        _refuse(f"{parent}: cannot be made on {host} ({error}); does this node see --root?")
        raise


def _same_number(parent: str, name: str, end: str) -> List[str]:
    found = []
    for each in os.listdir(parent):
        rest = each[len(name) : len(each) - len(end)]
        if each.startswith(name) and each.endswith(end) and re.fullmatch(r"(\.\d+)?", rest):
            found.append(os.path.join(parent, each))
    return found


def _draft(
    project: str, arguments: Sequence[str], place: Slurm, environment: Mapping[str, str]
) -> Dict[str, Any]:
    """What is known of the request here, unchecked."""
    profile: Dict[str, Any] = {}
    for name in _FIELDS:
        if environment.get("MAPUSH_" + name):
            profile[name.lower()] = environment["MAPUSH_" + name]
    for name in ("SETUP", "BINDS"):
        profile[name.lower()] = [
            line for line in environment.get("MAPUSH_" + name, "").splitlines() if line.strip()
        ]
    own = os.path.join(project, ".venv", "bin", "python")
    python = environment.get("PYTHON") or (own if os.access(own, os.X_OK) else "python3")
    return {
        "arguments": list(arguments),
        "index": place.index,
        "slurm_id": place.slurm_id,
        "profile": profile,
        "python": python,
        "code": {"path": project},
        "gpus": 0,
        "asked": place.asked,
    }
