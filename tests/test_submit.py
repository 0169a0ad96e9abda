from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest

from mapush import submit
from mapush.errors import MapushError

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(name="workplace")
def empty_workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the task folders and nothing else."""
    shutil.copytree(REPOSITORY / "task", tmp_path / "task")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MAPUSH_ROOT", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("", ["--exp", "required"]),
        ("--exp sphere", ["'sphere'", "Tblock, cuboid, cylinder"]),
        ("--exp ../task/cuboid", ["'../task/cuboid'", "there are"]),
        ("--exp cuboid --gpus 2", ["--gpus 2", "ask for 1"]),
        ("--exp cuboid --gpus -1", ["--gpus -1"]),
        ("--exp cuboid --gpus two", ["--gpus", "'two'"]),
        ("--exp cuboid --num_envs 0", ["--num_envs 0", "from 1"]),
        ("--exp cuboid --num_envs=0", ["--num_envs 0"]),
        ("--exp cuboid --num_envs many", ["--num_envs", "'many'"]),
        ("--exp cuboid --train_timesteps -5", ["--train_timesteps -5"]),
        ("--exp cuboid --save_freq 0", ["--save_freq 0"]),
        ("--exp cuboid --sim bullet", ["--sim 'bullet'", "mujoco"]),
        ("--exp cuboid --learner best", ["--learner 'best'", "native"]),
        ("--exp cuboid --recipe secret", ["--recipe 'secret'", "default"]),
        ("--exp cuboid --exp_name a/b", ["--exp_name 'a/b'"]),
        ("--exp cuboid --checkpoint gone.pt", ["--checkpoint gone.pt"]),
        ("--exp cuboid --cluster moon", ["--cluster", "'moon'", "local"]),
        ("--exp cuboid --job-id ../other", ["--job-id '../other'"]),
        ("--exp cuboid --root task/cuboid/config.py", ["config.py", "move it away"]),
    ],
)
def test_a_wrong_request_is_one_line_with_exit_code_2_and_writes_nothing(
    options: str, words: List[str], workplace: Path
) -> None:
    with pytest.raises(MapushError) as caught:
        submit.main(options.split())
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)
    assert os.listdir(workplace) == ["task"]


def test_a_task_folder_without_its_script_is_refused(workplace: Path) -> None:
    (workplace / "task" / "cuboid" / "train.sh").unlink()
    with pytest.raises(MapushError, match=r"train\.sh: is missing"):
        submit.main(["--exp", "cuboid"])


def test_a_wrong_task_is_refused_before_anything_starts(workplace: Path) -> None:
    (workplace / "task" / "cuboid" / "config.py").write_text("task = 3\n", encoding="utf-8")
    with pytest.raises(MapushError, match="PushTask"):
        submit.main(["--exp", "cuboid"])
    assert os.listdir(workplace) == ["task"]


def test_the_command_prints_one_line_and_no_traceback(workplace: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "mapush.submit", "--exp", "sphere"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert len(ended.stderr.splitlines()) == 1


def test_the_help_lists_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        submit.main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    for option in ("--exp", "--gpus", "--wait", "--root", "--cluster", "--job-id"):
        assert option in shown


@pytest.mark.parametrize(
    ("sbatch", "gpus", "words"),
    [
        (False, 0, []),
        (False, 1, ["runs on the CPU, --gpus 1 changes nothing"]),
        (True, 0, ["this version runs jobs on this machine only"]),
    ],
)
def test_what_a_user_may_not_expect_is_said(
    sbatch: bool, gpus: int, words: List[str], workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(workplace))
    if sbatch:
        (workplace / "sbatch").write_text("#!/bin/sh\n", encoding="utf-8")
        (workplace / "sbatch").chmod(0o755)
    lines = submit.remarks(gpus)
    assert len(lines) == len(words)
    for line, word in zip(lines, words):
        assert word in line
