"""The environment that sbatch gets, which it hands on to the job."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from fake_trainers import experiment
from login_node import ID, LoginNode

from mapush.errors import RequestError
from mapush.launch.jobs import known_jobs
from mapush.launch.node import slurm
from mapush.submit import main as submit

SEND = ["--exp", "cuboid", "--cluster", "slurm"]


@pytest.fixture(name="login")
def login_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoginNode:
    experiment(tmp_path / "here", "exit 0")
    monkeypatch.chdir(tmp_path / "here")
    for name in list(os.environ):
        if slurm.is_foreign(name):
            monkeypatch.delenv(name)
    return LoginNode(tmp_path / "slurm", monkeypatch)


FOREIGN = {
    # Of the job that the command runs in.
    "SLURM_JOB_ID": "4711",
    "SLURM_JOBID": "4711",
    "SLURM_ARRAY_TASK_ID": "3",
    "SLURM_ARRAY_JOB_ID": "4711",
    "SLURM_RESTART_COUNT": "7",
    "SLURM_NTASKS": "64",
    "SLURM_MEM_PER_CPU": "1",
    "SLURM_MEM_PER_NODE": "1",
    "SLURM_CPU_BIND": "quiet,mask_cpu:0x1",
    "SLURM_SUBMIT_DIR": "/elsewhere",
    "SLURM_STEP_ID": "0",
    "SLURMD_NODENAME": "n7",
    "CUDA_VISIBLE_DEVICES": "2",
    "ROCR_VISIBLE_DEVICES": "2",
    # Of the job of mapush that it runs in.
    "MAPUSH_JOB_ID": "11-23-18-12-45_cuboid",
    "MAPUSH_RUN_LINK": "/elsewhere/run",
    "MAPUSH_RESTART_COUNT": "5",
    "MAPUSH_CONTAINER": "/elsewhere.sif",
    "MAPUSH_CODE": "/elsewhere/code",
    # What changes what SLURM's commands do and print.
    "SBATCH_PARTITION": "moon",
    "SBATCH_EXPORT": "NONE",
    "SBATCH_NO_REQUEUE": "1",
    "SBATCH_OUTPUT": "/dev/null",
    "SQUEUE_FORMAT": "%j",
    "SQUEUE_STATES": "PENDING",
    "SLURM_TIME_FORMAT": "relative",
    "SLURM_EXIT_ERROR": "75",
    "SLURM_EXPORT_ENV": "NONE",
    "SRUN_CONTAINER": "/elsewhere",
    "SALLOC_ACCOUNT": "moon",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_slurm_or_another_job_has_set_does_not_reach_a_command(
    name: str, login: LoginNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, FOREIGN[name])
    assert submit(SEND) == 0
    for command in ("sbatch", *(["squeue"] if slurm.is_foreign(name) else [])):
        assert not [each for each in login.environment(command) if each.endswith(name)]
    assert known_jobs(Path())[0].slurm_id() == ID
    assert os.environ[name] == FOREIGN[name]  # of this process


KEPT = {
    "SLURM_CONF": "/etc/other/slurm.conf",
    "SLURM_CLUSTERS": "x",
    "SLURM_JWT": "token",
    "SBATCH_CLUSTERS": "x",
    "PYTHONPATH": "/my/python",
    "FOO": "two words\nand 'quotes' $HOME é",
    "WANDB_API_KEY": "secret",
    "HTTPS_PROXY": "http://proxy:3128",
    "MAPUSH_ANYTHING": "else",
}


@pytest.mark.parametrize("name", KEPT)
def test_the_users_own_and_what_says_which_cluster_is_meant_reach_sbatch(
    name: str, login: LoginNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, KEPT[name])
    assert submit(SEND) == 0
    assert login.environment()[name] == KEPT[name]


ASIDE = {
    "BASH_ENV": "/tmp/gone.sh",
    "ENV": "/tmp/gone.sh",
    "LD_LIBRARY_PATH": "/tmp/gone",
    "LD_PRELOAD": "",
    "BASH_FUNC_module%%": "() { echo module; }",
    "BASH_FUNC_exec%%": "() { echo exec; }",
}


@pytest.mark.parametrize("name", ASIDE)
def test_what_would_change_the_way_to_the_users_shell_waits_under_another_name(
    name: str, login: LoginNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, ASIDE[name])
    assert submit(SEND) == 0
    found = login.environment()
    assert name not in found
    assert found[f"MAPUSH_KEPT_{name}"] == ASIDE[name]
    assert f"BASH_FUNC_MAPUSH_KEPT_{name}" not in found


def test_variables_for_sbatch_are_told_in_one_line(
    login: LoginNode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SBATCH_PARTITION", "moon")
    monkeypatch.setenv("SBATCH_ACCOUNT", "x")
    monkeypatch.setenv("SBATCH_CLUSTERS", "c")
    monkeypatch.setenv("SQUEUE_FORMAT", "%j")
    assert submit(SEND) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "not taken from the environment: SBATCH_ACCOUNT=x, SBATCH_PARTITION=moon; the profile and "
        "the options say what the job asks for"
    )
    assert [line for line in lines if "SBATCH" in line] == lines[:1]


def test_without_such_variables_nothing_is_told(
    login: LoginNode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(SEND) == 0
    assert capsys.readouterr().out.startswith("job ")


def test_slurm_beside_the_path_is_found(
    login: LoginNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("bash", "cat", "cp", "env"):
        (bare / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(bare))
    monkeypatch.setattr(slurm, "_PLACES", (str(login.place / "bin"),))
    assert submit(["--exp", "cuboid"]) == 0
    assert known_jobs(Path())[0].slurm_id() == ID


def test_where_there_is_no_slurm_it_is_refused_and_auto_is_this_machine(
    login: LoginNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "bash").symlink_to("/bin/bash")
    monkeypatch.setenv("PATH", str(tmp_path / "bare"))
    monkeypatch.setattr(slurm, "_PLACES", ())
    with pytest.raises(RequestError, match="there is no sbatch here; submit on a login node"):
        submit(SEND)
    assert submit(["--exp", "cuboid", "--dry-run"]) == 0
    assert "#SBATCH" not in capsys.readouterr().out
    assert os.listdir() == ["task"]


def test_without_srun_beside_sbatch_the_job_is_refused_and_leaves_nothing(
    login: LoginNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = login.place / "bin"
    (place / "srun").unlink()
    for name in ("bash", "cat", "cp", "env"):
        (place / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(place))
    monkeypatch.setattr(slurm, "_PLACES", ())
    with pytest.raises(RequestError, match="srun: not found beside sbatch"):
        submit(SEND)
    assert os.listdir(Path("log", "submit")) == ["code"]
