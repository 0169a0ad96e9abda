"""What a training began from, and what others need of a run, survives while it trains."""

from __future__ import annotations

from pathlib import Path
from typing import List, Set

import pytest

from mapush.learners.ppo import PPOLearner
from mapush.runs.__main__ import main as runs
from mapush.runs.directory import RunDirectory
from mapush.runs.listing import open_run
from mapush.runs.owner import Owner
from mapush.runs.pins import Pin, living_pins
from mapush.train import main as train
from tests.support import PROJECT, SMALL, only_run

pytestmark = pytest.mark.slow  # processes by the dozen

QUICK = [*SMALL, "--eval_freq", "0", "--final_envs", "0"]


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)


@pytest.fixture
def source(tmp_path: Path) -> RunDirectory:
    root = tmp_path / "source"
    assert train([*QUICK, "--train_timesteps", "1600", "--root", str(root)]) == 0
    return open_run(root, only_run(root).name)


def steps(run: RunDirectory) -> Set[int]:
    return {int(path.name.split("_")[2]) for path in run.checkpoints.glob("rl_model_*")}


def at_each_update(monkeypatch: pytest.MonkeyPatch, act: object) -> None:
    update = PPOLearner.update

    def acting(self: PPOLearner, *arguments: object, **named: object) -> object:
        act()
        return update(self, *arguments, **named)

    monkeypatch.setattr(PPOLearner, "update", acting)


def test_what_a_training_in_another_root_began_from_is_not_pruned_while_it_runs(
    source: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prune = ["prune", str(source.results), "--keep", "last=1", "--root", str(source.root)]
    seen: List[Set[int]] = []

    def pruning() -> None:
        assert runs(prune) == 0
        seen.append(steps(source))

    at_each_update(monkeypatch, pruning)
    module = source.checkpoints / "rl_model_800_steps" / "module.pt"
    options = ["--checkpoint", str(module), "--train_timesteps", "1600"]
    assert train([*QUICK, *options, "--root", str(tmp_path / "other")]) == 0
    assert seen == [{800, 1600}] * 2
    assert runs(prune) == 0
    assert steps(source) == {1600}
    assert living_pins(source.checkpoints) == []


def test_a_checkpoint_that_lies_in_no_run_is_begun_from_and_nothing_is_left_beside_it(
    source: RunDirectory, tmp_path: Path
) -> None:
    (source.results / "run.yaml").unlink()
    module = source.checkpoints / "rl_model_800_steps" / "module.pt"
    before = set(source.results.rglob("*"))
    options = ["--checkpoint", str(module), "--train_timesteps", "1600"]
    assert train([*QUICK, *options, "--root", str(tmp_path / "other")]) == 0
    assert set(source.results.rglob("*")) == before


def test_where_nothing_can_be_written_the_training_goes_on_with_a_warning(
    source: RunDirectory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (source.checkpoints / ".in-use").write_bytes(b"in the way")
    module = source.checkpoints / "rl_model_800_steps" / "module.pt"
    options = ["--checkpoint", str(module), "--train_timesteps", "1600"]
    assert train([*QUICK, *options, "--root", str(tmp_path / "other")]) == 0
    assert "may be deleted meanwhile" in caplog.text


def test_the_retention_of_a_training_spares_what_another_process_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins: List[Pin] = []
    needed: Set[int] = set()

    def needing() -> None:
        run = open_run(tmp_path, only_run(tmp_path).name)
        if not pins and steps(run):
            pins.append(Pin(run.checkpoints, Owner.current(), "evaluation"))
            needed.update(steps(run))
            pins[0].narrow(needed)

    at_each_update(monkeypatch, needing)
    options = ["--train_timesteps", "2000", "--keep", "last=1", "--root", str(tmp_path)]
    assert train([*QUICK, *options]) == 0
    run = open_run(tmp_path, only_run(tmp_path).name)
    assert needed
    assert steps(run) == {*needed, 2000}
    pins[0].close()
    assert not (run.checkpoints / ".in-use").exists()
