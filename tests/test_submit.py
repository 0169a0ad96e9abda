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
        ("", ["--exp is missing"]),
        ("--exp sphere", ["'sphere'", "Tblock, cuboid, cylinder"]),
        ("--exp ../task/cuboid", ["'../task/cuboid'", "there are"]),
        ("--exp cuboid --gpus 2", ["--gpus 2", "one GPU of one node"]),
        ("--exp cuboid --gpus 9", ["--gpus 9", "one GPU of one node"]),
        ("--exp cuboid --nodes 2", ["--nodes 2", "one GPU of one node"]),
        ("--exp cuboid cuboid", ["given twice"]),
        ("--exp cuboid --seeds 1 1", ["given twice"]),
        ("--exp cuboid --seeds 1 2 --seed 3", ["--seed and --seeds"]),
        ("--exp cuboid cylinder --exp_name x", ["--exp_name"]),
        ("--exp cuboid cylinder --run x", ["--run"]),
        ("--exp cuboid --max-running 0", ["--max-running 0"]),
        ("--exp cuboid --after 12", ["'12'"]),
        ("--exp cuboid --profile moon", ["--profile 'moon'", "default"]),
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
        ("--exp cuboid --checkpoint gone.pt", ["gone.pt: is not there"]),
        ("--exp cuboid --cluster moon", ["--cluster", "'moon'", "local"]),
        ("--exp cuboid --job-id ../other", ["'../other'", "there is none"]),
        ("--exp cuboid --root task/cuboid/config.py", ["config.py", "move it away"]),
    ],
)
def test_a_wrong_request_is_one_line_with_exit_code_2_and_writes_nothing(
    options: str, words: List[str], workplace: Path
) -> None:
    with pytest.raises(MapushError) as caught:
        submit.main(["--cluster", "local", *options.split()])
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
    ("options", "words"),
    [
        ("", []),
        ("--gpus 1", ["runs on the CPU, --gpus 1 changes nothing"]),
        ("--partition low --time 60", ["--partition, --time changes nothing"]),
        ("--max-failures 3", []),
    ],
)
def test_what_a_user_may_not_expect_is_said(
    options: str, words: List[str], workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = workplace / "task" / "cuboid" / "train.sh"
    script.write_text("exit 0\n", encoding="utf-8")
    command = f"--exp cuboid --cluster local --wait {options}".split()
    assert submit.main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    said = lines[: next(i for i, line in enumerate(lines) if line.startswith("job"))]
    assert len(said) == len(words)
    for line, word in zip(said, words):
        assert word in line
