"""Every corruption of a real run is found by `verify`, and set aside when the run goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
import torch
from made_runs import make_run, runs_command, steps_in

from mapush.checkpoint.store import CheckpointStore
from mapush.environment.fused.environment import FusedEnvironment
from mapush.runs.__main__ import main
from mapush.runs.directory import RunDirectory
from mapush.runs.listing import open_run
from mapush.train import main as train
from tests.support import PROJECT, SMALL, differences, only_run

pytestmark = pytest.mark.slow  # processes by the dozen

UPDATES, TOTAL = 19, 20  # done when the run is stopped; of 400 steps each
SHORT = [*SMALL, "--eval_freq", "0", "--final_envs", "0", "--train_timesteps", str(TOTAL * 400)]


def cut(name: str, length: float) -> Callable[[Path], None]:
    """Truncate a file of a checkpoint to a share of its length, or to a number of bytes."""

    def damage(path: Path) -> None:
        data = (path / name).read_bytes()
        (path / name).write_bytes(data[: int(length * len(data)) if length < 1 else int(length)])

    return damage


def flip(name: str, place: float) -> Callable[[Path], None]:
    """Flip a bit at a share of a file's length."""

    def damage(path: Path) -> None:
        data = bytearray((path / name).read_bytes())
        data[int(place * len(data))] ^= 4
        (path / name).write_bytes(data)

    return damage


def zeros(path: Path) -> None:
    module = path / "module.pt"
    module.write_bytes(bytes(module.stat().st_size))


def swap_manifest(path: Path) -> None:
    shutil.copy(path.with_name("rl_model_400_steps") / "manifest.json", path)


def change_manifest(**changes: object) -> Callable[[Path], None]:
    """Change fields as a person or another version of mapush would; None removes one."""

    def damage(path: Path) -> None:
        fields = {**json.loads((path / "manifest.json").read_text()), **changes, "seal": None}
        known = {name: value for name, value in fields.items() if value is not None}
        (path / "manifest.json").write_text(json.dumps(known))

    return damage


def become_a_directory(path: Path) -> None:
    (path / "module.pt").unlink()
    (path / "module.pt").mkdir()


def become_a_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_bytes(b"")


def become_another(path: Path) -> None:
    shutil.rmtree(path)
    shutil.copytree(path.with_name("rl_model_400_steps"), path)


