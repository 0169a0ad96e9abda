"""The small job on a compute node, which is this machine, by a fake srun; the rest is real."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, List

import pytest

from mapush.doctor.finding import LOSS, NOTE, OK, WARNING, Finding
from mapush.doctor.node import examine_node
from tests.doctor.fakes import STEP, Fakes
from tests.doctor.questions import levels, profile, question, said
from tests.support import PROJECT

pytestmark = pytest.mark.slow  # processes by the dozen

SOUND = dict.fromkeys(
    ("root", "supervisor", "scontrol", "bash", "TMPDIR", "Python", "packages"), OK
)


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fakes:
    fakes = Fakes(tmp_path)
    for name, value in fakes.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("mapush.doctor.question._MODULES", {"json": "json"})
    monkeypatch.setattr("mapush.doctor.question._more_modules", lambda _: {})
    monkeypatch.setattr("mapush.doctor.node._HIDDEN_SECONDS", 0.5)
    return fakes


def examine(tmp_path: Path, expected: bool, **fields: Any) -> List[Finding]:
    root = tmp_path / "root"
    root.mkdir()
    asked = question(root, profile(**fields), cluster="slurm", on_node=True)
    found, seen = examine_node(asked)
    assert seen == expected
    assert list(root.iterdir()) == []
    return found


def test_a_sound_node_is_all_right(fakes: Fakes, tmp_path: Path) -> None:
    found = examine(tmp_path, True)
    assert levels(found) == SOUND
    assert {finding.section for finding in found} == {"node"}
    assert "on n1" in found[0].what


def test_the_trainer_s_python_is_tried_in_the_environment_that_a_job_has(
    fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "env.sh").write_text("echo hello")
    start = str(tmp_path / "env.sh")
    given = {"PYTHONHOME": "/nosuch", "BASH_ENV": start, "LD_LIBRARY_PATH": "/nosuch"}
    for name, value in {**given, "SLURM_MEM_PER_CPU": "5", "MAPUSH_CODE": "/c"}.items():
        monkeypatch.setenv(name, value)
    # srun itself is not to be changed by them.
    fakes.answer("srun", f'[ -z "${{BASH_ENV-}}${{LD_LIBRARY_PATH-}}" ] || exit 9\n{STEP}')
    seen = tmp_path / "seen"
    setup = (f"unset PYTHONHOME; env >{seen}", "exit 7")
    found = {finding.name: finding for finding in examine(tmp_path, True, setup=setup)}
    assert found["set-up lines"].level == LOSS
    assert "'exit 7' ends the shell" in found["set-up lines"].what
    assert (found["bash"].level, "says first: hello" in found["bash"].what) == (NOTE, True)
    lines = seen.read_text().splitlines()
    assert {"LD_LIBRARY_PATH=/nosuch", f"BASH_ENV={start}", "SLURM_JOB_ID=8"} <= set(lines)
    assert not any(line.startswith(("SLURM_MEM_PER_CPU", "MAPUSH_KEPT_")) for line in lines)
    assert f"PYTHON={sys.executable}" in lines


FOLDER = '"${@: -2:1}"'  # of the arguments of srun: where the question is
BUSY = "echo 'srun: error: Unable to allocate resources: Requested nodes are busy' >&2; exit 1"
LACKS = [
    (f"place={FOLDER}\n{STEP}rm -- $place/answer", "root", LOSS, ["not seen here", "--root"]),
    (f"mkdir {FOLDER}/answer\n{STEP}", "root", LOSS, ["cannot be written on n1"]),
    (f"mv {FOLDER}/batch {FOLDER}/x\n{STEP}", "compute node", LOSS, ["No such file", "share"]),
    (f"rm -r {FOLDER}/mapush\n{STEP}", "compute node", LOSS, ["start.py: is not there on"]),
    (BUSY, "compute node", WARNING, ["allocate resources: Requested nodes", "--node-wait"]),
    ("echo hello", "compute node", WARNING, ["--node-wait"]),
    ("exec sleep 60", "compute node", WARNING, ["no answer in 1 s"]),
]


@pytest.mark.parametrize(("srun", "name", "level", "words"), LACKS)
def test_what_a_node_lacks_is_found(
    srun: str,
    name: str,
    level: str,
    words: List[str],
    fakes: Fakes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "sleep" in srun:
        monkeypatch.setattr("mapush.doctor.node._MINUTES", -59 / 60)
    fakes.answer("srun", srun)
    found = {finding.name: finding for finding in examine(tmp_path, False)}
    assert found[name].level == level
    for word in words:
        assert word in said(found[name])


def test_a_node_without_scontrol_cannot_requeue(fakes: Fakes, tmp_path: Path) -> None:
    fakes.answer("scontrol", "echo 'scontrol: error: no route' >&2; exit 1")
    found = {finding.name: finding for finding in examine(tmp_path, True)}
    assert found["scontrol"].level == LOSS
    assert "on n1: scontrol: no route" in found["scontrol"].what


def test_what_runs_on_a_node_is_python_3_6() -> None:
    vermin = Path(sys.executable).with_name("vermin")
    names = ("__init__", "ask", "child", "finding", "look")
    paths = [str(PROJECT / "mapush" / "doctor" / f"{name}.py") for name in names]
    words = [str(vermin), "-q", "-t=3.6-", "--no-tips", "--violations", *paths]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
