"""A task and a simulator of somebody else's, in the commands of mapush as it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

import pytest
import torch

from tests.support import PROJECT, differences, only_run

TOYS = Path(__file__).resolve().parent
CONFIG = 'from toy_point import PointTask\n\ntask = PointTask(name="point", distance=1.2)\n'
SIZE = (
    "--num_envs 16 --decisions 10 --train_timesteps 24000 --save_freq 8000 --eval_freq 8000 "
    "--eval_envs 8 --final_envs 8 --keep all"
).split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of a user's own, with a task folder."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "task" / "point").mkdir(parents=True)
    (folder / "task" / "point" / "config.py").write_text(CONFIG)
    (folder / "task" / "cuboid").symlink_to(PROJECT / "task" / "cuboid")
    return folder


def environment(plugins: str, job: str = "") -> Dict[str, str]:
    path = os.pathsep.join((str(PROJECT), str(TOYS)))
    return {**os.environ, "PYTHONPATH": path, "MAPUSH_PLUGINS": plugins, "MAPUSH_JOB_ID": job}


def command(name: str, *words: str) -> List[str]:
    return [sys.executable, "-m", f"mapush.{name}", *words]


def run(
    name: str, *words: str, folder: Path, plugins: str, job: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(name, *words),
        cwd=folder,
        env=environment(plugins, job),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def interrupt(words: List[str], folder: Path, plugins: str, job: str) -> int:
    """Train until the first evaluation, then stop with SIGTERM."""
    with subprocess.Popen(
        words, cwd=folder, env=environment(plugins, job), stdout=subprocess.PIPE, text=True
    ) as trainer:
        assert trainer.stdout is not None
        for line in trainer.stdout:
            if line.startswith("evaluation at"):
                trainer.send_signal(signal.SIGTERM)
                break
        trainer.stdout.read()
    return trainer.returncode


def last_state(root: Path) -> Dict[str, torch.Tensor]:
    path = only_run(root) / "checkpoints" / "rl_model_24000_steps" / "module.pt"
    return torch.load(path, weights_only=True)


CASES = [
    pytest.param("point", "mujoco", "toy_point", id="a task"),
    pytest.param("cuboid", "toy", "toy_kinematics", id="a simulator"),
    pytest.param("point", "toy", "toy_point,toy_kinematics", id="both"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("exp", "sim", "plugins"), CASES)
def test_a_toy_trains_is_interrupted_resumes_to_the_bit_and_is_evaluated(
    exp: str, sim: str, plugins: str, folder: Path, tmp_path: Path
) -> None:
    if sim == "mujoco":
        pytest.importorskip("mjbatch", reason="needs the mujoco extra")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    words = ["--exp", exp, "--sim", sim, *SIZE]
    done = run("train", *words, "--root", str(whole), folder=folder, plugins=plugins)
    assert done.returncode == 0, done.stderr
    again = command("train", *words, "--root", str(broken))
    assert interrupt(again, folder, plugins, "job-1") == 75
    done = run("train", *words, "--root", str(broken), folder=folder, plugins=plugins, job="job-1")
    assert done.returncode == 0, done.stderr
    assert differences(last_state(broken), last_state(whole)) == []
    figures = (only_run(whole) / "success_rate.txt").read_text()
    assert (only_run(broken) / "success_rate.txt").read_text() == figures
    assert ("collision degree" in figures) == (exp == "cuboid")
    listed = only_run(whole).name
    tested = run(
        *("test", "--run", listed, "--root", str(whole), "--sim", sim, "--num_envs", "12"),
        folder=folder,
        plugins=plugins,
    )
    assert tested.returncode == 0, tested.stderr
    assert tested.stdout.count("success rate") == len(
        list((only_run(whole) / "checkpoints").glob("rl_model_*"))
    )
    log = (only_run(whole) / "log.txt").read_text()
    assert ("progress_reward" in log) == (exp == "point")


@pytest.mark.slow
def test_a_task_of_a_plugin_that_is_not_named_is_refused_in_one_line(folder: Path) -> None:
    done = run("train", "--exp", "point", folder=folder, plugins="")
    assert done.returncode == 2
    assert "config.py:3: only Arena" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["train", "test"])
def test_a_plugin_that_is_not_there_is_refused_in_one_line(name: str, folder: Path) -> None:
    words = ["--exp", "point", *(["--checkpoint", "module.pt"] if name == "test" else [])]
    done = run(name, *words, folder=folder, plugins="toy_piont")
    assert done.returncode == 2
    assert "MAPUSH_PLUGINS: cannot import the plugin 'toy_piont'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_toy_is_trained_as_a_job_of_the_launcher(folder: Path, tmp_path: Path) -> None:
    script = (PROJECT / "task/cuboid/train.sh").read_text().replace("--exp cuboid", "--exp point")
    (folder / "task/point/train.sh").write_text(script)
    words = ["--cluster", "local", "--wait", "--exp", "point", "--sim", "toy", *SIZE]
    plugins = "toy_point,toy_kinematics"
    done = run("submit", *words, "--root", str(tmp_path), folder=folder, plugins=plugins)
    assert done.returncode == 0, done.stdout + done.stderr
    assert last_state(tmp_path)["training_step"] == 24000
