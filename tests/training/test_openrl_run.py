"""A training with OpenRL keeps the promises of one without: exact, resumable, interchangeable."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import List, Optional

import pytest
import torch

from mapush.environment.fused.environment import FusedEnvironment
from mapush.errors import CheckpointError, RequestError
from mapush.learners.openrl_package import import_openrl
from mapush.test import main as evaluate
from mapush.train import main
from tests.support import (
    PROJECT,
    SMALL,
    differences,
    learned_scalars,
    only_run,
    scalars,
    without_openrl,
)
from tests.training.test_resume import signal_at

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(without_openrl()), reason=without_openrl()),
]

# 20 environments x 20 decisions of one control step: 400 steps per update, 4,000 in ten updates.
OPENRL = [*SMALL, "--decisions", "20", "--hold", "1", "--epochs", "3", "--minibatches", "2"]
OPENRL += ["--learning_rate_end", "0.1", "--learner", "openrl"]


def train(root: Path, *options: str) -> int:
    return main([*OPENRL, "--root", str(root), *options])


def saved(root: Path, step: int) -> dict:
    path = only_run(root) / "checkpoints" / f"rl_model_{step}_steps" / "module.pt"
    return torch.load(path, weights_only=True)


def final(root: Path) -> dict:
    return saved(root, 4000)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("uninterrupted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(PROJECT)
        assert train(root) == 0
    return root


@pytest.mark.parametrize(
    ("owner", "method", "call", "number"),
    [
        pytest.param(FusedEnvironment, "step", 70, signal.SIGTERM, id="mid-rollout"),
        pytest.param(FusedEnvironment, "step", 60, signal.SIGUSR1, id="end-of-rollout"),
        pytest.param(None, "ppo_update", 21, signal.SIGUSR2, id="mid-update"),
    ],
)
def test_a_signal_anywhere_in_an_update_changes_nothing(
    owner: Optional[type],
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
        algorithm = import_openrl("the test").PPOAlgorithm
        signal_at(patch, owner or algorithm, method, call, number)
        assert train(tmp_path) == 75
    torch.rand(3)  # what else the process draws must not matter
    assert train(tmp_path) == 0
    assert differences(final(tmp_path), final(uninterrupted)) == []
    curves = [learned_scalars(only_run(root) / "tensorboard") for root in (tmp_path, uninterrupted)]
    assert curves[0] == curves[1]
    names = [sorted(p.name for p in (only_run(r) / "checkpoints").iterdir()) for r in (tmp_path,)]
    assert names == [sorted(f"rl_model_{step}_steps" for step in range(400, 4001, 400))]


def test_the_learning_rate_falls_over_the_whole_run(uninterrupted: Path) -> None:
    rates = [
        value for _, value in scalars(only_run(uninterrupted) / "tensorboard")["loss/learning_rate"]
    ]
    assert rates == pytest.approx([5e-4 * (1 - 0.9 * done / 10) for done in range(10)])


def test_its_checkpoints_are_evaluated_without_openrl(
    uninterrupted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("openrl", "gym"):
        monkeypatch.setitem(sys.modules, name, None)
    path = only_run(uninterrupted) / "checkpoints" / "rl_model_4000_steps" / "module.pt"
    assert evaluate(["--checkpoint", str(path), "--num_envs", "4"]) == 0
    assert capsys.readouterr().out.startswith("success rate: ")


@pytest.mark.parametrize(("first", "second"), [("openrl", "native"), ("native", "openrl")])
def test_a_run_goes_on_with_the_other_learner_as_if_with_its_own(
    first: str, second: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    whole, split = tmp_path / "whole", tmp_path / "split"
    assert train(whole, "--learner", first, "--recipe", "published") == 0
    half = only_run(whole) / "checkpoints" / "rl_model_2000_steps" / "module.pt"
    assert train(split, "--learner", second, "--checkpoint", str(half)) == 0
    assert f"was trained with --learner {first}" in (only_run(split) / "log.txt").read_text()
    assert (final(split)["training_step"], final(split)["epoch"]) == (4000, 10)
    one, other = (saved(root, 2400) for root in (split, whole))  # one update after the change
    before = saved(whole, 2000)
    for part in ("actor_network", "critic_network", "value_normalizer"):
        for name, value in before[part].items():
            moved = (other[part][name] - value).abs().max()
            apart = (one[part][name] - other[part][name]).abs().max()
            # Sums in another order, 1e-8, may put a sample on the other side of a clip.
            assert apart < 0.05 * moved, name
    assert torch.equal(one["rng"]["learner"], other["rng"]["learner"])


def refused(arguments: List[str], kind: type, said: str) -> None:
    with pytest.raises(kind, match=said):
        main(arguments)


def test_a_checkpoint_of_another_recipe_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    ends = ["--train_timesteps", "400", "--eval_freq", "0", "--final_envs", "0"]
    assert main([*SMALL, *ends, "--root", str(tmp_path)]) == 0
    (path,) = only_run(tmp_path).glob("checkpoints/rl_model_400_steps/module.pt")
    again = [*SMALL, "--root", str(tmp_path / "second"), "--checkpoint", str(path)]
    again += ["--learner", "openrl"]
    refused(again, RequestError, "--joint_ratio true.*give --recipe published")
    refused([*again, "--recipe", "published"], CheckpointError, r"\(64, 10\).*\(64, 8\)")
    assert not (tmp_path / "second" / "results").exists()
