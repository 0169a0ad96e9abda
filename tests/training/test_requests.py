"""Which run a request means: its job's own at this very request, or the complete one it names."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import time
from pathlib import Path
from typing import Dict, List, Tuple

import pytest
import yaml

from mapush.environment.fused.environment import FusedEnvironment
from mapush.errors import RequestError
from mapush.runs import record
from mapush.runs.directory import RunDirectory
from mapush.runs.lease import LEASES
from mapush.runs.listing import open_run, runs
from mapush.train import main
from tests.support import PROJECT, SMALL, only_run

pytestmark = pytest.mark.slow  # processes by the dozen

QUICK = [*SMALL, *"--train_timesteps 800 --eval_freq 0 --final_envs 0".split()]


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)


def train(root: Path, *options: str) -> int:
    return main([*QUICK, "--root", str(root), *options])


def interrupted(root: Path, *options: str, decision: int = 6) -> int:
    """Train, with a signal at a decision of this process; an update has four."""
    step, calls = FusedEnvironment.step, []

    def stopping(self: FusedEnvironment, action: object) -> object:
        calls.append(None)
        if len(calls) == decision:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, action)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FusedEnvironment, "step", stopping)
        return train(root, *options)


def seeds_and_statuses(root: Path) -> List[Tuple[int, str]]:
    return [(found.seed or 0, found.status) for found in (run.read() for run in runs(root))]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param({"SLURM_JOB_ID": "7"}, {"SLURM_RESTART_COUNT": "1"}, id="slurm"),
        pytest.param({"MAPUSH_JOB_ID": "one"}, {"MAPUSH_RESTART_COUNT": "1"}, id="launcher"),
        pytest.param(
            {"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "1"},
            {"SLURM_RESTART_COUNT": "1", "SLURM_JOB_START_TIME": str(int(time.time()) + 3600)},
            id="a-count-inherited-from-a-requeued-parent",
        ),
    ],
)
def test_each_run_of_a_requeued_job_that_makes_several_is_trained_to_its_own_end(
    first: Dict[str, str], second: Dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in first.items():
        monkeypatch.setenv(name, value)
    assert train(tmp_path, "--seed", "1") == 0
    assert interrupted(tmp_path, "--seed", "2") == 75
    for name, value in second.items():
        monkeypatch.setenv(name, value)
    for seed in ("1", "2", "3"):
        assert train(tmp_path, "--seed", seed) == 0
    assert seeds_and_statuses(tmp_path) == [(n, record.COMPLETE) for n in (1, 2, 3)]
    settings = [run.read().more["settings"]["seed"] for run in runs(tmp_path)]
    assert settings == [1, 2, 3]


@pytest.mark.parametrize(
    "option",
    [
        ("--seed", "2"),
        ("--exp_name", "other"),
        ("--train_timesteps", "1200"),
        ("--learning_rate", "0.001"),
        ("--keep", "last=2"),
    ],
)
def test_another_request_in_the_same_job_is_another_run(
    option: Tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAPUSH_JOB_ID", "one")
    assert interrupted(tmp_path) == 75
    assert train(tmp_path, *option) == 0
    assert train(tmp_path) == 0
    assert len(runs(tmp_path)) == 2


def test_what_only_says_how_it_is_shown_is_the_same_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAPUSH_JOB_ID", "one")
    assert interrupted(tmp_path) == 75
    assert train(tmp_path, "--use_tensorboard", "false", "--headless") == 0
    assert len(runs(tmp_path)) == 1


def test_a_default_that_is_stated_makes_it_no_other_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAPUSH_JOB_ID", "one")
    stated = ("--recipe", "default", "--seed", "1", "--exp_name", "cuboid")
    assert interrupted(tmp_path, *stated) == 75
    assert train(tmp_path) == 0
    assert len(runs(tmp_path)) == 1


@pytest.mark.parametrize(("seed", "count"), [("1", 1), ("2", 2)])
def test_of_a_record_without_its_request_the_command_tells(
    seed: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAPUSH_JOB_ID", "one")
    assert interrupted(tmp_path, "--seed", "1") == 75
    run = open_run(tmp_path, "one")
    for path in (run.live / "run.yaml", run.results / "run.yaml"):
        fields = yaml.safe_load(path.read_bytes())
        del fields["request"]
        path.write_text(yaml.safe_dump(fields))
    assert train(tmp_path, "--seed", seed) == 0
    assert len(runs(tmp_path)) == count


def test_an_inherited_restart_count_makes_no_request_of_a_first_start_a_repetition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "3")
    assert train(tmp_path) == 0
    assert train(tmp_path) == 0
    assert len(runs(tmp_path)) == 2


def replace_status(run: RunDirectory, before: str, after: str) -> None:
    """As a shell does it that ends a job."""
    for path in (run.live / "run.yaml", run.results / "run.yaml"):
        text = path.read_text()
        assert f"\nstatus: {before}\n" in text
        path.write_text(text.replace(f"\nstatus: {before}\n", f"\nstatus: {after}\n"))


@pytest.mark.parametrize("before", [record.PREEMPTED, record.RUNNING])
def test_a_cancelled_run_resumes_as_a_preempted_one(
    before: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAPUSH_JOB_ID", "one")
    assert interrupted(tmp_path) == 75
    run = open_run(tmp_path, "one")
    if before == record.RUNNING:  # killed before it could write its interruption down
        run.update(status=before, interruptions=())
    replace_status(run, before, record.CANCELLED)
    assert train(tmp_path) == 0
    found = run.read()
    assert found.status == record.COMPLETE
    (note,) = found.interruptions
    assert note.signal == ("SIGTERM" if before == record.PREEMPTED else "killed")
    assert (note.step, note.is_pending) == (400, False)


def test_the_record_tells_the_code_and_what_other_code_resumed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAPUSH_JOB_ID", "one")
    monkeypatch.setenv("MAPUSH_COMMIT", "a" * 40)
    assert interrupted(tmp_path) == 75
    assert interrupted(tmp_path, decision=2) == 75
    run = open_run(tmp_path, "one")
    began = run.read().more["code"]
    assert (began["commit"], began["changed"], len(began["hash"])) == ("a" * 40, False, 16)
    assert "resumed_with" not in run.read().more
    monkeypatch.setenv("MAPUSH_COMMIT", "b" * 40 + "+changed")
    assert train(tmp_path) == 0
    found = run.read().more
    assert found["code"] == began
    assert found["resumed_with"] == [{**began, "commit": "b" * 40, "changed": True}]


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    root = tmp_path_factory.mktemp("complete place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(PROJECT)
        patch.delenv("MAPUSH_JOB_ID", raising=False)
        assert train(root, "--learning_rate", "0.001", "--exp_name", "mine") == 0
    return open_run(root, only_run(root).name)


def refusal(run: RunDirectory, *options: str) -> str:
    before = sorted(run.root.rglob("*"))
    with pytest.raises(RequestError) as caught:
        main(["--run", run.name, "--root", str(run.root), *options])
    assert caught.value.exit_code == 2
    assert sorted(run.root.rglob("*")) == before
    return str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--exp", "cuboid", "--exp_name", "mine", "--seed", "1", "--train_timesteps", "800"],
        ["--learning_rate", "0.001", "--use_tensorboard", "false"],
    ],
)
def test_a_complete_run_is_complete_where_nothing_else_is_asked_for(
    options: List[str], complete: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--run", complete.name, "--root", str(complete.root), *options]) == 0
    assert "is complete already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--seed 2", "is complete with --seed 1, not 2"),
        ("--learning_rate 0.5", "is complete with --learning_rate 0.001, not 0.5"),
        ("--gamma 0.5", "--gamma 0.99"),
        ("--recipe published", "--recipe default"),
        ("--train_timesteps 400", "is complete with --train_timesteps 800, not 400"),
        ("--exp cylinder --exp_name mine", "--exp cuboid"),
        ("--checkpoint elsewhere/module.pt", "resumes from its own newest checkpoint"),
    ],
)
def test_a_complete_run_is_not_called_what_it_is_not(
    options: str, said: str, complete: RunDirectory
) -> None:
    assert said in refusal(complete, *options.split())


def test_who_asks_for_more_steps_is_told_the_command_that_trains_on(
    complete: RunDirectory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    message = refusal(complete, "--train_timesteps", "1200", "--seed", "5")
    head, _, command = message.partition("; to train on to 1,200: ")
    assert head == f"{complete.name}: is complete at 800 steps"
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "mapush.train"]
    assert words[-2:] == ["--root", str(complete.root)]
    assert main([*words[3:], "--root", str(tmp_path)]) == 0
    (run,) = runs(tmp_path)
    found = run.read()
    assert (found.exp, found.seed, found.more["first_step"]) == ("mine", 5, 800)
    assert found.more["settings"]["changes"]["learning_rate"] == 0.001
    assert (run.checkpoints / "rl_model_1200_steps").is_dir()
    monkeypatch.chdir(complete.root)
    with pytest.raises(RequestError) as caught:
        main(["--run", complete.name, "--train_timesteps", "1200"])
    assert "--root" not in str(caught.value)
    assert f"--checkpoint results/{complete.name}/checkpoints/" in str(caught.value)


def test_a_run_that_was_only_not_moved_home_yet_is_moved_and_not_called_what_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("mapush.training.standing.finish", lambda *_: None)
        assert train(tmp_path) == 0
    (run,) = runs(tmp_path)
    run.update(status=record.FINISHING)
    shutil.rmtree(run.live / LEASES)
    with pytest.raises(RequestError, match="to train on to 1,200"):
        main(["--run", run.name, "--root", str(tmp_path), "--train_timesteps", "1200"])
    assert run.read().status == record.COMPLETE
    assert not run.live.exists()
