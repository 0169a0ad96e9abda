"""Looks from a compute node, by a job of some seconds: what a login node cannot know.

The job's own batch script looks for the node's Python, a copy of the code lies where a job's would,
and the trainer's Python is tried in the environment that the job would have.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

from mapush.doctor.ask import Answer, ask
from mapush.doctor.child import read_facts
from mapush.doctor.cluster import step_options
from mapush.doctor.finding import LOSS, OK, WARNING, Finding
from mapush.doctor.look import ANSWER, NODE, QUESTION
from mapush.doctor.machine import sent_off
from mapush.doctor.question import Question
from mapush.errors import MapushError
from mapush.launch import snapshot
from mapush.launch.node import slurm, trainer
from mapush.launch.profile import BATCH_SCRIPT, PROJECT

_MINUTES = 10  # time limit of the small job
_HIDDEN_SECONDS = 10.0
_SHARED = "a directory that all nodes share, with --root"

# Stands where the batch script has the supervisor, and has the node looked at instead.
_START = """import sys
sys.path.insert(0, {code!r})
from mapush.doctor.look import main
main(sys.argv[-1])
"""


def examine_node(question: Question) -> Tuple[List[Finding], bool]:
    """Run the small job and judge what it says.

    Returns:
        The findings, and whether the node sees the root and can write there.
    """
    folder = question.nearest / f".mapush-doctor-{secrets.token_hex(4)}"
    token = secrets.token_hex(8)
    try:
        request = _prepare(folder, token, question)
        answer = _run(folder, request, question)
        said = read_facts(answer.out)
        if not said:
            return [_silent(answer, question)], False
        root = _root(said, question, _is_written(folder, token))
        found = [Finding(*fields) for fields in said["found"]]
        return [root, *found], root.level == OK
    except (OSError, MapushError) as error:
        cost = "unknown what jobs meet there"
        return [Finding(NODE, "compute node", WARNING, f"not tried: {error}", cost)], False
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _prepare(folder: Path, token: str, question: Question) -> Dict[str, Any]:
    """Lay out what the node needs; the request is returned."""
    start = folder / "mapush" / "launch" / "node" / "start.py"
    start.parent.mkdir(parents=True)
    code = snapshot.take(folder / "code", ()).path
    request = question.request(question.gpus, Path(code)).model_dump()
    asked = {"request": request, "wanted": question.wanted(question.gpus), "token": token}
    (folder / QUESTION).write_text(json.dumps(asked), encoding="utf-8")
    start.write_text(_START.format(code=code), encoding="utf-8")
    shutil.copy(PROJECT / BATCH_SCRIPT, folder / "batch")
    return request


def _run(folder: Path, request: Mapping[str, Any], question: Question) -> Answer:
    wait = question.node_seconds
    words = ["--job-name=mapush-doctor", "--nodes=1", "--ntasks=1", "--quiet", "--export=ALL"]
    words += [f"--time={_MINUTES}", f"--immediate={wait:.0f}", "--chdir=/"]
    words += [*step_options(question), trainer.BASH, "-p", str(folder / "batch")]
    words += ["--job", str(folder), str(folder), request["python"]]
    environment = trainer.put_aside(sent_off(request))
    return ask([slurm.find("srun") or "srun", *words], wait + 60.0 * _MINUTES, environment)


def _root(said: Mapping[str, Any], question: Question, is_written: bool) -> Finding:
    what, node = said["root"], said["node"]
    if not what and is_written:
        what = f"{question.nearest}: seen and written on {node}"
        return Finding(NODE, "root", OK, what)
    what = f"{question.nearest}: {what or f'what {node} writes is not seen here'}"
    return Finding(NODE, "root", LOSS, what, "no job starts, or no results come back", _SHARED)


def _silent(answer: Answer, question: Question) -> Finding:
    """Judge why the small job has said nothing."""
    what = answer.trouble or slurm.complaint(answer.err)
    # bash does not see the batch script, or that has no Python to run.
    if str(question.nearest) in answer.err or "mapush: " in answer.err:
        fix = f"{_SHARED}, and Python 3.6 or newer on the nodes"
        return Finding(NODE, "compute node", LOSS, what, "no job starts", fix)
    fix = "--node-wait SECONDS waits longer for a free one"
    return Finding(NODE, "compute node", WARNING, what, "unknown what jobs meet there", fix)


def _is_written(folder: Path, token: str) -> bool:
    """Whether the node's file is seen here, which a network file system may show late."""
    deadline = time.monotonic() + _HIDDEN_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if (folder / ANSWER).read_text(encoding="utf-8") == token:
                return True
        time.sleep(0.2)
    return False
