from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Callable, Iterable, List

import pytest
from checkpoint_states import same, state_at

from mapush import files
from mapush.checkpoint import manifest, module, publish, retention
from mapush.checkpoint.store import CheckpointStore
from mapush.errors import CheckpointError, LostRunError, StorageError

STEPS = (20_000, 40_000, 100_000)


@pytest.fixture
def warnings() -> List[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, warnings: List[str]) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints", retention.KeepAll(), warn=warnings.append)


def fill(store: CheckpointStore, steps: Iterable[int] = STEPS) -> None:
    for step in steps:
        store.save(state_at(step))


def steps_of(store: CheckpointStore) -> List[int]:
    return [entry.step for entry in store.entries()]


def listing(store: CheckpointStore) -> List[str]:
    return sorted(path.name for path in store.directory.iterdir())


def again(store: CheckpointStore, warnings: List[str], **arguments: object) -> CheckpointStore:
    return CheckpointStore(store.directory, warn=warnings.append, **arguments)


def test_a_saved_checkpoint_is_a_module_and_a_manifest_and_nothing_else(
    store: CheckpointStore,
) -> None:
    path = store.save(state_at(20_000))
    assert path == store.directory / "rl_model_20000_steps"
    assert sorted(each.name for each in path.iterdir()) == ["manifest.json", "module.pt"]
    assert listing(store) == [path.name]


def test_order_is_numeric_and_other_names_are_not_checkpoints(store: CheckpointStore) -> None:
    fill(store, (100_000, 20_000, 3_000_000))
    for name in (
        "rl_model_5_steps.bad-1",
        ".rl_model_7_steps.0123abcd.tmp",
        "rl_model_007_steps",
        "rl_model_-1_steps",
        "rl_model_x_steps",
        "best",
    ):
        (store.directory / name).mkdir()
    assert steps_of(store) == [20_000, 100_000, 3_000_000]


def test_a_directory_that_is_not_there_has_no_checkpoints(store: CheckpointStore) -> None:
    assert store.entries() == []
    assert store.newest_valid() is None


def test_the_newest_by_number_is_resumed_from(store: CheckpointStore, warnings: List[str]) -> None:
    fill(store)
    found = again(store, warnings).newest_valid()
    assert found is not None
    entry, state = found
    assert entry.step == 100_000
    assert same(
        {"format": module.FORMAT, **state_at(100_000)}["actor_network"], state["actor_network"]
    )
    assert warnings == []


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def swap_manifests(directory: Path) -> None:
    one, other = (directory / f"rl_model_{step}_steps/manifest.json" for step in (100_000, 40_000))
    one.write_bytes(other.read_bytes())


def become_a_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_bytes(b"")


def become_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


CORRUPTIONS = {
    "module truncated": lambda path: truncate(path / "module.pt"),
    "module bit-flipped": lambda path: flip(path / "module.pt"),
    "module empty": lambda path: (path / "module.pt").write_bytes(b""),
    "module zeros": lambda path: (path / "module.pt").write_bytes(bytes(9000)),
    "module missing": lambda path: (path / "module.pt").unlink(),
    "module a directory": lambda path: become_a_directory(path / "module.pt"),
    "module of another step": lambda path: shutil.copy(
        path.with_name("rl_model_40000_steps") / "module.pt", path
    ),
    "manifest missing": lambda path: (path / "manifest.json").unlink(),
    "manifest truncated": lambda path: truncate(path / "manifest.json"),
    "manifest empty": lambda path: (path / "manifest.json").write_bytes(b""),
    "manifest swapped": lambda path: swap_manifests(path.parent),
    "another checkpoint under this name": lambda path: (
        shutil.rmtree(path),
        shutil.copytree(path.with_name("rl_model_40000_steps"), path),
    ),
    "directory empty": lambda path: (shutil.rmtree(path), path.mkdir()),
    "a file instead of a directory": become_a_file,
    "a dangling link": lambda path: (shutil.rmtree(path), path.symlink_to("nowhere")),
}


@pytest.mark.parametrize("corruption", sorted(CORRUPTIONS))
def test_a_bad_checkpoint_is_set_aside_with_a_warning_and_the_next_older_taken(
    store: CheckpointStore, warnings: List[str], corruption: str
) -> None:
    fill(store)
    CORRUPTIONS[corruption](store.directory / "rl_model_100000_steps")
    resumed = again(store, warnings)
    entry, state = resumed.newest_valid()
    assert (entry.step, state["training_step"]) == (40_000, 40_000)
    assert steps_of(resumed) == [20_000, 40_000]
    assert os.path.lexists(store.directory / "rl_model_100000_steps.bad-1")
    assert len(warnings) == 1
    assert "rl_model_100000_steps.bad-1" in warnings[0]
    assert "\n" not in warnings[0]


