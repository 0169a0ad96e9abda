"""A job of `sbatch slurm/train.sh`: its folder is made here, at its first start on a node."""

import contextlib
import json
import os
import re
import socket
from typing import Any, Dict, Mapping, Sequence

from mapush.errors import EXIT_BAD_REQUEST, EXIT_RUN_AGAIN
from mapush.launch.node import trainer, verdict
from mapush.launch.node.folder import LOG, REQUEST, Folder, Outcome
from mapush.launch.node.log import say, speak_into
from mapush.launch.node.scheduler import OURS, STEP, Slurm
from mapush.launch.node.signals import end_of, start

# Variables of the profile's fields: see `mapush.launch.profile`.
_FIELDS = ("CONTAINER", "RUNTIME", "MAX_FAILURES", "MAX_IDLE", "FAILURE_WAIT")
_LISTS = ("SETUP", "BINDS")


def adopt(project: str, arguments: Sequence[str], place: Slurm) -> Folder:
    """The folder of the job: at a restart the one it has, else a new one with its request.

    The request is checked and written by the user's own Python, as by mapush.submit.

    Args:
        project: mapush's checkout.
        arguments: Of the batch script.
        place: The job.

    Raises:
        SystemExit: The request is wrong, or the job was interrupted meanwhile.
    """
    known = dict(place.environment)
    if known.get("MAPUSH_JOB_OF", place.raw_id) != place.raw_id:
        say("submitted from a job of mapush: its own MAPUSH_ variables are not taken over")
        known = trainer.without_own(known)
    _remark(known)
    given = trainer.option(arguments, "--root") or known.get("MAPUSH_ROOT", "")
    root = os.path.normpath(os.path.join(project, given))
    if place.nodes > 1:
        raise _refused(f"{place.nodes} nodes: a run trains on one; ask sbatch for --nodes=1")
    folder = _folder(os.path.join(root, "log", "submit"), place)
    say(f"mapush: the log of this job is {folder.file(LOG)}")
    if _is_accepted(folder, project):
        return folder
    draft = dict(_draft(project, arguments, place, known), folder=folder.path, root=root)
    # In a container PYTHON is the container's own.
    accept = 'exec "$PYTHON" -m mapush.launch.accept "$1"'
    words = trainer.shell(draft, [trainer.BASH, "-c", accept, "accept", json.dumps(draft)])
    full = trainer.environment(known, draft, folder.path, 0, place.slurm_id, place.raw_id)
    before = os.dup(1)
    speak_into(folder)
    begin = folder.log_bytes()
    child = start([*STEP, *words], full, project)
    code = end_of(child, place.signals, lambda number, to: to.send_signal(number))
    os.dup2(before, 1)
    if not code and _is_accepted(folder, project):
        return folder
    code = code or verdict.SET_UP_ENDED
    if verdict.is_interruption(code):
        if place.standing() == OURS:
            place.again(0.0)
        raise SystemExit(EXIT_RUN_AGAIN)
    said = verdict.describe(code) if code == verdict.SET_UP_ENDED else folder.last_words(begin)
    said = said or f"the request could not be checked (exit code {code})"
    with contextlib.suppress(OSError):
        folder.write_outcome(Outcome(EXIT_BAD_REQUEST, "the request was refused", said))
    raise _refused(said)


def _is_accepted(folder: Folder, project: str) -> bool:
    """Whether the request is complete: the job has a copy of the code."""
    if os.path.exists(folder.file(REQUEST)):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return folder.request()["code"]["path"] != project
    return False


def _refused(line: str) -> SystemExit:
    say("mapush: " + line)
    return SystemExit(EXIT_BAD_REQUEST)


def _remark(environment: Mapping[str, str]) -> None:
    """Sbatch takes such variables over the lines of its script, and below its command line."""
    given = sorted(name for name in environment if name.startswith("SBATCH_"))
    given = [name for name in given if name != "SBATCH_CLUSTERS"]
    if given:
        what = ", ".join(f"{name}={environment[name]}" for name in given)
        say(f"sbatch has taken from the environment: {what}")


def _folder(parent: str, place: Slurm) -> Folder:
    """The job's folder, which bears SLURM's number.

    Numbers come round again, so a first start never takes a folder that is there; a restart takes
    the newest, by time.
    """
    array, _, index = place.slurm_id.partition("_")
    name, end = "slurm-" + array, "_" + index if index else ""
    try:
        os.makedirs(parent, exist_ok=True)
        if place.restarts:
            same = re.compile(re.escape(name) + r"(\.\d+)?" + re.escape(end))
            found = [
                os.path.join(parent, each) for each in os.listdir(parent) if same.fullmatch(each)
            ]
            if found:
                return Folder(max(found, key=lambda path: os.stat(path).st_mtime))
        count = 0
        while True:
            path = os.path.join(parent, name + (f".{count:03d}" if count else "") + end)
            with contextlib.suppress(FileExistsError):
                os.mkdir(path)
                return Folder(path)
            count += 1
    except OSError as error:
        host = socket.gethostname()
        why = f"{parent}: cannot be made on {host} ({error}); does this node see --root?"
        raise _refused(why) from None


def _draft(
    project: str, arguments: Sequence[str], place: Slurm, environment: Mapping[str, str]
) -> Dict[str, Any]:
    """What is known of the request here, unchecked."""
    profile: Dict[str, Any] = {
        name.lower(): environment["MAPUSH_" + name]
        for name in _FIELDS
        if environment.get("MAPUSH_" + name)
    }
    for name in _LISTS:
        lines = environment.get("MAPUSH_" + name, "").splitlines()
        profile[name.lower()] = [line for line in lines if line.strip()]
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
