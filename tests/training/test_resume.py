"""An interrupted and resumed run is the uninterrupted run, to the bit."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Callable, List

import pytest
import torch

from mapush.environment.fused.environment import FusedEnvironment
from mapush.learners.ppo import PPOLearner
from mapush.simulators.planar.launch import Launcher
from mapush.train import main
from tests.support import (
    PROJECT,
    SMALL,
    differences,
    learned_scalars,
    only_run,
    run_train,
    train_command,
)

FINAL = "rl_model_4000_steps"


def final_state(root: Path) -> dict:
    path = only_run(root) / "checkpoints" / FINAL / "module.pt"
    return torch.load(path, weights_only=True)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("uninterrupted")
    done = run_train(root)
    assert done.returncode == 0, done.stderr
    return root


def assert_same_run(root: Path, reference: Path) -> None:
    """Weights, optimiser, generators, episodes in flight, and every learned curve."""
    assert differences(final_state(root), final_state(reference)) == []
    curves = learned_scalars(only_run(root) / "tensorboard")
    expected = learned_scalars(only_run(reference) / "tensorboard")
    assert curves == expected
    returns = expected["train/average_step_reward"]
    assert [step for step, _ in returns] == list(range(400, 4001, 400))
    names = sorted(path.name for path in (only_run(root) / "checkpoints").iterdir())
    wanted = sorted(path.name for path in (only_run(reference) / "checkpoints").iterdir())
    assert names == wanted


def signal_at(
    monkeypatch: pytest.MonkeyPatch, owner: type, method: str, call: int, number: int
) -> None:
    """Send this process a signal in the middle of the run: before the `call`-th call."""
    original: Callable = getattr(owner, method)
    calls: List[None] = []

    def counted(self: object, *arguments: object) -> object:
        calls.append(None)
        if len(calls) == call:
            os.kill(os.getpid(), number)
        return original(self, *arguments)

    monkeypatch.setattr(owner, method, counted)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "method", "call", "number"),
    [
        pytest.param(FusedEnvironment, "step", 1, signal.SIGTERM, id="first-decision"),
        pytest.param(FusedEnvironment, "step", 14, signal.SIGTERM, id="mid-rollout"),
        pytest.param(FusedEnvironment, "step", 12, signal.SIGUSR1, id="end-of-rollout"),
        pytest.param(PPOLearner, "_gradient_step", 70, signal.SIGUSR2, id="mid-update"),
        pytest.param(Launcher, "run", 40, signal.SIGINT, id="mid-evaluation"),
    ],
)
def test_a_signal_anywhere_in_an_update_changes_nothing(
    owner: type,
    method: str,
    call: int,
    number: int,
    uninterrupted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("MAPUSH_JOB_ID", "job-1")
    with monkeypatch.context() as patch:
        signal_at(patch, owner, method, call, number)
        assert main([*SMALL, "--root", str(tmp_path)]) == 75
    assert main([*SMALL, "--root", str(tmp_path)]) == 0
    kept = only_run(tmp_path) / "checkpoints" / "rl_model_0_steps"
    if kept.exists():  # a signal before the first update leaves the state it began with
        kept.rename(tmp_path / "aside")
    assert_same_run(tmp_path, uninterrupted)


@pytest.mark.slow
def test_a_run_has_the_same_bits_on_any_number_of_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = "--train_timesteps 60000 --eval_freq 0 --final_envs 0"  # the default recipe's
    states = []
    for cores in ("1", "2"):
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", cores)
        done = run_train(tmp_path / cores, *sizes.split())
        assert done.returncode == 0, done.stderr
        path = only_run(tmp_path / cores) / "checkpoints" / "rl_model_60000_steps" / "module.pt"
        states.append(torch.load(path, weights_only=True))
    assert differences(*states) == []


@pytest.mark.slow
def test_kill_9_in_the_middle_costs_the_rollout_in_hand_and_nothing_else(
    uninterrupted: Path, tmp_path: Path
) -> None:
    environment = {**os.environ, "MAPUSH_JOB_ID": "job-2"}
    with subprocess.Popen(
        train_command(tmp_path), cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True
    ) as victim:
        assert victim.stdout is not None
        for line in victim.stdout:  # the evaluation at 2,000 steps is logged while it trains on
            if "evaluation" in line:
                victim.kill()
                break
    done = run_train(tmp_path, job="job-2")
    assert done.returncode == 0, done.stderr
    assert_same_run(tmp_path, uninterrupted)
    record = (only_run(tmp_path) / "run.yaml").read_text()
    assert "signal: killed" in record


@pytest.mark.slow
def test_a_run_goes_on_by_its_name_with_its_own_settings(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    monkeypatch.delenv("MAPUSH_JOB_ID", raising=False)
    with monkeypatch.context() as patch:
        signal_at(patch, FusedEnvironment, "step", 10, signal.SIGTERM)
        assert main([*SMALL, "--root", str(tmp_path)]) == 75
    assert main(["--run", only_run(tmp_path).name, "--root", str(tmp_path)]) == 0
    assert_same_run(tmp_path, uninterrupted)


@pytest.mark.slow
def test_a_new_run_from_a_checkpoint_counts_on_and_ends_as_if_never_split(
    uninterrupted: Path, tmp_path: Path
) -> None:
    half = only_run(uninterrupted) / "checkpoints" / "rl_model_2000_steps" / "module.pt"
    done = run_train(tmp_path, "--checkpoint", str(half))
    assert done.returncode == 0, done.stderr
    assert differences(final_state(tmp_path), final_state(uninterrupted)) == []
    names = {path.name for path in (only_run(tmp_path) / "checkpoints").iterdir()}
    assert names == {f"rl_model_{step}_steps" for step in range(2400, 4001, 400)}


@pytest.mark.slow
def test_a_restarted_job_that_is_complete_does_nothing(uninterrupted: Path, tmp_path: Path) -> None:
    first = run_train(tmp_path, job="job-3")
    again = run_train(tmp_path, job="job-3")
    assert (first.returncode, again.returncode) == (0, 0)
    assert "complete already" in again.stdout
    assert only_run(tmp_path).is_dir()


@pytest.mark.parametrize(
    ("second", "restarts", "runs"),
    [
        pytest.param([], "0", 2, id="again-in-the-same-allocation"),
        pytest.param([], "1", 1, id="requeued-after-its-end"),
        pytest.param(["--exp_name", "other"], "1", 2, id="another-name"),
    ],
)
def test_runs_of_one_slurm_job_are_told_apart(
    second: List[str], restarts: str, runs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    small = [*SMALL, "--train_timesteps", "400", "--eval_freq", "0", "--final_envs", "0"]
    assert main([*small, "--root", str(tmp_path)]) == 0
    monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
    assert main([*small, *second, "--root", str(tmp_path)]) == 0
    assert len([path for path in (tmp_path / "results").iterdir() if path.is_dir()]) == runs
