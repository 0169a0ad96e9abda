"""The command, end to end, on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

from mapush import doctor
from mapush.diagnosis.finding import LEVELS, LOSS, NOTE, OK, WARNING, Finding
from mapush.diagnosis.report import verdict
from mapush.errors import MapushError
from tests.support import PROJECT


def run(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mapush.doctor", "--cluster", "local", *options],
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_sound_machine_is_told_so_by_section_and_nothing_is_left(tmp_path: Path) -> None:
    done = run("--root", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("verdict: nothing found")
    for section in ("storage", "machine", "container"):
        assert section in lines
    assert "\x1b" not in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_what_would_lose_work_ends_with_1_and_says_cost_and_mend(tmp_path: Path) -> None:
    done = run("--root", "/proc/mapush")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("verdict: a run would fail or lose work: storage: root")
    (at,) = [number for number, line in enumerate(lines) if line.split()[:2] == ["loss", "root"]]
    assert lines[at + 1].split()[0] == "costs"
    assert lines[at + 2].split()[0] == "mend"


def test_json_is_for_programs(tmp_path: Path) -> None:
    done = run("--root", str(tmp_path), "--json")
    content: Dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode, content["loses_work"]) == (0, False)
    for finding in content["findings"]:
        assert set(finding) == {"section", "name", "level", "what", "cost", "mend"}
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


def test_slurm_that_is_asked_for_and_not_there_is_a_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    for tool in ("bash", "env"):
        (tmp_path / "bin" / tool).symlink_to(f"/usr/bin/{tool}")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert doctor.main(["--cluster", "slurm", "--root", str(tmp_path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    assert {f["name"]: f["level"] for f in found if f["section"] == "slurm"} == {
        **dict.fromkeys(("sbatch", "scontrol", "srun", "squeue"), LOSS),
        "scancel": WARNING,
    }


def test_verdicts() -> None:
    fine, note = Finding("a", "b", OK, "x"), Finding("a", "c", NOTE, "x")
    loss = Finding("storage", "space", LOSS, "x")
    assert verdict([fine]) == "nothing found by which a run would fail or lose work"
    assert verdict([fine, note, note]).endswith("(2 notes)")
    assert verdict([note, loss, loss]).endswith("lose work: storage: space (1 note)")