CORRUPTIONS: Dict[str, Callable[[Path], Any]] = {
    "module cut to nothing": cut("module.pt", 0),
    "module cut to a byte": cut("module.pt", 1),
    "module cut in the middle": cut("module.pt", 0.5),
    "module cut at the end": cut("module.pt", 0.9999),
    "bit flipped at the start of the module": flip("module.pt", 0),
    "bit flipped in the module's pickle": flip("module.pt", 0.01),
    "bit flipped among the weights": flip("module.pt", 0.5),
    "bit flipped at the end of the module": flip("module.pt", 0.9999),
    "zeros": zeros,
    "manifest swapped": swap_manifest,
    "manifest missing": lambda path: (path / "manifest.json").unlink(),
    "manifest cut": cut("manifest.json", 0.5),
    "bit flipped in the manifest": flip("manifest.json", 0.5),
    "manifest of a version without digests": change_manifest(sha256=None),
    "manifest of another configuration": change_manifest(config_hash="0" * 64),
    "a directory instead of the module": become_a_directory,
    "a file instead of the checkpoint": become_a_file,
    "another checkpoint under this name": become_another,
}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a run that a signal has stopped, with a checkpoint for each of its updates."""
    root = tmp_path_factory.mktemp("stopped")
    step, calls = FusedEnvironment.step, []

    def stopping(self: FusedEnvironment, *arguments: object) -> object:
        calls.append(None)
        if len(calls) == 4 * UPDATES + 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(PROJECT)
        for name in [name for name in os.environ if name.startswith(("SLURM_", "MAPUSH_"))]:
            patch.delenv(name)
        patch.setattr(FusedEnvironment, "step", stopping)
        assert train([*SHORT, "--root", str(root)]) == 75
    return root


@pytest.fixture
def run(stopped: Path, tmp_path: Path) -> RunDirectory:
    """A copy of it."""
    root = tmp_path / "root"
    shutil.copytree(stopped, root)
    return open_run(root, only_run(root).name)


def newest(run: RunDirectory) -> Path:
    return CheckpointStore(run.checkpoints).entries()[-1].path


def verified(run: RunDirectory, capsys: pytest.CaptureFixture[str], code: int) -> List[str]:
    capsys.readouterr()
    assert main(["verify", run.name, "--root", str(run.root)]) == code
    return capsys.readouterr().out.splitlines()


def test_a_good_run_has_a_good_line_for_everything(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = verified(run, capsys, 0)
    names = [f"rl_model_{step}_steps" for step in range(400, 400 * UPDATES + 1, 400)]
    records = ["run.yaml", os.path.relpath(run.live / "run.yaml", run.results)]
    assert [line.split()[0] for line in lines[1:-1]] == [*records, "task/config.py", *names]
    assert all(line.split()[1].startswith("good") for line in lines[1:-1])


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_corruption_is_found_named_and_left_as_it_is(
    run: RunDirectory, capsys: pytest.CaptureFixture[str], corruption: str
) -> None:
    CORRUPTIONS[corruption](newest(run))
    before = {path: path.lstat().st_mtime_ns for path in run.root.rglob("*")}
    lines = verified(run, capsys, 1)
    damaged = [line for line in lines if "DAMAGED" in line]
    assert [line.split()[0] for line in damaged] == [newest(run).name]
    assert lines[-1] == "  1 damaged"
    assert {path: path.lstat().st_mtime_ns for path in run.root.rglob("*")} == before


@pytest.mark.slow
def test_a_run_goes_on_past_every_corruption_to_the_same_bits(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    assert len(CORRUPTIONS) + 1 == UPDATES
    found = CheckpointStore(run.checkpoints).entries()
    damaged = [entry.path.name for entry in found[1:]]
    for name, corrupt in zip(damaged, CORRUPTIONS.values()):
        corrupt(run.checkpoints / name)
    assert train(["--run", run.name, "--root", str(run.root)]) == 0
    log = (run.results / "log.txt").read_text()
    warnings = [line for line in log.splitlines() if "WARNING set a damaged" in line]
    for name in damaged:
        assert (run.checkpoints / f"{name}.bad-1").exists()
        assert [f"{name}.bad-1" in line for line in warnings].count(True) == 1
    assert train([*SHORT, "--root", str(tmp_path / "straight")]) == 0
    final = f"checkpoints/rl_model_{TOTAL * 400}_steps/module.pt"
    states = [
        torch.load(only_run(root) / final, weights_only=True)
        for root in (run.root, tmp_path / "straight")
    ]
    assert differences(*states) == []
    done = runs_command("verify", run.results)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("set aside as damaged before") == len(damaged)


@pytest.mark.parametrize("place", ["results", "live"])
@pytest.mark.parametrize("content", [None, b"", b"status: [", b"\xff"])
def test_a_damaged_record_is_found_and_the_checkpoints_are_checked_all_the_same(
    run: RunDirectory, capsys: pytest.CaptureFixture[str], place: str, content: Any
) -> None:
    path = getattr(run, place) / "run.yaml"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    lines = verified(run, capsys, 1)
    assert ["run.yaml" in line for line in lines if "DAMAGED" in line] == [True]
    assert sum("rl_model_" in line and "good" in line for line in lines) == UPDATES


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_task_copy_that_does_not_load_is_found(
    run: RunDirectory, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    if damage == "missing":
        shutil.rmtree(run.task)
    else:
        (run.task / "config.py").write_text("task = 1\n")
    lines = verified(run, capsys, 1)
    assert ["task/config.py" in line for line in lines if "DAMAGED" in line] == [True]


def test_what_lies_beside_the_checkpoints_is_listed_and_no_damage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path)
    for name in ("rl_model_7_steps.bad-2", ".rl_model_9_steps.0123abcd.tmp", "best"):
        (run.checkpoints / name).mkdir()
    lines = verified(run, capsys, 0)
    said = {line.split()[0]: line for line in lines[1:]}
    assert "set aside" in said["rl_model_7_steps.bad-2"]
    assert "killed" in said[".rl_model_9_steps.0123abcd.tmp"]
    assert "no checkpoint by its name" in said["best"]


@pytest.mark.slow
def test_several_runs_are_verified_and_one_bad_checkpoint_is_exit_code_1(tmp_path: Path) -> None:
    good = make_run(tmp_path)
    bad = make_run(tmp_path, hours=1)
    zeros(bad.checkpoints / "rl_model_20000_steps")
    for names, code in (([good.name], 0), ([good.name, bad.name], 1), ([bad.name, good.name], 1)):
        done = runs_command("verify", *names, "--root", tmp_path)
        assert done.returncode == code, done.stderr
        assert done.stdout.count("good, ") == sum(
            len(steps_in(good)) - (n == bad.name) for n in names
        )


def test_a_hostile_checkpoint_is_damage_and_is_not_executed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path)
    module = run.checkpoints / "rl_model_60000_steps" / "module.pt"
    module.write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path).encode() + b"/ran'\ntR.")
    assert "1 damaged" in verified(run, capsys, 1)[-1]
    assert not (tmp_path / "ran").exists()
