from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Callable, List

import pytest
from owners import elsewhere, gone, owner

from mapush.errors import LostRunError, OwnershipError, RequestError, StorageError
from mapush.files import TRANSIENT
from mapush.runs import lease as lease_module
from mapush.runs.directory import RunDirectory
from mapush.runs.finish import finish
from mapush.runs.lease import acquire, file_system_time, holder
from mapush.runs.naming import reserve
from mapush.runs.owner import Owner


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    start = datetime(2025, 10, 28, 18, 7, 58)
    return reserve(tmp_path, "cuboid", "go1push_mid", start, owner())


def in_seconds(seconds: float) -> Callable[[Path], float]:
    """A clock of the file system that is ahead by this much."""
    return lambda directory: file_system_time(directory) + seconds


def leases(run: RunDirectory) -> List[str]:
    return sorted(os.listdir(run.live / ".lease"))


def test_the_first_owner_holds_the_run(run: RunDirectory) -> None:
    first = owner("7")
    ownership = acquire(run, first)
    ownership.check()
    assert holder(run) == first
    assert leases(run) == ["000001"]


@pytest.mark.parametrize("present", [owner("7"), elsewhere("7"), elsewhere()])
def test_a_second_process_is_refused_and_told_who_owns_the_run(
    run: RunDirectory, present: Owner
) -> None:
    ownership = acquire(run, present)
    with pytest.raises(OwnershipError) as caught:
        acquire(run, owner("8"))
    for part in (str(present.pid), present.host, present.since, present.job_id):
        assert part in str(caught.value)
    ownership.check()


def test_a_released_run_is_free_at_once(run: RunDirectory) -> None:
    first = acquire(run, owner())
    first.release()
    assert holder(run) is None
    second = acquire(run, owner())
    second.check()
    with pytest.raises(LostRunError):
        first.check()


def test_releasing_a_lost_run_leaves_the_new_owner_alone(run: RunDirectory) -> None:
    first = acquire(run, elsewhere())
    second = acquire(run, owner(), now=in_seconds(100))
    first.release()
    second.check()
    assert holder(run) == second.owner


def test_a_process_that_is_gone_from_this_machine_is_replaced_at_once(run: RunDirectory) -> None:
    code = (
        "import sys, pathlib\n"
        "from mapush.runs.listing import open_run\n"
        "from mapush.runs.lease import acquire\nfrom mapush.runs.owner import Owner\n"
        "acquire(open_run(pathlib.Path(sys.argv[1]), sys.argv[2]), Owner.current())\n"
    )
    subprocess.run([sys.executable, "-c", code, str(run.root), run.name], check=True)
    assert holder(run) is not None
    acquire(run, owner()).check()


def test_a_pid_that_another_process_has_now_counts_as_gone() -> None:
    present = Owner.current()
    assert not present.has_ended()
    assert owner(process_start=present.process_start - 1).has_ended()


@pytest.mark.parametrize("fault", [FileNotFoundError, PermissionError])
def test_a_process_that_proc_hides_does_not_count_as_gone(
    monkeypatch: pytest.MonkeyPatch, fault: type
) -> None:
    present = Owner.current()

    def refuse(path: Path, **_: object) -> str:
        if path.name == "stat":
            raise fault
        return read(path)

    read = Path.read_text
    monkeypatch.setattr(Path, "read_text", refuse)
    assert not present.has_ended()


def test_of_a_process_elsewhere_only_the_heartbeat_is_known() -> None:
    assert not elsewhere().has_ended()
    assert not owner(process_start=None).has_ended()


@pytest.mark.parametrize(("age", "free"), [(59, False), (61, True), (-59, False), (-61, True)])
def test_an_owner_without_a_heartbeat_for_a_minute_is_replaced(
    run: RunDirectory, age: int, free: bool
) -> None:
    first = acquire(run, elsewhere())
    lease = run.live / ".lease/000001"
    now = lease.stat().st_mtime + age
    if free:
        acquire(run, owner(), now=lambda _: now)
        with pytest.raises(LostRunError):
            first.check()
    else:
        with pytest.raises(OwnershipError):
            acquire(run, owner(), now=lambda _: now)


