from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from pathlib import Path
from typing import Any, Callable, Dict

import pytest

from mapush.diagnosis.filesystem import find_mount, judge_mount
from mapush.diagnosis.finding import LOSS, NOTE, OK, WARNING, losses
from mapush.diagnosis.operations import Filling, Operations
from mapush.diagnosis.space import checkpoint_bytes, judge_filling, judge_space
from mapush.diagnosis.storage import examine_storage
from mapush.training.space import Space
from tests.diagnosis.questions import named, question
from tests.diagnosis.recorded import MOUNTS
from tests.support import run_train


def test_a_real_directory_is_sound_and_nothing_stays_in_it(tmp_path: Path) -> None:
    result = examine_storage(question(tmp_path / "not" / "yet"))
    assert losses(result.findings) == []
    names = {finding.name: finding.level for finding in result.findings}
    for name in (
        *("exclusive mkdir", "exclusive hard links", "atomic rename", "file locks"),
        *("modification times", "durable writes", "space", "quota"),
    ):
        assert names[name] == OK
    assert 0.0 < result.slow < 60.0
    assert list(tmp_path.iterdir()) == []


def _mkdir_of_a_cache(path: Path) -> None:
    # A client that answers from its cache: whoever made it is not asked.
    with contextlib.suppress(FileExistsError):
        os.mkdir(path)  # noqa: PTH102


def _link_of_a_cache(source: Path, target: Path) -> None:
    with contextlib.suppress(FileExistsError):
        os.link(source, target)


def _refuse(*_: Any) -> None:
    raise OSError(errno.ENOTSUP, "not supported")


def _nobody(path: Path) -> None:
    raise FileExistsError(errno.EEXIST, "it says so to everyone")


def _slow_rename(source: Path, target: Path) -> None:
    """As one that copies: whoever looks in between sees half of it."""
    if source.is_dir():
        target.mkdir()
        for path in sorted(source.iterdir()):
            shutil.copy(path, target / path.name)
            time.sleep(0.005)
        return
    with target.open("wb") as file:
        data = source.read_bytes()
        file.write(data[:100])
        file.flush()
        time.sleep(0.005)
        file.write(data[100:])


def _hang(*_: Any) -> None:
    time.sleep(60)


BROKEN = [
    ({"mkdir": _mkdir_of_a_cache}, "local", "exclusive mkdir", LOSS, "several made the same"),
    ({"mkdir": _nobody}, "local", "exclusive mkdir", LOSS, "100 times nobody"),
    ({"mkdir": _refuse}, "local", "exclusive mkdir", LOSS, "not supported"),
    ({"link": _link_of_a_cache}, "local", "exclusive hard links", LOSS, "several made the same"),
    ({"link": _refuse}, "local", "hard links", NOTE, "exclusive files stand in"),
    ({"rename": _slow_rename}, "local", "atomic rename", LOSS, "half a"),
    ({"rename": _refuse}, "local", "atomic rename", LOSS, "not supported"),
    ({"flock": lambda *_: None}, "local", "file locks", WARNING, "two processes hold"),
    ({"flock": lambda *_: None}, "slurm", "file locks", NOTE, "nothing relies on them"),
    ({"flock": _refuse}, "local", "file locks", WARNING, "none"),
    ({"utime": lambda _: None}, "local", "modification times", LOSS, "3,600 s off"),
]


@pytest.mark.parametrize(("calls", "cluster", "name", "level", "words"), BROKEN)
def test_a_broken_storage_is_recognised(
    calls: Dict[str, Callable[..., None]],
    cluster: str,
    name: str,
    level: str,
    words: str,
    tmp_path: Path,
) -> None:
    result = examine_storage(question(tmp_path, cluster=cluster), Operations(**calls))
    (finding,) = named(result.findings, name)
    assert finding.level == level
    assert words in finding.what.lower()
    assert level == NOTE or (finding.cost and finding.mend)
    assert list(tmp_path.iterdir()) == []


def test_a_storage_that_never_answers_is_a_loss_and_not_a_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mapush.diagnosis.storage._SECONDS", 1.0)
    begun = time.monotonic()
    result = examine_storage(question(tmp_path), Operations(mkdir=_hang))
    (finding,) = named(result.findings, "exclusive mkdir")
    assert finding.level == LOSS
    assert time.monotonic() - begun < 20


