"""A run with changed values of its task keeps them: resumed, evaluated, exported, sent as a job."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, Dict, Tuple

import pytest
import torch
import yaml

from mapush.environment.fused.environment import FusedEnvironment
from mapush.errors import RequestError
from mapush.evaluation.checkpoints import task_of
from mapush.evaluation.success_rates import read_success_rates
from mapush.runs.listing import open_run, runs
from mapush.submit import main as submit
from mapush.test import main as evaluate
from mapush.train import main
from mapush.training.options import build_parser, read_options
from mapush.training.plan import plan_new
from mapush.training.request import Request
from tests.support import PROJECT, SMALL, differences, only_run, scalars

pytestmark = pytest.mark.slow

QUICK = [*SMALL, *"--train_timesteps 1200 --eval_freq 800".split()]
CHANGED = (
    "--set",
    "reward.push=0",
    "goal.radius=1.2",
    "--set",
    "reward.approach=0",
    "termination.control_steps=500",
)
KEPT = {
    "goal.radius": 1.2,
    "rewards.approach": 0.0,
    "rewards.push": 0.0,
    "termination.control_steps": 500,
}
SECONDS = 10.0  # of an episode of 500 control steps


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    monkeypatch.delenv("MAPUSH_JOB_ID", raising=False)


def train(root: Path, *options: str) -> int:
    return main([*QUICK, "--root", str(root), *options])


def state_of(root: Path, step: int = 1200) -> Dict[str, Any]:
    path = only_run(root) / "checkpoints" / f"rl_model_{step}_steps" / "module.pt"
    return torch.load(path, weights_only=True)


def settings_of(root: Path) -> Dict[str, Any]:
    return yaml.safe_load((only_run(root) / "run.yaml").read_text())["settings"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("changed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(PROJECT)
        patch.delenv("MAPUSH_JOB_ID", raising=False)
        assert train(root, *CHANGED) == 0
    return root


def test_the_run_and_its_checkpoints_say_what_was_changed(uninterrupted: Path) -> None:
    assert settings_of(uninterrupted)["set"] == KEPT
    assert state_of(uninterrupted)["config"]["set"] == KEPT
    assert (only_run(uninterrupted) / "task" / "config.py").read_bytes() == (
        PROJECT / "task" / "cuboid" / "config.py"
    ).read_bytes()


def test_the_change_is_trained_with(uninterrupted: Path, tmp_path: Path) -> None:
    assert train(tmp_path) == 0
    assert "set" not in settings_of(tmp_path)
    assert "set" not in state_of(tmp_path)["config"]
    weights = [state_of(root)["actor_network"] for root in (tmp_path, uninterrupted)]
    assert differences(*weights) != []
    curves = [scalars(only_run(root) / "tensorboard") for root in (tmp_path, uninterrupted)]
    plain, changed = ({value for _, value in each["reward/approach_reward"]} for each in curves)
    assert changed == {0.0}
    assert 0.0 not in plain


@pytest.mark.parametrize("again", [CHANGED, ()], ids=["by its job", "by its name"])
def test_an_interrupted_run_resumes_with_it_without_being_told_to_the_bit(
    again: Tuple[str, ...], uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if again:
        monkeypatch.setenv("MAPUSH_JOB_ID", "one")
    step, calls = FusedEnvironment.step, []

    def stopping(self: FusedEnvironment, action: object) -> object:
        calls.append(None)
        if len(calls) == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, action)

    with monkeypatch.context() as patch:
        patch.setattr(FusedEnvironment, "step", stopping)
        assert train(tmp_path, *CHANGED) == 75
    words = [*QUICK, *again] if again else ["--run", only_run(tmp_path).name]
    assert main([*words, "--root", str(tmp_path)]) == 0
    assert len(runs(tmp_path)) == 1
    assert differences(state_of(tmp_path), state_of(uninterrupted)) == []


def test_its_evaluations_use_the_changed_task(
    uninterrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = only_run(uninterrupted)
    trained = read_success_rates(run / "success_rate.txt")
    module = run / "checkpoints" / "rl_model_1200_steps" / "module.pt"
    assert task_of(module, None, state_of(uninterrupted)).goal.radius == 1.2
    assert task_of(module, "cuboid", state_of(uninterrupted)).goal.radius == 1.2
    (run / "success_rate.txt").unlink()
    assert evaluate(["--run", run.name, "--root", str(uninterrupted), "--num_envs", "4"]) == 0
    again = {entry.step: entry for entry in read_success_rates(run / "success_rate.txt")}
    assert [again[entry.step] for entry in trained] == trained
    assert {entry.finished_time for entry in again.values()} == {SECONDS}
    capsys.readouterr()
    assert evaluate(["--checkpoint", str(module), "--num_envs", "4"]) == 0
    assert capsys.readouterr().out == again[1200].figures()


def test_a_copy_of_a_checkpoint_has_its_changes_with_its_own_task_only(
    uninterrupted: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "module.pt"
    state = state_of(uninterrupted)
    assert task_of(copy, "cuboid", state).goal.radius == 1.2
    assert task_of(copy, "Tblock", state).goal.radius == 1.0


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ("", KEPT),
        ("--set goal.radius=1.1", {**KEPT, "goal.radius": 1.1}),
        ("--exp Tblock", None),
    ],
)
def test_a_new_run_from_its_checkpoint_is_of_the_same_task_unless_told_otherwise(
    options: str, kept: Any, uninterrupted: Path, tmp_path: Path
) -> None:
    module = only_run(uninterrupted) / "checkpoints" / "rl_model_1200_steps" / "module.pt"
    words = ["--checkpoint", str(module), "--train_timesteps", "1600", *options.split()]
    assert main([*words, "--root", str(tmp_path)]) == 0
    assert settings_of(tmp_path).get("set") == kept


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--set goal.radius=1", "is complete with --set goal.radius=1.2, not 1.0; another request"),
        ("--set reward.ocb=1", "is complete with --set rewards.ocb=0.004, not 1.0; another"),
        ("--set ppo.gamma=0.5", "is complete with --gamma 0.99, not 0.5"),
        (
            "--set goal.radius=2 --train_timesteps 2k",
            "--train_timesteps 2000 --set goal.radius=2.0",
        ),
    ],
)
def test_a_complete_run_is_not_called_what_it_is_not(
    options: str, said: str, uninterrupted: Path
) -> None:
    name = only_run(uninterrupted).name
    with pytest.raises(RequestError) as refused:
        main(["--run", name, "--root", str(uninterrupted), *options.split()])
    assert said in str(refused.value)
    same = ["--set", "rewards.push=0", "goal.radius=1.20"]
    assert main(["--run", name, "--root", str(uninterrupted), *same]) == 0


def test_another_set_in_the_same_job_is_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAPUSH_JOB_ID", "one")
    short = ("--train_timesteps", "400", "--eval_freq", "0", "--final_envs", "0")
    sets = ("goal.radius=1.2", "arena.friction=0.2")
    for options in ((), ("--set", sets[0]), ("--set", *sets), ("--set", *reversed(sets))):
        assert train(tmp_path, *short, *options) == 0
    assert len(runs(tmp_path)) == 3
    assert open_run(tmp_path, "one").read().more["request"]["set"] == {
        "arena.friction": "0.2",
        "goal.radius": "1.2",
    }


@pytest.mark.parametrize("command", [main, submit], ids=["train", "submit"])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--set reward.psh=1", "did you mean rewards.push?"),
        ("--set goal.radius=2", "must start above radius = 2"),
        ("--set learning_rate=1", "did you mean ppo.learning_rate?"),
        ("--set ppo.epochs=0", "--set ppo.epochs=0: must be a whole number, 1 or more"),
        ("--num_envs 20 --set environment.num_envs=20", "are the same value"),
    ],
)
def test_a_wrong_set_is_refused_before_anything_is_written(
    command: Any, options: str, said: str, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    with pytest.raises(RequestError) as refused:
        command(["--exp", "cuboid", "--root", str(root), *options.split()])
    assert said in str(refused.value)
    assert not root.exists()


def test_a_job_gets_it_as_it_was_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--exp", "cuboid", "--cluster", "local", "--dry-run", "--root", str(tmp_path)]
    given = ["--set", "reward.push=0", "ppo.hold=2", "--seeds", "1", "2"]
    assert submit([*words, *given]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "train.sh" in line]
    assert [line.partition(f"--root {tmp_path}")[2] for line in lines] == [
        f" --set reward.push=0 --decimation=2 --seed {seed}" for seed in (1, 2)
    ]


@pytest.mark.parametrize(
    ("options", "decimation"),
    [
        ((), 10),
        (("--set", "control.decimation=5"), 5),
        (("--set", "control.decimation=5", "--decimation", "4"), 4),
        (("--set", "control.decimation=5", "--recipe", "published"), 1),
    ],
)
def test_the_tasks_decimation_counts_unless_an_option_or_a_recipe_says_another(
    tmp_path: Path, options: Tuple[str, ...], decimation: int
) -> None:
    asked = read_options(build_parser().parse_args(["--exp", "cuboid", *options]))
    plan = plan_new(Request(tmp_path, asked))
    assert plan.config.ppo.decimation == decimation
    assert plan.values["recipe_values"]["hold"] == decimation


def test_a_complete_run_knows_the_decimation_that_its_task_has_decided(tmp_path: Path) -> None:
    at = QUICK.index("--hold")
    words = [*QUICK[:at], *QUICK[at + 2 :], "--root", str(tmp_path)]
    assert main([*words, "--set", "control.decimation=5"]) == 0
    words += ["--run", only_run(tmp_path).name]
    assert main([*words, "--decimation", "5"]) == 0
    with pytest.raises(RequestError, match="is complete with --hold 5, not 10"):
        main([*words, "--decimation", "10"])
