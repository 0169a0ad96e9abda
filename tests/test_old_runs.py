"""Runs, checkpoints and jobs of an earlier commit, which tests/old_runs/make.sh has made."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from mapush.evaluation.policy import read_checkpoint
from mapush.learners.config import PPOConfig
from mapush.runs.listing import open_run
from tests.support import PROJECT

pytestmark = pytest.mark.slow  # processes by the dozen

COMMITS = ["724e0bb"]
SMALL = ["--num_envs", "4"]


@pytest.fixture(params=COMMITS)
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What one commit has written; the link to its run is made here, being an absolute one."""
    with tarfile.open(PROJECT / f"tests/old_runs/{request.param}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    (job,) = tmp_path.glob("log/submit/*/")
    (job / "run").symlink_to(tmp_path / "results/11-25-05_job")
    return tmp_path


def mapush(root: Path, command: str, *words: str, code: int = 0) -> str:
    """What a command says, by its lines."""
    done = subprocess.run(
        [sys.executable, "-m", f"mapush.{command}", *words, "--root", str(root)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def steps(checkpoints: Path) -> set[str]:
    return {path.name for path in checkpoints.glob("rl_model_*_steps")}


def test_they_are_listed_with_what_became_of_them(root: Path) -> None:
    lines = {line.split()[0]: line for line in mapush(root, "runs").splitlines()}
    for name, exp, status in (
        ("11-25-05_cuboid", "cuboid", "complete"),
        ("11-25-05_job", "job", "complete"),
        ("11-25-05_stopped", "stopped", "preempted"),
    ):
        assert exp in lines[name]
        assert status in lines[name]
    assert "11-25-05-51-33_cuboid" in lines["11-25-05_job"]


@pytest.mark.parametrize("name", ["11-25-05_cuboid", "11-25-05_stopped"])
def test_they_are_shown_and_verified(root: Path, name: str) -> None:
    assert name in mapush(root, "runs", "show", name)
    assert "all good" in mapush(root, "runs", "verify", name)


def test_their_checkpoints_are_evaluated(root: Path) -> None:
    figures = root / "results/11-25-05_cuboid/success_rate.txt"
    before = figures.read_text()
    mapush(root, "test", "--run", "11-25-05_cuboid", *SMALL)
    assert figures.read_text().endswith(before)
    assert figures.read_text() != before


def test_a_stopped_one_resumes_from_its_last_checkpoint(root: Path) -> None:
    said = mapush(root, "train", "--run", "11-25-05_stopped", "--train_timesteps", "800")
    assert "80 steps done" in said
    run = root / "results/11-25-05_stopped"
    assert "rl_model_800_steps" in steps(run / "checkpoints")
    state = read_checkpoint(run / "checkpoints/rl_model_800_steps/module.pt")
    assert (state["training_step"], state["epoch"]) == (800, 10)
    assert "complete" in mapush(root, "runs", "show", "11-25-05_stopped")


def test_a_new_run_starts_from_one_of_theirs(root: Path) -> None:
    begin = root / "results/11-25-05_cuboid/checkpoints/rl_model_800_steps/module.pt"
    options = ["--exp_name", "further", "--train_timesteps", "1200"]
    said = mapush(root, "train", "--checkpoint", str(begin), *options)
    assert "begin anew" not in said
    (run,) = (root / "results").glob("*_further")
    assert "rl_model_1200_steps" in steps(run / "checkpoints")


def test_one_of_their_jobs_is_submitted_again_with_what_it_asked_for(root: Path) -> None:
    job = "11-25-05-51-33_cuboid"
    options = ["--cluster", "local", "--wait", "--train_timesteps", "1280"]
    said = mapush(root, "submit", "--job-id", job, *options, code=2)
    assert "is complete; to train on from it: " in said
    (again,) = [line for line in said.splitlines() if "--checkpoint" in line]
    assert "--exp_name job" in again
    (root / "results/11-25-05_job/run.yaml").unlink()
    mapush(root, "submit", "--job-id", job, *options)
    (new,) = [path for path in (root / "results").glob("*_job*") if path.name != "11-25-05_job"]
    assert "rl_model_1280_steps" in steps(new / "checkpoints")


def test_a_recipe_means_what_it_meant_when_the_run_began(root: Path) -> None:
    was = root / "results/11-25-05_stopped/run.yaml"
    recorded = yaml.safe_load(was.read_text())["recipe"]
    assert recorded != PPOConfig().as_dict()
    begin = root / "results/11-25-05_cuboid/checkpoints/rl_model_800_steps/module.pt"
    mapush(root, "train", "--run", "11-25-05_stopped", "--epochs", "3", "--train_timesteps", "800")
    mapush(
        root, "train", "--checkpoint", str(begin), "--exp_name", "on", "--train_timesteps", "900"
    )
    (new,) = (root / "results").glob("*_on")
    for run, now in ((was.parent, {**recorded, "epochs": 3}), (new, recorded)):
        assert yaml.safe_load((run / "run.yaml").read_text())["recipe"] == now
        last = open_run(root, run.name).entries()[-1].module
        assert read_checkpoint(last)["config"]["recipe_values"] == now
