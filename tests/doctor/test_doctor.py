"""The command, end to end, on this machine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

from mapush.doctor import __main__ as doctor
from mapush.doctor.finding import LEVELS, LOSS, NOTE, OK, WARNING, Finding
from mapush.doctor.question import _MODULES, _OF_LEARNERS
from mapush.doctor.report import verdict
from mapush.errors import MapushError
from mapush.simulators import known_simulators, simulator_kind
from tests.doctor.fakes import Fakes
from tests.support import PROJECT

pytestmark = pytest.mark.slow  # processes by the dozen


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trainer that needs no package, whose import would take seconds."""
    monkeypatch.setattr("mapush.doctor.question._MODULES", {"json": "json"})
    monkeypatch.setattr("mapush.doctor.question._more_modules", lambda _: {})


def test_a_sound_machine_is_told_so_by_section_and_nothing_is_left(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "mapush.doctor", "--cluster", "local", "--root", str(tmp_path)]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("verdict: nothing found")
    for section in ("environment", "machine", "storage"):
        assert section in lines
    assert "\x1b" not in done.stdout
    assert any(line.split()[:2] == ["ok", "packages"] and "torch" in line for line in lines)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("light")
def test_what_would_lose_work_ends_with_1_and_says_cost_and_fix(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert doctor.main(["--cluster", "local", "--root", "/proc/mapush"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("verdict: a run would fail or lose work: storage: root")
    (at,) = [number for number, line in enumerate(lines) if line.split()[:2] == ["loss", "root"]]
    assert lines[at + 1].split()[0] == "costs"
    assert lines[at + 2].split()[0] == "fix"


@pytest.mark.usefixtures("light")
def test_json_is_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["--cluster", "local", "--root", str(tmp_path), "--json"]) == 0
    content: Dict[str, Any] = json.loads(capsys.readouterr().out)
    assert content["loses_work"] is False
    for finding in content["findings"]:
        assert set(finding) == {"section", "name", "level", "what", "cost", "fix", "seconds"}
        assert finding["level"] in LEVELS
        assert finding["level"] in (OK, NOTE) or finding["cost"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--profile moon", ["--profile 'moon'", "there are"]),
        ("--cpus 0", ["--cpus 0"]),
        ("--gpus -1", ["--gpus -1"]),
        ("--runs 0", ["--runs 0"]),
        ("--keep newest", ["--keep"]),
        ("--num_envs 0", ["--num_envs 0"]),
        ("--hidden_size 0", ["--hidden_size 0"]),
        ("--on-node", ["--on-node"]),
        ("--node-wait 0", ["--node-wait 0"]),
        ("--moon", ["unknown option --moon; see python -m mapush.doctor --help"]),
        ("--on_node", ["unknown option --on_node; did you mean --on-node?"]),
        ("--cpus 1.5k --gpus -1k", ["--gpus -1000"]),
    ],
)
def test_a_wrong_request_is_one_line_and_ends_with_2(options: str, words: List[str]) -> None:
    with pytest.raises(MapushError) as caught:
        doctor.main(["--cluster", "local", *options.split()])
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.usefixtures("light")
def test_slurm_that_is_asked_for_and_not_there_is_a_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("mapush.launch.node.slurm._PLACES", ())
    assert doctor.main(["--cluster", "slurm", "--root", str(tmp_path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    commands = ("sbatch", "srun", "scontrol", "squeue", "scancel")
    slurm = {f["name"]: f["level"] for f in found if f["section"] == "slurm"}
    assert slurm == dict.fromkeys(commands, LOSS)


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize(
    ("options", "level", "words"),
    [
        ("--sim mujoco --gpus 1", NOTE, "--sim mujoco runs on the CPU"),
        ("--gpus 1", "", ""),
        ("", "", ""),
        ("--sim isaacgym", LOSS, "--sim isaacgym runs on a GPU, and none is asked for"),
        ("--sim isaacgym --device cpu", "", ""),
        ("--sim isaacgym --gpus 1", "", ""),
    ],
)
def test_what_a_simulator_does_with_a_gpu_is_told(
    options: str,
    level: str,
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    doctor.main(["--cluster", "local", "--root", str(tmp_path), "--json", *options.split()])
    found = json.loads(capsys.readouterr().out)["findings"]
    told = [(f["level"], words in f["what"]) for f in found if f["section"] == "job"]
    assert told == ([(level, True)] if level else [])


@pytest.mark.usefixtures("light")
def test_what_a_login_node_lacks_the_nodes_need_not_lack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in Fakes(tmp_path).environment().items():
        monkeypatch.setenv(name, value)
    root = tmp_path / "root"
    words = ["--cluster", "slurm", "--root", str(root), "--json", "--python", "/nosuch"]
    doctor.main(words)
    found = json.loads(capsys.readouterr().out)["findings"]
    (python,) = [f for f in found if f["name"] == "Python"]
    assert (python["section"], python["level"]) == ("machine", WARNING)
    assert "--on-node looks there" in python["cost"]
    doctor.main([*words, "--on-node"])
    found = json.loads(capsys.readouterr().out)["findings"]
    (python,) = [f for f in found if f["name"] == "Python"]
    assert (python["section"], python["level"]) == ("node", LOSS)


def test_the_packages_are_those_of_the_project() -> None:
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    required = re.findall(r'"([a-z]+)>=', text.partition("dependencies")[2].partition("]")[0])
    assert sorted([*_MODULES.values(), "submitit"]) == sorted(required)  # that starts a trainer
    simulators = [simulator_kind(name).modules for name in known_simulators()]
    for packages in [*simulators, *_OF_LEARNERS.values()]:
        assert all(re.search(rf'"{package}[>=]=', text) for package in packages.values())


def test_verdicts() -> None:
    fine, note = Finding("a", "b", OK, "x"), Finding("a", "c", NOTE, "x")
    loss = Finding("storage", "space", LOSS, "x")
    assert verdict([fine]) == "nothing found by which a run would fail or lose work"
    assert verdict([fine, note, note]).endswith("(2 notes)")
    assert verdict([note, loss, loss]).endswith("lose work: storage: space (1 note)")
