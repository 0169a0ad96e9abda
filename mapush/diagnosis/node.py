"""Looks from a compute node, by a job of some seconds: what a login node cannot know."""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import time
from pathlib import Path
from typing import Dict, List, Tuple

from mapush.diagnosis import container, gpu, software
from mapush.diagnosis.finding import LOSS, NOTE, OK, WARNING, Finding
from mapush.diagnosis.outside import Answer, ask
from mapush.diagnosis.processes import Died, Overdue, bounded
from mapush.diagnosis.question import Question
from mapush.diagnosis.slurm import step_options

SECTION = "node"
_MINUTES = 5  # time limit of the small job
_OLDEST_BASH = (4, 2)
_CLOCK = 60.0  # seconds by which logs of two machines may differ without a word
_STORAGE_SECONDS = 30.0

# Arguments: directory, token. Says what it finds in lines of its own form.
_SCRIPT = r"""
say() { printf 'mapush-%s=%s\n' "$1" "$2"; }
say node "${SLURMD_NODENAME:-$(hostname)}"
say bash "$BASH_VERSION"
say clock "$(date +%s)"
say cores "$(nproc)"
if [ "$(cat "$1/token" 2>/dev/null)" = "$2" ]; then say root seen; fi
{ printf %s "$2" >"$1/answer" && [ "$(cat "$1/answer")" = "$2" ] && say root written; } 2>/dev/null
if said=$(timeout 20 scontrol -o show job "$SLURM_JOB_ID" 2>&1); then say scontrol there
else say scontrol "${said%%$'\n'*}"; fi
timeout 20 nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null |
    while IFS= read -r line; do say gpu "$line"; done
if [ -f "$1/job/enter.sh" ]; then timeout 180 bash "$1/entry"; fi
exit 0
"""
_FACT = re.compile(r"^mapush-(\w+)=(.*)$", re.MULTILINE)


def not_looked_at() -> Finding:
    """What is said where no such job is wanted."""
    what = "not looked at: whether it sees --root, scontrol and the software"
    return Finding(SECTION, "compute node", NOTE, what, mend="--on-node looks, by a job of seconds")


def examine_node(question: Question) -> Tuple[List[Finding], bool]:
    """Run the small job and judge what it says.

    Returns:
        The findings, and whether the node sees the root and can write there.
    """
    place = question.place / f".mapush-doctor-{secrets.token_hex(4)}"
    token = secrets.token_hex(8)
    try:
        bounded(_STORAGE_SECONDS, lambda: _prepare(place, token, question))
    except (OSError, Overdue, Died):
        what = f"not tried, since {question.place} cannot be written"
        return [Finding(SECTION, "compute node", WARNING, what)], False
    try:
        answer = _run(place, token, question)
        facts = read_facts(answer.out)
        written = "node" in facts and _written(place, token)
    finally:
        with contextlib.suppress(OSError, Overdue, Died):
            bounded(_STORAGE_SECONDS, lambda: shutil.rmtree(place, ignore_errors=True))
    if "node" not in facts:
        cost = "unknown what jobs meet there"
        mend = "--node-wait SECONDS waits longer for a free one"
        return [Finding(SECTION, "compute node", WARNING, answer.complaint, cost, mend)], False
    found = judge(facts, answer, question, written)
    return found, written and "seen" in facts.get("root", ())


def read_facts(text: str) -> Dict[str, List[str]]:
    """What the small job said, by name."""
    facts: Dict[str, List[str]] = {}
    for name, value in _FACT.findall(text):
        facts.setdefault(name, []).append(value)
    return facts


def judge(
    facts: Dict[str, List[str]], answer: Answer, question: Question, written: bool
) -> List[Finding]:
    """Judge what the small job said.

    Args:
        facts: See `read_facts`.
        answer: How it ended, with what the trainer's Python said.
        question: The job.
        written: Whether what it wrote in the root is seen here.
    """
    node = facts["node"][0]
    found = [
        _root(node, facts.get("root", []), question, written),
        _scontrol(node, facts.get("scontrol", [""])[0]),
        *_bash(node, facts.get("bash", [""])[0]),
        *_clock(node, facts.get("clock", [""])[0]),
    ]
    if question.gpus:
        there = "\n".join(facts.get("gpu", []))
        shown = Answer("nvidia-smi", 0 if there else None, there, trouble=f"no answer on {node}")
        found += gpu.judge(SECTION, shown, question.gpus_wanted(is_here=True))
    if "seen" in facts.get("root", ()):
        found += _software(node, answer, question)
    return found


