from __future__ import annotations

import errno
import os
import shutil
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Dict, Mapping

import pytest
from owners import owner

from mapush.errors import LostRunError, RequestError, StorageError
from mapush.runs import record
from mapush.runs.directory import RunDirectory
from mapush.runs.finish import finish
from mapush.runs.listing import open_run
from mapush.runs.naming import reserve

FILES = {
    "checkpoints/rl_model_20000_steps/module.pt": b"weights",
    "checkpoints/rl_model_40000_steps/module.pt": b"more weights",
    "tensorboard/events": b"scalars",
    "task/config.py": b"TASK = 1",
    "log.txt": b"a line",
    "success_rate.txt": b"0.6",
}
CALLS = ("fsync", "link", "mkdir", "open", "rename", "replace", "rmdir", "scandir", "unlink")


FEW_FILES = {
    name: FILES[name] for name in ("checkpoints/rl_model_20000_steps/module.pt", "log.txt")
}


def run_with_files(root: Path, files: Mapping[str, bytes] = FILES) -> RunDirectory:
    run = reserve(root, "cuboid", "go1push_mid", datetime(2025, 10, 28, 18, 7, 58), owner("7"))
    for name, content in files.items():
        path = run.live / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (run.live / ".lease").mkdir()
    (run.live / ".lease/000001").touch()
    (run.live / ".run.yaml.0123abcd.tmp").write_bytes(b"half")
    return run


def content(directory: Path) -> Dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != "run.yaml"
    }


def assert_finished(run: RunDirectory, files: Mapping[str, bytes] = FILES) -> None:
    assert content(run.results) == files
    assert not run.live.exists()
    assert run.current == run.results
    assert run.read().status == record.COMPLETE
    assert list(run.live.parent.iterdir()) == []


def visible(directory: Path) -> Dict[str, bytes]:
    found = content(directory)
    return {name: found[name] for name in found if not name.startswith(".")}


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return run_with_files(tmp_path)


def test_everything_moves_home_and_the_run_is_complete(run: RunDirectory) -> None:
    finish(run)
    assert_finished(run)


def test_finishing_again_changes_nothing(run: RunDirectory) -> None:
    finish(run)
    before = (run.results / "run.yaml").stat().st_ino
    finish(run)
    assert (run.results / "run.yaml").stat().st_ino == before
    assert_finished(run)


def test_the_record_keeps_what_it_knew(run: RunDirectory) -> None:
    run.update(seed=5)
    finish(run)
    assert (run.read().seed, run.read().owner.job_id) == (5, "7")


class Killed(BaseException):
    """The process ends here."""


def other_file_system(monkeypatch: pytest.MonkeyPatch, run: RunDirectory) -> None:
    """Make every rename out of the live directory fail as between two file systems."""
    rename, lstat = Path.rename, Path.lstat

    def rename_within_one(self: Path, target: Path) -> Path:
        if run.live in self.parents and run.live not in Path(target).parents:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return rename(self, target)

    def lstat_of_two(self: Path) -> os.stat_result:
        found = lstat(self)
        if run.live not in self.parents:
            return found
        return os.stat_result((*found[:2], found.st_dev + 1, *found[3:]))

    monkeypatch.setattr(Path, "rename", rename_within_one)
    monkeypatch.setattr(Path, "lstat", lstat_of_two)


def finish_stopped_at(
    monkeypatch: pytest.MonkeyPatch, run: RunDirectory, stop_at: int, fault: OSError
) -> bool:
    """Finish, with every system call from number `stop_at` on failing; whether it got through."""
    count = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: object, **named: object) -> object:
            nonlocal count
            count += 1
            if count >= stop_at:
                raise fault
            return real(*arguments, **named)

        return call

    with monkeypatch.context() as patched:
        for name in CALLS:
            patched.setattr(os, name, counted(getattr(os, name)))
        # Python 3.10's Path does not look its calls up in os.
        for name in ("rename", "replace", "unlink", "rmdir") if sys.version_info < (3, 11) else ():
            patched.setattr(Path, name, counted(getattr(Path, name)))
        try:
            finish(run)
        except (Killed, StorageError):
            return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("across", [False, True], ids=["one file system", "two file systems"])
@pytest.mark.parametrize("fault", [Killed(), OSError(errno.EIO, "Input/output error")], ids=repr)
def test_a_finish_stopped_at_any_call_goes_on_when_called_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, across: bool, fault: OSError
) -> None:
    stop_at, through = 1, False
    while not through:
        run = run_with_files(tmp_path / str(stop_at), FEW_FILES)
        with monkeypatch.context() as patched:
            if across:
                other_file_system(patched, run)
            through = finish_stopped_at(patched, run, stop_at, fault)
            # What a user finds meanwhile tells how it stands, and no part of it is only half there.
            status = open_run(run.root, run.name).read().status
            assert status in (record.RUNNING, record.FINISHING, record.COMPLETE)
            moved = visible(run.results)
            assert moved.items() <= FEW_FILES.items()
            assert status != record.COMPLETE or moved == FEW_FILES
            finish(open_run(run.root, run.name))
            assert_finished(run, FEW_FILES)
        stop_at += 1
    assert stop_at > 20


def test_another_file_system_is_crossed_by_a_copy(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_file_system(monkeypatch, run)
    finish(run)
    assert_finished(run)


def test_a_link_is_moved_and_not_followed(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/keep").touch()
    shutil.rmtree(run.live / "tensorboard")
    (run.live / "tensorboard").symlink_to(tmp_path / "outside")
    other_file_system(monkeypatch, run)
    finish(run)
    assert (run.results / "tensorboard").is_symlink()
    assert (tmp_path / "outside/keep").exists()


def test_a_file_that_a_person_has_put_in_the_way_is_kept_aside(run: RunDirectory) -> None:
    (run.results / "log.txt").write_bytes(b"notes")
    finish(run)
    assert (run.results / "log.txt").read_bytes() == FILES["log.txt"]
    assert (run.results / "log.txt.aside-1").read_bytes() == b"notes"


def test_a_process_that_has_lost_the_run_moves_nothing(run: RunDirectory) -> None:
    def lost() -> None:
        raise LostRunError("another process owns the run")

    with pytest.raises(LostRunError):
        finish(run, lost)
    assert content(run.results) == {}
    assert run.read().status == record.RUNNING


def test_a_run_whose_live_directory_was_deleted_is_not_called_complete(run: RunDirectory) -> None:
    shutil.rmtree(run.live)
    with pytest.raises(RequestError, match="is missing"):
        finish(run)
    assert run.read().status == record.RUNNING
