"""The main job as a user starts it: submitted, killed on its way, evaluated, in its directory."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from tests.support import PROJECT, SMALL, differences, learned_scalars, only_run, run_train

pytestmark = pytest.mark.slow


def final_state(root: Path) -> dict:
    path = only_run(root) / "checkpoints" / "rl_model_4000_steps" / "module.pt"
    return torch.load(path, weights_only=True)


def test_a_submitted_job_whose_trainer_is_killed_ends_as_if_nothing_had_happened(
    tmp_path: Path,
) -> None:
    reference, root = tmp_path / "reference", tmp_path / "root"
    assert run_train(reference).returncode == 0
    command = [sys.executable, "-m", "mapush.submit", "--cluster", "local", *SMALL, "--wait"]
    command += ["--root", str(root)]
    shown = []
    with subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as job:
        assert job.stdout is not None
        killed = False
        for line in job.stdout:
            shown.append(line)
            if "/ 4,000 steps" in line and not killed:
                owner = yaml.safe_load((only_run(root) / "run.yaml").read_text())["owner"]
                os.kill(owner["pid"], signal.SIGKILL)
                killed = True
    text = "".join(shown)
    assert killed, text
    assert job.returncode == 0, text
    run = only_run(root)
    assert f"results   {run}\n" in text
    assert re.search(r"success rate: 0\.\d{4} \(95% interval .* 4 episodes\)", text)
    assert differences(final_state(root), final_state(reference)) == []
    learned = learned_scalars(only_run(reference) / "tensorboard")
    assert learned_scalars(run / "tensorboard") == learned
    record = yaml.safe_load((run / "run.yaml").read_text())
    assert record["status"] == "complete"
    assert [each["signal"] for each in record["interruptions"]] == ["killed"]
    assert {path.name for path in run.iterdir()} == {
        "checkpoints",
        "task",
        "tensorboard",
        "log.txt",
        "metrics.jsonl",
        "success_rate.txt",
        "run.yaml",
    }
    assert {path.name for path in (run / "task").iterdir()} == {"config.py", "train.sh"}


def test_every_checkpoint_of_a_run_is_evaluated_once(tmp_path: Path) -> None:
    small = ["--train_timesteps", "800", "--eval_freq", "0", "--final_envs", "0"]
    assert run_train(tmp_path, *small).returncode == 0
    run = only_run(tmp_path)
    command = [sys.executable, "-m", "mapush.test", "--run", str(run), "--num_envs", "5"]
    shown = []
    for _ in range(2):
        done = subprocess.run(
            command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=True
        )
        shown.append(done.stdout)
    names = ["rl_model_400_steps", "rl_model_800_steps"]
    assert [line for line in (run / "success_rate.txt").read_text().splitlines() if line in names]
    assert all(f"{name}: success rate" in shown[0] for name in names)
    assert all(f"{name}: done before" in shown[1] for name in names)