@pytest.mark.parametrize("corruption", sorted(CORRUPTIONS))
def test_saving_where_a_bad_checkpoint_lies_sets_it_aside_and_saves(
    store: CheckpointStore, warnings: List[str], corruption: str
) -> None:
    fill(store)
    CORRUPTIONS[corruption](store.directory / "rl_model_100000_steps")
    store.save(state_at(100_000))
    assert len(warnings) == 1
    assert again(store, warnings).newest_valid()[0].step == 100_000


def test_bad_ones_of_the_same_step_are_all_kept_aside(
    store: CheckpointStore, warnings: List[str]
) -> None:
    for _ in range(3):
        fill(store)
        flip(store.directory / "rl_model_100000_steps/module.pt")
        store.newest_valid()
    aside = [name for name in listing(store) if ".bad-" in name]
    assert aside == [f"rl_model_100000_steps.bad-{number}" for number in (1, 2, 3)]


def test_with_every_checkpoint_bad_there_is_none_and_none_is_deleted(
    store: CheckpointStore, warnings: List[str]
) -> None:
    fill(store)
    for step in STEPS:
        flip(store.directory / f"rl_model_{step}_steps/module.pt")
    assert again(store, warnings).newest_valid() is None
    assert len(warnings) == len(STEPS)
    assert len(listing(store)) == len(STEPS)


