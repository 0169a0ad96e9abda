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
from mapush.launch.profile import BATCH_SCRIPT, Profile
from tests.launch.fake_trainers import COMPLETES

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
        ("--exp cuboid --profile gone.yaml", ["gone.yaml: cannot be read"]),
        ("--exp cuboid --time 99x", ["--time '99x'", "is no time"]),
        ("--exp cuboid --time 2 --signal-lead 300", ["--time 2", "--signal-lead 300"]),
        ("--exp cuboid --memory lots", ["--memory 'lots'", "8G"]),
        ("--exp cuboid --cpus 0", ["--cpus 0", "1"]),
        ("--exp cuboid --cpus two", ["--cpus two: is no whole number"]),
        ("--exp cuboid --gpu-request tpu", ["--gpu-request 'tpu'", "'gres' or 'gpus-per-node'"]),
        ("--exp cuboid --runtime rkt", ["--runtime 'rkt'", "'podman'"]),
        ("--exp cuboid --signal KILL", ["--signal 'KILL'", "'TERM'"]),
        ("--exp cuboid --requeue perhaps", ["--requeue perhaps: is neither"]),
        ("--exp cuboid --partition=", ["--partition ''", "not empty"]),
        (
            "--exp cuboid --gpu_request gres",
            ["unknown option --gpu_request; did you mean --gpu-request?"],
        ),
        (
            "--exp cuboid --partitio low",
            ["unknown option --partitio; did you mean --partition? see python -m mapush.submit"],
        ),
        ("--exp cuboid --seeds one", ["--seeds one: is no whole number"]),
        ("--ex cuboid", ["unknown option --ex; did you mean --exp? see python -m mapush.submit"]),
        ("--exp cuboid --num-envs 3", ["unknown option --num-envs; did you mean --num_envs?"]),
        ("--exp cuboid --max_running 3", ["did you mean --max-running? see python -m mapush.sub"]),
        (
            "--exp cuboid --train_timestep=3",
            ["unknown option --train_timestep; did", "_timesteps?"],
        ),
        ("--exp cuboid --seeds -1", ["--seed -1"]),
        ("--exp cuboid --seeds 1k 1e3", ["given twice"]),
        ("--exp cuboid --num_envs -5M", ["--num_envs -5000000", "from 1"]),
        ("--exp cuboid --num_envs 2.5", ["--num_envs 2.5: is no whole number"]),
        ("--exp cuboid --seeds 1 2 --run x", ["--run", "only one job"]),
        ("--exp cuboid --root a:b", ["a:b'", "colon"]),
        ("--exp cuboid --job-id 12", ["job '12': there is none in"]),
        ("--exp cuboid --gpus -1", ["--gpus -1"]),
        ("--exp cuboid --gpus two", ["--gpus two: is no whole number"]),
        ("--exp cuboid --num_envs 0", ["--num_envs 0", "from 1"]),
        ("--exp cuboid --num_envs=0", ["--num_envs 0"]),
        ("--exp cuboid --num_envs many", ["--num_envs many: is no whole number"]),
        ("--exp cuboid --train_timesteps -5", ["--train_timesteps -5"]),
        ("--exp cuboid --save_freq 0", ["--save_freq 0"]),
        ("--exp cuboid --sim bullet", ["--sim 'bullet'", "mujoco"]),
        ("--exp cuboid --learner best", ["--learner 'best'", "native"]),
        ("--exp cuboid --recipe secret", ["--recipe 'secret'", "default"]),
        ("--exp cuboid --exp_name a/b", ["--exp_name 'a/b'"]),
        ("--exp cuboid --checkpoint gone.pt", ["gone.pt: is not there"]),
        ("--exp cuboid --cluster moon", ["--cluster 'moon': there are: auto, slurm, local"]),
        ("--exp cuboid --cluster slrum", ["--cluster 'slrum': did you mean slurm?"]),
        ("cuboid", ["cuboid: follows no option"]),
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


def test_the_help_lists_the_options(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # a narrower help breaks lines at hyphens
    with pytest.raises(SystemExit) as caught:
        submit.main(["--help"])
    assert caught.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    own = "exp seeds job-id again root cluster gpus nodes max-running after wait dry-run profile"
    fields = [name.replace("_", "-") for name in Profile.model_fields]
    for option in (*own.split(), *fields):
        assert f" --{option} " in shown.replace("]", " ").replace("[", " ")
    # Each field says what it is, and its default.
    for field in Profile.model_fields.values():
        default = "none" if field.default in (None, ()) else field.default
        if field.is_required():
            default = f"as in {BATCH_SCRIPT}"
        assert f"{field.description} (default: {default})" in shown


@pytest.mark.parametrize(
    ("options", "tails"),
    [
        ("--exp cuboid", [""]),
        ("--exp cuboid --seed 7", [" --seed 7"]),
        ("--exp cuboid --seeds 7", [" --seed 7"]),
        ("--exp cuboid --seeds 1k", [" --seed 1000"]),
        ("--exp cuboid --num_envs 1e2", [" --num_envs 1e2"]),
        ("--exp cuboid --seeds 1 2 --sim mujoco", [f" --sim mujoco --seed {n}" for n in (1, 2)]),
        ("--exp cuboid cylinder", ["", ""]),
        ("--exp cuboid cylinder --seeds 1 2", [" --seed 1", " --seed 2", " --seed 1", " --seed 2"]),
        ("--exp cuboid --checkpoint a.pt", [" --checkpoint {here}/a.pt"]),
        ("--exp cuboid --checkpoint=a.pt", [" --checkpoint={here}/a.pt"]),
        ("--exp cuboid --run task", [" --run {here}/task"]),
        ("--exp cuboid --run 11-23-18_cuboid", [" --run 11-23-18_cuboid"]),
    ],
)  # fmt: skip
def test_each_run_gets_the_trainers_options_with_paths_in_full(
    options: str, tails: List[str], workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "a.pt").touch()
    submit.main(["--cluster", "local", "--dry-run", *options.split()])
    printed = capsys.readouterr().out.splitlines()
    lines = [line for line in printed if not line.startswith("# ")]
    assert len(lines) == len(tails)
    for line, tail in zip(lines, tails):
        assert line.partition(" --root ")[2] == f"{workplace}{tail.format(here=workplace)}"
    assert sorted(os.listdir(workplace)) == ["a.pt", "task"]


def test_the_root_is_that_of_the_environment_unless_given(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAPUSH_ROOT", "some where")
    submit.main(["--cluster", "local", "--dry-run", "--exp", "cuboid"])
    assert f" --root '{workplace}/some where'\n" in capsys.readouterr().out
    submit.main(["--cluster", "local", "--dry-run", "--exp", "cuboid", "--root", "/elsewhere"])
    assert " --root /elsewhere\n" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("", []),
        ("--gpus 1 --sim mujoco", ["--sim mujoco runs on the CPU: --gpus 1 changes nothing"]),
        ("--partition low --time 60", ["--partition, --time changes nothing"]),
        ("--max-failures 3", []),
    ],
)
def test_what_a_user_may_not_expect_is_said(
    options: str, words: List[str], workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = workplace / "task" / "cuboid" / "train.sh"
    script.write_text(COMPLETES, encoding="utf-8")
    command = f"--exp cuboid --cluster local --wait {options}".split()
    assert submit.main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    said = lines[: next(i for i, line in enumerate(lines) if line.startswith("job"))]
    assert len(said) == len(words)
    for line, word in zip(said, words):
        assert word in line