def test_a_root_that_cannot_be_written_is_one_finding() -> None:
    result = examine_storage(question(Path("/proc/mapush")))
    (finding,) = losses(result.findings)
    assert finding.name == "root"
    assert "/proc: cannot be written" in finding.what


@pytest.mark.parametrize(
    ("path", "kind", "local", "slurm"),
    [
        ("/var/lib", "ext4", OK, WARNING),
        ("/tmp/x", "ext4", WARNING, WARNING),
        ("/dev/shm", "tmpfs", LOSS, LOSS),
        ("/dev/shm/deep/er", "tmpfs", LOSS, LOSS),
        ("/dev/shmx", "devtmpfs", LOSS, LOSS),
        ("/home/me", "nfs4", OK, OK),
        ("/home/inner/me", "nfs4", OK, OK),
        ("/data", "nfs", WARNING, WARNING),
        ("/scratch/me", "lustre", OK, OK),
        ("/my disk/me", "xfs", OK, WARNING),
        ("/laptop", "fuse.sshfs", WARNING, WARNING),
        ("/odd", "oddfs", NOTE, NOTE),
    ],
)
def test_kinds_of_file_systems(path: str, kind: str, local: str, slurm: str) -> None:
    place = Path(path)
    mount = find_mount(place, MOUNTS)
    assert mount is not None
    assert mount.kind == kind
    for cluster, level in (("local", local), ("slurm", slurm)):
        found = judge_mount(mount, place, question(place, cluster=cluster))
        assert found[0].level == level
        assert found[0].cost or level in (OK, NOTE)


def test_a_node_that_was_seen_to_have_it_ends_the_doubt() -> None:
    place = Path("/my disk")
    found = judge_mount(
        find_mount(place, MOUNTS), place, question(place, cluster="slurm"), is_on_node=True
    )
    assert [finding.level for finding in found] == [OK]


@pytest.mark.parametrize("text", ["", "x", "1 2 3 - ", "a b c d e f - g", "\x00 - \x00"])
def test_any_list_of_mounts_is_read_without_a_fault(text: str) -> None:
    find_mount(Path("/x"), text)


@pytest.mark.parametrize(("needed", "level"), [(1, OK), (10**20, LOSS)])
def test_space_is_compared_with_what_the_runs_write(
    needed: int, level: str, tmp_path: Path
) -> None:
    asked = question(tmp_path, space=Space(needed, needed, 5, 5))
    assert judge_space(tmp_path, asked)[0].level == level


def test_a_disk_that_would_be_full_is_not_filled(tmp_path: Path) -> None:
    asked = question(tmp_path, space=Space(0, 10**20, 5, 5))
    assert named(examine_storage(asked).findings, "quota") == []


MB = 1_000_000


@pytest.mark.parametrize(
    ("filling", "needed", "level", "words"),
    [
        (Filling(5 * MB, 0.1), 5 * MB, OK, "5 MB of 5 MB"),
        (Filling(200 * MB, 3.0), 900 * MB, NOTE, "was not tried"),
        (Filling(3 * MB, 20.0), 5 * MB, WARNING, "3 MB of 5 MB"),
        (Filling(3 * MB, 1.0, OSError(errno.EDQUOT, "")), 5 * MB, LOSS, "after 3 MB of 5 MB"),
        (Filling(3 * MB, 1.0, OSError(errno.EIO, "")), 5 * MB, LOSS, "Input/output error"),
    ],
)
def test_what_was_really_written_shows_a_quota(
    filling: Filling, needed: int, level: str, words: str, tmp_path: Path
) -> None:
    finding = judge_filling(tmp_path, filling, needed)
    assert finding.level == level
    assert words in finding.what


@pytest.mark.parametrize(("num_envs", "hidden_size"), [(20, 64), (100, 128)])
def test_the_size_of_a_checkpoint_is_known_without_building_it(
    num_envs: int, hidden_size: int, tmp_path: Path
) -> None:
    sizes = ("--num_envs", str(num_envs), "--hidden_size", str(hidden_size))
    steps = ("--train_timesteps", str(num_envs * 20), "--save_freq", "1")
    rest = ("--eval_freq", "0", "--final_envs", "0")
    done = run_train(tmp_path, *sizes, *steps, *rest)
    assert done.returncode == 0, done.stderr
    real = max(path.stat().st_size for path in tmp_path.rglob("module.pt"))
    assert real <= checkpoint_bytes(num_envs, hidden_size) <= 1.15 * real