def test_a_checkpoint_that_cannot_be_read_just_now_is_not_set_aside(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)

    def refuse(self: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    with pytest.raises(StorageError, match="Permission denied"):
        store.newest_valid()
    assert steps_of(store) == list(STEPS)


def refusing(
    monkeypatch: pytest.MonkeyPatch, path: Path, code: int, until: Callable[[Path], bool]
) -> None:
    """Let a file not be opened until, of all files that are asked for, one is the right one."""
    read, over = Path.open, []

    def failing(asked: Path, *arguments: object, **named: object) -> object:
        if until(asked):
            over.append(None)
        if asked == path and not over:
            raise OSError(code, os.strerror(code))
        return read(asked, *arguments, **named)

    monkeypatch.setattr(Path, "open", failing)


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
@pytest.mark.parametrize("name", ["module.pt", "manifest.json"])
def test_a_fault_of_the_moment_passes_no_good_checkpoint_over(
    store: CheckpointStore,
    warnings: List[str],
    code: int,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(store)
    path = store.directory / f"rl_model_{STEPS[-1]}_steps" / name
    asked: List[Path] = []
    refusing(monkeypatch, path, code, lambda each: (asked.append(each), asked.count(path) > 2)[1])
    assert again(store, warnings).newest_valid()[0].step == STEPS[-1]
    assert asked.count(path) > 2
    assert (warnings, steps_of(store)) == ([], list(STEPS))


def test_a_fault_that_is_over_once_an_older_checkpoint_is_read_passes_none_over(
    store: CheckpointStore, warnings: List[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    newest, older = (store.directory / f"rl_model_{step}_steps" for step in (100_000, 40_000))
    monkeypatch.setattr(files, "PATIENCE", 0.02)
    refusing(monkeypatch, newest / "module.pt", errno.EIO, lambda each: each.parent == older)
    assert again(store, warnings).newest_valid()[0].step == STEPS[-1]
    assert (warnings, steps_of(store)) == ([], list(STEPS))


def test_saving_the_same_step_again_keeps_the_good_one(
    store: CheckpointStore, warnings: List[str]
) -> None:
    fill(store)
    path = store.directory / "rl_model_100000_steps/module.pt"
    before = path.stat().st_ino
    again(store, warnings).save(state_at(100_000))
    assert path.stat().st_ino == before
    assert warnings == []


def test_saving_the_same_step_again_takes_over_its_evaluation(store: CheckpointStore) -> None:
    fill(store)
    path = store.save(state_at(100_000), {"success_rate": 0.7})
    assert manifest.read(path / "manifest.json").evaluation == {"success_rate": 0.7}
    assert store.newest_valid()[0].step == 100_000


def test_retention_follows_every_save(store: CheckpointStore, warnings: List[str]) -> None:
    kept = again(store, warnings, policy=retention.parse("last=2,every=100000,first"))
    fill(kept, range(20_000, 260_001, 20_000))
    assert steps_of(kept) == [20_000, 100_000, 200_000, 240_000, 260_000]
    assert len(listing(kept)) == 5


def test_scores_of_earlier_processes_count_for_the_best(
    store: CheckpointStore, warnings: List[str]
) -> None:
    for step, rate in ((20_000, 0.1), (40_000, 0.9), (60_000, 0.2)):
        store.save(state_at(step), {"success_rate": rate})
    kept = again(store, warnings, policy=retention.parse("best=1"))
    kept.save(state_at(80_000))
    assert steps_of(kept) == [40_000, 80_000]


def test_an_evaluation_found_later_counts_for_the_best(
    store: CheckpointStore, warnings: List[str]
) -> None:
    fill(store)
    kept = again(store, warnings, policy=retention.parse("best=1"))
    kept.record_evaluation(20_000, {"success_rate": 0.4})
    kept.save(state_at(120_000))
    assert steps_of(kept) == [20_000, 120_000]


def test_evaluating_a_checkpoint_that_is_not_there_is_refused(store: CheckpointStore) -> None:
    with pytest.raises(CheckpointError, match="rl_model_5_steps"):
        store.record_evaluation(5, {"success_rate": 0.4})


def test_manifests_are_not_read_again_at_every_save(
    store: CheckpointStore, warnings: List[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    kept = again(store, warnings)
    kept.save(state_at(120_000))
    reads = []
    monkeypatch.setattr(manifest, "read", reads.append)
    fill(kept, range(140_000, 260_001, 20_000))
    assert reads == []


def test_what_a_live_process_resumed_from_is_kept(
    store: CheckpointStore, warnings: List[str]
) -> None:
    fill(store)
    resumed = again(store, warnings, policy=retention.KeepLast(1))
    resumed.newest_valid()
    resumed.save(state_at(120_000))
    resumed.save(state_at(140_000))
    assert steps_of(resumed) == [100_000, 140_000]


def test_a_pinned_checkpoint_is_kept(store: CheckpointStore, warnings: List[str]) -> None:
    fill(store)
    kept = again(store, warnings, policy=retention.KeepLast(1))
    kept.pin(40_000)
    kept.save(state_at(120_000))
    assert steps_of(kept) == [40_000, 120_000]


@pytest.mark.parametrize(
    "policy", [retention.AnyOf(()), retention.KeepFirst(), retention.KeepBest(1)]
)
def test_no_policy_deletes_the_only_valid_checkpoint(
    store: CheckpointStore, warnings: List[str], policy: retention.Policy
) -> None:
    kept = again(store, warnings, policy=policy)
    fill(kept)
    assert 100_000 in steps_of(kept)
    assert again(store, warnings).newest_valid()[0].step == 100_000


def test_the_one_just_saved_is_kept_also_where_a_newer_name_may_be_bad(
    store: CheckpointStore, warnings: List[str]
) -> None:
    fill(store)
    flip(store.directory / "rl_model_100000_steps/module.pt")
    kept = again(store, warnings, policy=retention.KeepLast(1))
    kept.save(state_at(60_000))
    assert again(store, warnings).newest_valid()[0].step == 60_000


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("call", ["fsync", "mkdir", "rename"])
def test_a_storage_fault_is_named_and_deletes_nothing(
    store: CheckpointStore,
    warnings: List[str],
    monkeypatch: pytest.MonkeyPatch,
    fault: OSError,
    call: str,
) -> None:
    fill(store)
    kept = again(store, warnings, policy=retention.KeepLast(1))

    def refuse(*arguments: object, **named: object) -> None:
        raise OSError(fault, os.strerror(fault))

    with monkeypatch.context() as broken:
        broken.setattr(os, call, refuse)
        if sys.version_info < (3, 11) and call != "fsync":
            broken.setattr(Path, call, refuse)
        with pytest.raises(StorageError, match="rl_model_120000_steps") as caught:
            kept.save(state_at(120_000))
    if fault == errno.ENOSPC:
        assert "bytes are needed" in str(caught.value)
    assert steps_of(kept) == list(STEPS)
    assert len(listing(kept)) == len(STEPS)
    kept.save(state_at(120_000))
    assert steps_of(kept) == [120_000]


def test_a_process_that_has_lost_the_run_changes_nothing(
    store: CheckpointStore, warnings: List[str]
) -> None:
    fill(store)
    flip(store.directory / "rl_model_100000_steps/module.pt")
    (store.directory / ".rl_model_7_steps.0123abcd.tmp").mkdir()
    before = listing(store)

    def lost() -> None:
        raise LostRunError("another process owns the run")

    zombie = again(store, warnings, policy=retention.KeepLast(1), guard=lost)
    for attempt in (zombie.newest_valid, lambda: zombie.save(state_at(120_000))):
        with pytest.raises(LostRunError):
            attempt()
        assert listing(store) == before
    (store.directory / ".rl_model_7_steps.0123abcd.tmp").rmdir()
    for attempt in (zombie.newest_valid, lambda: zombie.save(state_at(120_000))):
        with pytest.raises(LostRunError):
            attempt()
        assert len(listing(store)) == len(STEPS)


def test_a_process_that_has_lost_a_run_that_moved_home_does_not_make_its_directory_anew(
    tmp_path: Path,
) -> None:
    def lost() -> None:
        raise LostRunError("another process has finished the run")

    zombie = CheckpointStore(tmp_path / "live" / "checkpoints", guard=lost)
    with pytest.raises(LostRunError):
        zombie.save(state_at(20_000))
    assert list(tmp_path.iterdir()) == []


def test_a_fault_while_scores_are_read_deletes_no_checkpoint_that_may_be_the_best(
    store: CheckpointStore, warnings: List[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    kept = again(store, warnings, policy=retention.parse("best=1"))

    def refuse(path: Path) -> None:
        raise CheckpointError(str(path)) from OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(manifest, "read", refuse)
        kept.save(state_at(120_000))
    assert steps_of(store) == [*STEPS, 120_000]
    assert len(warnings) == 1
    kept.save(state_at(140_000))
    assert steps_of(store) == [140_000]


@pytest.mark.slow
@pytest.mark.parametrize("all_of_them", [True, False])
def test_a_read_fault_sets_aside_only_where_an_older_one_can_be_read(
    store: CheckpointStore,
    warnings: List[str],
    monkeypatch: pytest.MonkeyPatch,
    all_of_them: bool,
) -> None:
    fill(store)
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if all_of_them or "100000" in path.parent.name:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    if all_of_them:
        with pytest.raises(StorageError, match="rl_model_100000_steps"):
            store.newest_valid()
        assert steps_of(store) == list(STEPS)
    else:
        assert store.newest_valid()[0].step == 40_000
        assert steps_of(store) == [20_000, 40_000]


def test_a_leftover_that_cannot_be_removed_stops_no_save(
    store: CheckpointStore, warnings: List[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    (store.directory / ".rl_model_7_steps.0123abcd.tmp").mkdir()

    def refuse(path: Path) -> None:
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))

    monkeypatch.setattr("mapush.checkpoint.store.remove", refuse)
    again(store, warnings).save(state_at(120_000))
    assert 120_000 in steps_of(store)
    assert len(warnings) == 1


def test_leftovers_of_killed_writers_are_cleaned_at_the_start(
    store: CheckpointStore, warnings: List[str]
) -> None:
    fill(store)
    half = store.directory / ".rl_model_120000_steps.0123abcd.tmp"
    half.mkdir()
    (half / "module.pt").write_bytes(b"half")
    again(store, warnings).newest_valid()
    assert not half.exists()
    assert steps_of(store) == list(STEPS)


class Killed(BaseException):
    """Ends the process's work at some system call, leaving what was done."""


def calls_of(action: Callable[[], object], monkeypatch: pytest.MonkeyPatch, kill_at: int) -> int:
    """Run `action` and kill it at its system call number `kill_at`; the number of calls made."""
    count = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: object, **named: object) -> object:
            nonlocal count
            count += 1
            # Once killed, no clean-up of the dead process reaches the disk either.
            if count >= kill_at:
                raise Killed
            return real(*arguments, **named)

        return call

    with monkeypatch.context() as patched:
        for name in ("fsync", "mkdir", "rename", "replace", "rmdir", "unlink", "open"):
            patched.setattr(os, name, counted(getattr(os, name)))
        # Python 3.10's Path does not look its calls up in os.
        for name in ("mkdir", "rename", "replace", "unlink") if sys.version_info < (3, 11) else ():
            patched.setattr(Path, name, counted(getattr(Path, name)))
        with contextlib.suppress(Killed):
            action()
    return count


def test_a_save_killed_at_any_call_leaves_the_old_or_the_new_checkpoint_whole(
    tmp_path: Path, warnings: List[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_at = 1
    while True:
        directory = tmp_path / str(kill_at)
        store = CheckpointStore(directory, retention.KeepLast(1))
        store.save(state_at(20_000))
        calls = calls_of(lambda: store.save(state_at(40_000)), monkeypatch, kill_at)  # noqa: B023
        resumed = CheckpointStore(directory, retention.KeepLast(1), warn=warnings.append)
        entry, _ = resumed.newest_valid()
        assert entry.step in (20_000, 40_000)
        assert not publish.leftovers(directory)
        resumed.save(state_at(60_000))
        if calls < kill_at:
            break
        kill_at += 1
    assert kill_at > 8
    assert warnings == []
    assert entry.step == 40_000