def test_ages_are_by_the_file_systems_clock_and_not_by_this_hosts(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire(run, elsewhere())
    monkeypatch.setattr(time, "time", lambda: 4e9)
    with pytest.raises(OwnershipError):
        acquire(run, owner())


def test_a_heartbeat_keeps_the_run(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    first = acquire(run, elsewhere())
    lease = run.live / ".lease/000001"
    old = lease.stat().st_mtime - 1000
    os.utime(lease, (old, old))
    first.renew()
    assert lease.stat().st_mtime == old
    monkeypatch.setattr(lease_module, "RENEW_EVERY", 0)
    first.renew()
    with pytest.raises(OwnershipError):
        acquire(run, owner())


@pytest.mark.parametrize(
    ("job", "restart", "free"),
    [("7", 1, True), ("7", 0, False), ("8", 1, False), ("", 1, False)],
)
def test_a_job_the_scheduler_has_restarted_replaces_itself_at_once(
    run: RunDirectory, job: str, restart: int, free: bool
) -> None:
    zombie = acquire(run, elsewhere("" if job == "" else "7", 0))
    if not free:
        with pytest.raises(OwnershipError):
            acquire(run, owner(job, restart))
        return
    acquire(run, owner(job, restart))
    with pytest.raises(LostRunError, match="taken over by process"):
        zombie.check()


def test_an_older_start_of_a_job_cannot_take_the_run_back(run: RunDirectory) -> None:
    acquire(run, elsewhere("7", 2))
    with pytest.raises(OwnershipError):
        acquire(run, owner("7", 1))


def test_a_zombie_notices_before_it_writes_also_when_its_own_lease_still_lies_there(
    run: RunDirectory,
) -> None:
    zombie = acquire(run, elsewhere())
    acquire(run, owner(), now=in_seconds(100))
    (run.live / ".lease/000001").touch()
    with pytest.raises(LostRunError):
        zombie.check()


def test_a_zombie_notices_that_the_run_has_been_finished(run: RunDirectory) -> None:
    zombie = acquire(run, elsewhere())
    finish(run, acquire(run, owner(), now=in_seconds(100)).check)
    with pytest.raises(LostRunError):
        zombie.check()
    zombie.release()


def test_of_two_that_replace_a_dead_owner_at_once_one_wins(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire(run, gone())
    create = lease_module._create
    winners = []

    def overtaken(lease: Path, mine: Owner) -> None:
        monkeypatch.setattr(lease_module, "_create", create)
        winners.append(acquire(run, owner("faster")))
        create(lease, mine)

    monkeypatch.setattr(lease_module, "_create", overtaken)
    with pytest.raises(OwnershipError, match="faster"):
        acquire(run, owner("slower"))
    winners[0].check()


def test_one_that_comes_late_by_two_generations_does_not_win(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire(run, gone())
    create = lease_module._create
    winners = []

    def overtaken_twice(lease: Path, mine: Owner) -> None:
        monkeypatch.setattr(lease_module, "_create", create)
        acquire(run, owner("7", 0))
        winners.append(acquire(run, owner("7", 1)))
        create(lease, mine)

    monkeypatch.setattr(lease_module, "_create", overtaken_twice)
    with pytest.raises(OwnershipError):
        acquire(run, owner("slower"))
    winners[0].check()
    assert leases(run) == ["000003"]


def test_a_file_system_without_hard_links_excludes_all_the_same(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    acquire(run, owner()).check()
    with pytest.raises(OwnershipError):
        acquire(run, owner())


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"pid": "x"}', b"[" * 90_000])
def test_of_a_damaged_lease_only_the_heartbeat_counts(run: RunDirectory, content: bytes) -> None:
    acquire(run, owner())
    (run.live / ".lease/000001").write_bytes(content)
    with pytest.raises(OwnershipError, match="unknown process"):
        acquire(run, owner())
    acquire(run, owner(), now=in_seconds(100)).check()


def test_an_owner_knows_when_the_one_before_was_last_heard_of(run: RunDirectory) -> None:
    first = acquire(run, elsewhere())
    assert first.before is None
    lease = run.live / ".lease/000001"
    os.utime(lease, (1e9, 1e9))
    second = acquire(run, owner())
    assert second.before == (first.owner.token, 1e9)
    second.release()
    (run.live / ".lease/000002").write_bytes(b"{")
    assert acquire(run, owner(), now=in_seconds(100)).before is None


@pytest.mark.slow
def test_a_storage_fault_is_no_lost_run(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    ownership = acquire(run, owner())

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(os, "utime", refuse)
        broken.setattr(lease_module, "RENEW_EVERY", 0)
        with pytest.raises(StorageError):
            ownership.check()
        ownership.renew()
    ownership.check()


def fails_first(
    monkeypatch: pytest.MonkeyPatch, name: str, code: int, times: int = 1, done: bool = False
) -> List[None]:
    """Let the first calls of a function of `os` fail, before or after they are done."""
    function, calls = getattr(os, name), []

    def failing(*arguments: object, **named: object) -> object:
        calls.append(None)
        if len(calls) > times:
            return function(*arguments, **named)
        if done:
            function(*arguments, **named)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, name, failing)
    return calls


@pytest.mark.parametrize(
    ("call", "code"),
    [
        *(("utime", code) for code in sorted({*TRANSIENT, errno.ENOENT, errno.ENOTDIR})),
        *(("listdir", code) for code in sorted(TRANSIENT)),
    ],
)
def test_one_failed_look_at_the_lease_is_no_lost_run(
    run: RunDirectory, call: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ownership = acquire(run, owner())
    calls = fails_first(monkeypatch, call, code)
    ownership.check()
    assert len(calls) > 1


@pytest.mark.parametrize("code", sorted(TRANSIENT))
def test_a_lease_that_cannot_be_seen_for_long_is_a_fault_of_the_storage(
    run: RunDirectory,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ownership = acquire(run, owner())
    with monkeypatch.context() as broken:
        fails_first(broken, "utime", code, times=10_000)
        with pytest.raises(StorageError, match="000001"):
            ownership.check(patience=0.05)
        for _ in range(3):
            ownership.renew(every=0)
    (warning,) = caplog.messages
    assert "a heartbeat failed" in warning
    assert "taken over" not in warning
    ownership.check()


def test_a_heartbeat_that_fails_hardly_delays_the_training(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tenacity  # noqa: F401 - loading it is not what is measured

    ownership = acquire(run, owner())
    fails_first(monkeypatch, "utime", errno.ESTALE, times=10_000)
    taken = []
    for _ in range(2):
        begun = time.monotonic()
        ownership.renew(every=0)
        taken.append(time.monotonic() - begun)
    assert taken[0] < 0.6
    assert taken[1] < 0.05


def test_a_cached_listing_without_the_own_lease_is_no_lost_run(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    ownership = acquire(run, owner())
    monkeypatch.setattr(os, "listdir", lambda _: [])
    ownership.check()


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
def test_a_link_that_was_made_though_the_answer_was_lost_is_this_process_s(
    run: RunDirectory, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = fails_first(monkeypatch, "link", code, done=True)
    ownership = acquire(run, owner("7"))
    ownership.check()
    assert len(calls) == 2
    assert (ownership.generation, leases(run)) == (1, ["000001"])
    with pytest.raises(OwnershipError):
        acquire(run, owner("8"))


def test_a_released_lease_that_cannot_be_read_at_once_is_released_all_the_same(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire(run, elsewhere()).release()
    read, calls = Path.open, []

    def failing(path: Path, *arguments: object, **named: object) -> object:
        if path.name == "000001" and not calls:
            calls.append(None)
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return read(path, *arguments, **named)

    monkeypatch.setattr(Path, "open", failing)
    acquire(run, owner()).check()
    assert calls


def test_a_finished_run_cannot_be_owned(run: RunDirectory) -> None:
    finish(run)
    with pytest.raises(RequestError, match="no live directory"):
        acquire(run, owner())


def test_restarts_are_read_from_the_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    assert (Owner.current().job_id, Owner.current().restart) == ("", 0)
    monkeypatch.setenv("SLURM_JOB_ID", "55")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    assert (Owner.current().job_id, Owner.current().restart) == ("55", 2)
