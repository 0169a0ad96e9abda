"""The trainer on `--sim isaacgym`, with the double: trained, killed, gone on with, evaluated."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict

import pytest
import torch
import yaml
from gym_doubles import environment, project, robot_assets

from tests.support import PROJECT, only_run, train_command

pytestmark = pytest.mark.slow

__all__ = ["environment", "project", "robot_assets"]

OPTIONS = "--sim isaacgym --device cpu --exp short --eval_freq 0 --final_envs 0".split()


def run(command: Any, environment: Dict[str, str], folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_trains_evaluates_and_is_evaluated_again(
    environment: Dict[str, str], project: Path, tmp_path: Path
) -> None:
    options = [*OPTIONS, "--train_timesteps", "800", "--num_envs", "10", "--save_freq", "200"]
    evaluating = ["--eval_freq", "400", "--eval_envs", "3", "--final_envs", "12"]
    done = run(train_command(tmp_path, *options, *evaluating), environment, project)
    assert done.returncode == 0, done.stderr
    assert "evaluation at 400 steps" in done.stdout
    home = only_run(tmp_path)
    known = yaml.safe_load((home / "run.yaml").read_text())
    assert known["status"] == "complete"
    assert known["settings"]["sim"] == "isaacgym"
    module = home / "checkpoints" / "rl_model_800_steps" / "module.pt"
    state = torch.load(module, weights_only=True)
    assert state["environment_state"]["simulator"]["root"].shape == (10, 5, 13)
    assert (home / "success_rate.txt").is_file()
    test = [sys.executable, "-m", "mapush.test", "--sim", "isaacgym", "--device", "cpu"]
    done = run([*test, "--checkpoint", str(module), "--num_envs", "3"], environment, project)
    assert done.returncode == 0, done.stderr
    assert "success rate" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_was_stopped_goes_on(
    number: signal.Signals, environment: Dict[str, str], project: Path, tmp_path: Path
) -> None:
    options = [*OPTIONS, "--keep", "all"]
    with subprocess.Popen(
        train_command(tmp_path, *options, "--train_timesteps", "1000000"),
        cwd=project,
        env=environment,
        stdout=subprocess.DEVNULL,
    ) as victim:
        until = time.monotonic() + 120
        while not list((tmp_path / "log").glob("*/*/*/checkpoints/rl_model_800_steps")):
            assert victim.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
        victim.send_signal(number)
    assert victim.returncode == {signal.SIGKILL: -9, signal.SIGTERM: 75}[number]
    (live,) = (tmp_path / "log" / "MQE" / "go1push_mid").iterdir()
    saved = max(
        int(path.name.split("_")[2]) for path in (live / "checkpoints").glob("rl_model_*_steps")
    )
    # Another total is another request, so the run is named.
    more = ["--run", only_run(tmp_path).name, "--train_timesteps", str(saved + 800)]
    done = run(
        train_command(tmp_path, *options, *more),
        environment,
        project,
    )
    assert done.returncode == 0, done.stderr
    home = only_run(tmp_path)
    names = {path.name for path in (home / "checkpoints").iterdir()}
    assert {f"rl_model_{saved + more}_steps" for more in (0, 400, 800)} <= names
    known = yaml.safe_load((home / "run.yaml").read_text())
    assert known["status"] == "complete"
    assert len(known["interruptions"]) == 1


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        ({"PYTHONPATH": str(PROJECT)}, [], "isaacgym is not installed"),
        ({"MAPUSH_ASSETS": "/nowhere"}, [], "/nowhere/runs/gait-conditioned-agility"),
        ({}, ["--device", "auto"], "no GPU can be used"),
        ({}, ["--sim_options", "pairs=2"], "--sim_options 'pairs=2'"),
    ],
)
def test_what_is_missing_is_one_line_and_leaves_nothing_behind(
    change: Dict[str, str],
    options: list,
    says: str,
    environment: Dict[str, str],
    project: Path,
    tmp_path: Path,
) -> None:
    command = train_command(tmp_path / "root", *OPTIONS, *options)
    done = run(command, {**environment, **change}, project)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "root").exists()
