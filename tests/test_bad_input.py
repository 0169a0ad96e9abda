"""What bad input gets: one line that names the thing, its value and the mend; nothing written."""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Callable, Iterator, List

import pytest

from mapush.errors import MapushError
from mapush.submit import main as submit
from mapush.test import main as evaluate
from mapush.train import main as train
from tests.support import PROJECT, SMALL, only_run, run_train, scalars, train_command


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good module.pt of the cuboid."""
    root = tmp_path_factory.mktemp("good")
    short = ["--train_timesteps", "400", "--final_envs", "0", "--eval_freq", "0"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(PROJECT)
        for name in [name for name in os.environ if name.startswith(("SLURM_", "MAPUSH_"))]:
            patch.delenv(name)
        assert train([*SMALL, *short, "--root", str(root)]) == 0
    return only_run(root) / "checkpoints" / "rl_model_400_steps" / "module.pt"


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    monkeypatch.delenv("MAPUSH_JOB_ID", raising=False)


def assert_refused(
    command: Callable[[List[str]], int], arguments: List[str], said: List[str], root: Path
) -> None:
    with pytest.raises(MapushError) as caught:
        command(arguments)
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert "\n" not in message
    for part in said:
        assert part in message
    assert not root.exists() or list(root.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--exp cubiod", ["'cubiod'", "did you mean cuboid? there are: Tblock, cuboid, cylinder"]),
        ("", ["--exp is missing", "--exp cuboid"]),
        ("--exp ../../etc", ["--exp", "'../../etc'"]),
        ("--exp cuboid --exp_name ../x", ["../x"]),
        ("--exp cuboid --num_envs 0", ["--num_envs 0", "from 1 to 100000"]),
        ("--exp cuboid --num_envs many", ["--num_envs many: is no whole number, such as 200"]),
        ("--exp cuboid --num_envs 1000000000", ["--num_envs 1000000000", "from 1 to 100000"]),
        ("--exp cuboid --train_timesteps -5", ["--train_timesteps -5"]),
        ("--exp cuboid --save_freq 0", ["--save_freq 0"]),
        ("--exp cuboid --seed -1", ["--seed -1"]),
        ("--exp cuboid --recipe best", ["--recipe 'best'", "default, published"]),
        ("--exp cuboid --sim bullet", ["--sim 'bullet'", "mujoco"]),
        ("--exp cuboid --learner sac", ["--learner 'sac'", "native"]),
        ("--exp cuboid --device tpu", ["--device 'tpu'", "cpu"]),
        ("--exp cuboid --keep some", ["some"]),
        ("--exp cuboid --gamma 1.5", ["--gamma 1.5", "from 0 to 1"]),
        ("--exp cuboid --learning_rate nan", ["--learning_rate nan"]),
        ("--exp cuboid --hold 7", ["--hold 7", "1000"]),
        ("--exp cuboid --minibatches 7", ["--minibatches 7", "must divide"]),
        ("--exp cuboid --activation swish", ["--activation 'swish'", "relu, elu, tanh"]),
        ("--exp cuboid --frobnicate", ["--frobnicate"]),
        ("--exp cuboid --num_env 5", ["unknown option --num_env; did you mean --num_envs? see"]),
        ("--exp cuboid --train_timesteps 10X", ["--train_timesteps 10X: is no whole number"]),
        ("--exp cuboid --learning_rate fast", ["--learning_rate fast: is no number"]),
        ("--exp cuboid --activation rely", ["--activation 'rely': did you mean relu? there are"]),
        ("--exp cuboid --sim mujoko", ["--sim 'mujoko': did you mean mujoco? there are"]),
        ("--exp cuboid --recipe publish", ["--recipe 'publish': did you mean published?"]),
        ("--exp cuboid --checkpoint nowhere.pt", ["nowhere.pt"]),
        ("--run 01-01-00_nothing", ["'01-01-00_nothing'"]),
    ],
)
def test_a_wrong_training_request_is_refused_before_anything_is_written(
    options: str, said: List[str], tmp_path: Path
) -> None:
    root = tmp_path / "root"
    assert_refused(train, [*options.split(), "--root", str(root)], said, root)


UNPRINTABLE = ["line\nbreak", "escape\x1b[2J", os.fsdecode(b"no text \xff"), "\u2028"]


@pytest.mark.parametrize("option", ["--root", "--checkpoint", "--run", "--exp_name", "--exp"])
@pytest.mark.parametrize("name", [*UNPRINTABLE, "a" * 300, "日" * 99, "/".join(["a" * 99] * 50)])
def test_a_name_that_does_not_fit_is_refused_in_one_line_before_anything_is_reserved(
    option: str, name: str, tmp_path: Path
) -> None:
    (tmp_path / "root").mkdir()
    arguments = [*SMALL, "--root", str(tmp_path / "root"), option, name]
    if option == "--root":
        arguments[-1] = str(tmp_path / "root" / name)
    assert_refused(
        train, arguments, [option if option != "--run" else "is no run"], tmp_path / "root"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["a:b", "100% %j", 'it\'s "quoted"', "ümlaut 日本", "-x", "$HOME `x` ;", "a\\nb"]
)
def test_any_other_name_works_on_a_screen_that_has_only_ascii_too(
    name: str, tmp_path: Path
) -> None:
    root = tmp_path / name
    options = "--train_timesteps 400 --eval_freq 0 --final_envs 0".split()
    with_ascii = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        train_command(root, *options), env=with_ascii, capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if not line.startswith("compil")]
    assert (done.returncode, said) == (0, [])  # whichever test is the first compiles the kernel
    module = only_run(root) / "checkpoints" / "rl_model_400_steps" / "module.pt"
    assert train([*SMALL, "--checkpoint", str(module), "--root", str(root), *options[2:]]) == 0
    found = sorted((root / "results").glob("*/run.yaml"))
    assert len(found) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time: 24:00:00\n", ["profile.yaml: time 86400", "in quotes"]),
        ("colour: red\n", ["profile.yaml: unknown field 'colour'", "there are: partition, "]),
        ("gpu_request: tpu\n", ["gpu_request 'tpu'", "'gres' or 'gpus-per-node'"]),
        ('setup: ["a\\nrm -rf /"]\n', ["setup", "one line of text"]),
        ("partition: !!python/object/apply:os.system [touch executed]\n", ["cannot be read"]),
        ("- a\n- b\n", ["is a list"]),
        ("[" * 5000, ["cannot be read"]),
        ("\0", ["cannot be read"]),
    ],
)
def test_a_wrong_or_hostile_profile_sends_no_job(
    text: str, said: List[str], tmp_path: Path
) -> None:
    profile = tmp_path / "profile.yaml"
    profile.write_text(text)
    root = tmp_path / "root"
    arguments = ["--cluster", "local", "--exp", "cuboid", "--profile", str(profile)]
    assert_refused(submit, [*arguments, "--root", str(root)], said, root)
    assert not Path("executed").exists()


def _truncated(good: Path, bad: Path) -> None:
    bad.write_bytes(good.read_bytes()[: good.stat().st_size // 2])


def _flipped(good: Path, bad: Path) -> None:
    data = bytearray(good.read_bytes())
    data[len(data) // 2] ^= 1
    bad.write_bytes(bytes(data))
    shutil.copy(good.with_name("manifest.json"), bad.with_name("manifest.json"))


def _empty(good: Path, bad: Path) -> None:
    bad.write_bytes(b"")


def _zeros(good: Path, bad: Path) -> None:
    bad.write_bytes(bytes(good.stat().st_size))


def _directory(good: Path, bad: Path) -> None:
    bad.mkdir()


class _Hostile:
    def __reduce__(self) -> tuple:
        return (os.system, ("touch executed",))


def _hostile_pickle(good: Path, bad: Path) -> None:
    bad.write_bytes(pickle.dumps(_Hostile()))


def _hostile_archive(good: Path, bad: Path) -> None:
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("module/data.pkl", pickle.dumps(_Hostile(), protocol=2))
        archive.writestr("module/version", "3")
        archive.writestr("module/byteorder", "little")


DAMAGES = [_truncated, _flipped, _empty, _zeros, _directory, _hostile_pickle, _hostile_archive]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("command", [train, evaluate], ids=["train", "test"])
def test_a_damaged_or_hostile_checkpoint_is_refused_and_never_executed(
    command: Callable[[List[str]], int],
    damage: Callable[[Path, Path], None],
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad = tmp_path / "module.pt"
    damage(checkpoint, bad)
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "root"
    arguments = ["--exp", "cuboid", "--checkpoint", str(bad), "--root", str(root)]
    assert_refused(command, arguments, [str(bad)], root)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("command", [train, evaluate], ids=["train", "test"])
def test_a_checkpoint_of_another_task_is_refused_with_both_dimensions(
    command: Callable[[List[str]], int], checkpoint: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    copy = tmp_path / "module.pt"
    shutil.copy(checkpoint, copy)
    arguments = ["--exp", "cylinder", "--checkpoint", str(copy), "--root", str(root)]
    assert_refused(command, arguments, [" 8 ", "11", "cylinder", "--exp"], root)


def test_a_checkpoint_that_has_reached_the_total_is_refused_not_trained_for_nothing(
    checkpoint: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    arguments = [*SMALL, "--checkpoint", str(checkpoint), "--train_timesteps", "400"]
    said = ["--train_timesteps 400", "400 steps already"]
    assert_refused(train, [*arguments, "--root", str(root)], said, root)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("count=2", "count=0"), ["Robots.count = 0", "greater than or equal to 1"]),
        (("mass=4.0", "mass=-4.0"), ["mass = -4.0", "greater than 0"]),
        (("friction=", "frction="), ["'frction'", "it has: shapes, friction, footprint"]),
        (('name="cuboid"', "name=open('executed', 'w')"), ["can be called"]),
    ],
)
def test_a_task_with_a_bad_field_is_refused_naming_file_line_and_field(
    change: tuple[str, str], said: List[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "task" / "mine"
    folder.mkdir(parents=True)
    text = (PROJECT / "task" / "cuboid" / "config.py").read_text().replace(*change)
    (folder / "config.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "root"
    said = [*said, "task/mine/config.py:"]
    assert_refused(train, ["--exp", "mine", "--root", str(root)], said, root)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--num_envs 0", ["--num_envs 0", "from 1 to 100000"]),
        ("--test_mode viewer", ["--record_video"]),
        ("--record_video x.mp4", ["--test_mode viewer"]),
        ("--test_mode watch", ["--test_mode 'watch': there are: calculator, viewer"]),
        ("--test_mode calculater", ["did you mean calculator?"]),
        ("--num-envs 5", ["unknown option --num-envs; did you mean --num_envs?"]),
        ("--seed -1", ["--seed -1", "from 0 to"]),
        ("--seed 1e30", ["--seed 1", "from 0 to"]),
    ],
)
def test_a_wrong_evaluation_request_is_refused(
    options: str, said: List[str], checkpoint: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    arguments = ["--checkpoint", str(checkpoint), "--root", str(root), *options.split()]
    assert_refused(evaluate, arguments, said, root)


@pytest.mark.slow
def test_the_command_itself_prints_one_line_and_exits_2(tmp_path: Path) -> None:
    done = run_train(tmp_path / "root", "--num_envs", "0")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("mapush: --num_envs 0: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_root_that_is_a_file_is_refused_naming_it(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.write_text("in the way")
    done = run_train(root)
    assert done.returncode == 2
    assert str(root) in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 8 MB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a tmpfs takes root on Linux")
    root = tmp_path / "small"
    root.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(root)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield root
    finally:
        subprocess.run(["umount", "-l", str(root)], check=True)


def fill(root: Path) -> Path:
    """Take all the space that is left."""
    ballast = root / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    return ballast


def full_disk_run(root: Path, *options: str) -> subprocess.Popen[str]:
    """A small run whose disk is filled by others while it trains, at 2,000 steps."""
    process = subprocess.Popen(
        train_command(root, *options),
        cwd=PROJECT,
        env={**os.environ, "MAPUSH_JOB_ID": "job-full"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "evaluation" in line:
            break
    fill(root)
    return process


@pytest.mark.slow
def test_a_full_disk_keeps_the_newest_good_checkpoint_and_says_what_is_needed(
    small_disk: Path,
) -> None:
    process = full_disk_run(small_disk)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, out + err
    assert err.count("\n") == 1
    assert "the disk is full" in err
    assert "bytes are needed" in err
    assert "WARNING" in out
    assert "training continues" in out
    (live,) = (small_disk / "log" / "MQE" / "go1push_mid").iterdir()
    assert sorted((live / "checkpoints").glob("rl_model_*_steps"))
    (small_disk / "ballast").unlink()
    again = run_train(small_disk, job="job-full")
    assert again.returncode == 0, again.stderr
    assert (only_run(small_disk) / "checkpoints" / "rl_model_4000_steps").is_dir()


@pytest.mark.slow
def test_training_goes_on_through_a_full_disk_and_loses_nothing_when_there_is_space_again(
    small_disk: Path,
) -> None:
    process = full_disk_run(small_disk, "--train_timesteps", "12000", "--final_envs", "0")
    assert process.stdout is not None
    shown = ""
    for line in process.stdout:
        shown += line
        if "training continues" in line:
            (small_disk / "ballast").unlink()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, shown + err
    assert "checkpoints are saved again" in shown
    run = only_run(small_disk)
    log = (run / "log.txt").read_text()
    assert [int(step) for step in re.findall(r"^ +steps: (\d+)$", log, re.MULTILINE)] == list(
        range(400, 12_001, 400)
    )
    curve = scalars(run / "tensorboard")["checkpoint/unprotected_steps"]
    assert [step for step, _ in curve] == list(range(400, 12_001, 400))
    assert max(steps for _, steps in curve) > 400


@pytest.mark.slow
def test_training_without_checkpoints_stops_before_it_has_gone_on_for_too_long(
    small_disk: Path,
) -> None:
    process = full_disk_run(small_disk, "--max_unprotected_steps", "1200", "--keep", "last=2")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert err.count("\n") == 1
    assert "more than --max_unprotected_steps 1,200" in err