def _prepare(place: Path, token: str, question: Question) -> None:
    (place / "job").mkdir(parents=True)
    (place / "token").write_text(token)
    shutil.copy(question.code / "job" / "enter.sh", place / "job" / "enter.sh")
    (place / "entry").write_text(container.entry(question, place) + "\n")


def _run(place: Path, token: str, question: Question) -> Answer:
    wait = question.node_seconds
    return ask(
        [
            *("srun", "--job-name=mapush-doctor", "--nodes=1", "--ntasks=1", "--quiet"),
            *(f"--time={_MINUTES}", f"--immediate={wait:.0f}", "--chdir=/"),
            *step_options(question),
            *("bash", "-c", _SCRIPT, "doctor", str(place), token),
        ],
        wait + 60.0 * _MINUTES,
        environment=container.environment(question, place, question.gpus),
    )


def _written(place: Path, token: str) -> bool:
    """Whether the node's file is seen here; a network file system may need a moment for it."""
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, Overdue, Died):
            if bounded(_STORAGE_SECONDS, (place / "answer").read_text) == token:
                return True
        time.sleep(0.2)
    return False


def _root(node: str, said: List[str], question: Question, written: bool) -> Finding:
    place, mend = question.place, "a directory that all nodes share, with --root"
    if "seen" not in said:
        what = f"{place}: what is written here is not seen on {node}"
        return Finding(SECTION, "root", LOSS, what, "no job starts", mend)
    if "written" not in said:
        what = f"{place}: cannot be written on {node}"
        return Finding(SECTION, "root", LOSS, what, "a run cannot begin", mend)
    if not written:
        what = f"{place}: what {node} writes is not seen here"
        return Finding(SECTION, "root", LOSS, what, "results do not come back", mend)
    return Finding(SECTION, "root", OK, f"{place}: seen and written on {node}")


def _scontrol(node: str, said: str) -> Finding:
    if said == "there":
        return Finding(SECTION, "scontrol", OK, f"answers on {node}")
    cost = "an interrupted job cannot be requeued by itself; only SLURM's own requeues work"
    mend = "have SLURM's client commands on the nodes, or put them into PATH with --setup"
    return Finding(SECTION, "scontrol", LOSS, f"on {node}: {said or 'no answer'}", cost, mend)


def _bash(node: str, said: str) -> List[Finding]:
    numbers = re.match(r"(\d+)\.(\d+)", said)
    if numbers and (int(numbers[1]), int(numbers[2])) >= _OLDEST_BASH:
        return []
    what = f"bash {said or 'of unknown version'} on {node}"
    return [Finding(SECTION, "bash", LOSS, what, "no job starts", "bash 4.2 or newer on the nodes")]


def _clock(node: str, said: str) -> List[Finding]:
    # The job ended some seconds ago at the most, or minutes where its software took them.
    apart = int(said) - time.time() if said.isdecimal() else 0.0
    if -60.0 * _MINUTES - _CLOCK < apart < _CLOCK:
        return []
    what = f"{node}'s clock is {abs(apart):,.0f} s off this machine's"
    return [Finding(SECTION, "clock", NOTE, f"{what}; names and logs of runs show other times")]


def _software(node: str, answer: Answer, question: Question) -> List[Finding]:
    if question.profile.container:
        found = container.judge(question, answer, is_job_here=True)
        return [Finding(SECTION, *_rest(finding)) for finding in found]
    said = software.parse(answer)
    modules = software.wanted(question.simulator, is_host=False)
    if said is None:
        why = f"on {node}: {question.python}: {answer.complaint}"
        mend = "--python, a Python that the nodes have"
        return [Finding(SECTION, "Python", LOSS, why, "no trainer starts", mend)]
    return software.judge(SECTION, said, modules, question.simulator)


def _rest(finding: Finding) -> Tuple[str, str, str, str, str]:
    return finding.name, finding.level, finding.what, finding.cost, finding.mend
