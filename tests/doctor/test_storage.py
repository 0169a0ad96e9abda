from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path
from typing import Any, Callable, Dict

import pytest

from mapush.doctor import trials
from mapush.doctor.ask import Answer
from mapush.doctor.finding import LOSS, NOTE, OK, WARNING, Finding, losses
from mapush.doctor.storage import (
    checkpoint_bytes,
    judge_kind,
    judge_kinds,
    space_of_a_run,
    try_storage,
)
from mapush.doctor.trials import Calls, try_all
from tests.doctor.questions import levels, question
from tests.support import run_train

pytestmark = pytest.mark.slow  # processes by the dozen

MB = 1_000_000
TRIALS = ("exclusive mkdir", "exclusive hard links", "modification times", "durable writes")


def tried(place: Path, calls: Calls, needed: int = MB) -> Dict[str, Finding]:
    found = {finding.name: finding for finding in try_all(place, 10_000, needed, calls)}
    assert list(place.iterdir()) == []
    return found


def test_a_real_directory_is_sound_and_nothing_stays_in_it(tmp_path: Path) -> None:
    found, slow = try_storage(question(tmp_path / "not" / "yet"))
    assert levels(found) == dict.fromkeys(("root", *TRIALS, "space", "quota"), OK)
    assert 0.0 < slow < 60.0
    assert list(tmp_path.iterdir()) == []


def test_results_on_a_file_system_of_their_own_are_tried_too(tmp_path: Path) -> None:
    (tmp_path / "results").symlink_to("/dev/shm", target_is_directory=True)
    found, _ = try_storage(question(tmp_path))
    assert len([finding for finding in found if finding.name == "exclusive mkdir"]) == 2
    kinds = judge_kinds(question(tmp_path), seen_on_node=False)
    assert [finding.level for finding in kinds][1] == LOSS
    assert "tmpfs, is memory" in kinds[1].what


def _mkdir_of_a_cache(path: Path) -> None:
    # A client that answers from its cache: whether it was there is not asked.
    with contextlib.suppress(FileExistsError):
        os.mkdir(path)  # noqa: PTH102


def _link_of_a_cache(source: Path, target: Path) -> None:
    with contextlib.suppress(FileExistsError):
        os.link(source, target)


def _refuse(number: int) -> Callable[..., Any]:
    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


def _full(descriptor: int, data: bytes) -> int:
    if os.fstat(descriptor).st_size >= 3 * MB:
        raise OSError(errno.EDQUOT, "quota")
    return os.write(descriptor, data)


BROKEN = [
    ({"mkdir": _mkdir_of_a_cache}, "exclusive mkdir", LOSS, "can be made again"),
    ({"mkdir": _refuse(errno.ENOTSUP)}, "exclusive mkdir", LOSS, "not supported"),
    ({"link": _link_of_a_cache}, "exclusive hard links", LOSS, "can be made again"),
    ({"link": _refuse(errno.EPERM)}, "exclusive hard links", NOTE, "exclusive files stand in"),
    ({"rename": _refuse(errno.ENOTSUP)}, "durable writes", LOSS, "not supported"),
    ({"utime": lambda _: None}, "modification times", LOSS, "3,600 s off"),
    ({"write": _full}, "quota", LOSS, "Disk quota exceeded after 3 MB of 5 MB"),
    ({"write": _refuse(errno.EIO)}, "quota", LOSS, "Input/output error after 0 MB"),
]


@pytest.mark.parametrize(("calls", "name", "level", "words"), BROKEN)
def test_a_broken_storage_is_recognised(
    calls: Dict[str, Callable[..., Any]], name: str, level: str, words: str, tmp_path: Path
) -> None:
    finding = tried(tmp_path, Calls(**calls), needed=5 * MB)[name]
    assert finding.level == level
    assert words in finding.what
    assert level == NOTE or (finding.cost and finding.fix)


def test_a_slow_storage_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "_SLOW", 0.02)
    monkeypatch.setattr(trials, "_TRIED_SECONDS", 0.0)

    def rename(source: Path, target: Path) -> None:
        time.sleep(0.02)
        source.rename(target)

    found = tried(tmp_path, Calls(rename=rename))
    assert (found["durable writes"].level, found["quota"].level) == (WARNING, WARNING)
    assert found["durable writes"].seconds > 0.02


def test_only_so_much_is_written_to_see_a_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "_TRIED_BYTES", MB)
    quota = tried(tmp_path, Calls(), needed=5 * MB)["quota"]
    assert (quota.level, "1 MB of 5 MB written" in quota.what) == (NOTE, True)


def test_a_disk_that_would_be_full_is_a_loss_and_not_filled(tmp_path: Path) -> None:
    found = tried(tmp_path, Calls(), needed=10**20)
    assert found["space"].level == LOSS
    assert "quota" not in found


def test_space_is_for_all_runs(tmp_path: Path) -> None:
    asked = question(tmp_path, settings={"keep": "all", "train_timesteps": 10**10}, runs=1000)
    found = {finding.name: finding for finding in try_storage(asked)[0]}
    one = space_of_a_run(asked.settings, asked.recipe).needed
    assert f"{1000 * one / 1e9:,.1f} GB needed" in found["space"].what


def test_a_root_that_cannot_be_written_is_one_finding() -> None:
    (finding,) = losses(try_storage(question(Path("/proc/mapush")))[0])
    assert finding.name == "root"
    assert "/proc: cannot be written" in finding.what


def test_a_storage_that_never_answers_is_a_loss_and_not_a_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Answer("python", None, "", "", "no answer in 120 s")
    monkeypatch.setattr("mapush.doctor.storage.ask", lambda *_, **__: answer)
    (finding,) = losses(try_storage(question(tmp_path))[0])
    assert (finding.name, "no answer in 120 s" in finding.what) == ("root", True)


@pytest.mark.parametrize(
    ("path", "kind", "options", "local", "slurm"),
    [
        ("/var/lib", "ext4", "rw", OK, WARNING),
        ("/tmp/x", "ext4", "rw", WARNING, WARNING),
        ("/tmpx", "nfs4", "rw", OK, OK),
        ("/dev/shm", "tmpfs", "rw", LOSS, LOSS),
        ("/root", "overlay", "rw", WARNING, WARNING),
        ("/home/me", "nfs4", "rw,hard", OK, OK),
        ("/data", "nfs", "rw,vers=3,soft,nolock", WARNING, WARNING),
        ("/scratch/me", "lustre", "rw,flock", OK, OK),
        ("/laptop", "fuse.sshfs", "rw", WARNING, WARNING),
        ("/bucket", "fuse.s3fs", "rw", WARNING, WARNING),
        ("/odd", "oddfs", "rw", OK, OK),
        ("/odd", "", "", OK, OK),
    ],
)
def test_kinds_of_file_systems(path: str, kind: str, options: str, local: str, slurm: str) -> None:
    for nodes_must_see_it, level in ((False, local), (True, slurm)):
        finding = judge_kind(Path(path), kind, options, nodes_must_see_it)
        assert finding.level == level
        assert bool(finding.cost) == bool(finding.fix) == (level != OK)


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
