"""Many starts in the same hour: none shares a directory, none is lost."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Iterator

import pytest

from mapush.errors import StorageError
from mapush.runs.directory import RunDirectory
from mapush.runs.listing import find_by_job
from mapush.runs.naming import reserve
from mapush.runs.owner import Owner
from tests.durability.starts import START, assert_all_found, start_many

COUNT = 80


@pytest.mark.slow
@pytest.mark.parametrize("flock_works", [True, False], ids=["locks", "no-locks"])
def test_of_many_starts_at_once_each_but_the_killed_gets_its_own_and_is_found(
    flock_works: bool, tmp_path: Path
) -> None:
    killed, _ = start_many(tmp_path, COUNT, kill_one_in=6, flock_works=flock_works)
    assert killed
    assert_all_found(tmp_path, COUNT, killed)


def start(root: Path, moment: datetime, job: str) -> RunDirectory:
    return reserve(root, "cuboid", "go1push_mid", moment, Owner.current(job, 0))


def test_names_of_the_years_before_are_passed_over(tmp_path: Path) -> None:
    found = [start(tmp_path, START.replace(year=2025 + n), str(n)) for n in range(4)]
    assert len({run.name for run in found}) == 4
    assert found[1].name == "10-28-18_cuboid_07-58"
    for number, run in enumerate(found):
        assert find_by_job(tmp_path, str(number)) == run


@pytest.fixture
def _in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_in_berlin")
def test_the_hour_that_comes_twice_and_a_clock_that_goes_back_harm_nothing(tmp_path: Path) -> None:
    if time.tzname[0] not in ("CET", "MET"):
        pytest.skip("the system knows no time zones")
    twice = datetime(2025, 10, 26, 2, 30)
    moments = [twice, twice.replace(fold=1), *(twice - timedelta(seconds=s) for s in (1, 3600))]
    moments += [datetime(2025, 3, 30, 2, 30)]  # a time that there was not
    found = [start(tmp_path, moment, f"job{n}") for n, moment in enumerate(moments)]
    assert len({run.results for run in found}) == len({run.live for run in found}) == len(found)
    for number, run in enumerate(found):
        assert find_by_job(tmp_path, f"job{number}") == run
    offsets = {run.read().started[-6:] for run in found[:2]}
    assert offsets == {"+01:00", "+02:00"}


def test_a_run_of_this_job_whose_record_is_damaged_is_found_by_its_live_one(
    tmp_path: Path,
) -> None:
    run = start(tmp_path, START, "7")
    start(tmp_path, START, "8")
    path = run.results / "run.yaml"
    path.write_bytes(path.read_bytes()[:40])
    said = []
    assert find_by_job(tmp_path, "7", said.append) == run
    assert len(said) == 1


@pytest.mark.slow
def test_a_record_that_cannot_be_read_just_now_begins_nothing_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(tmp_path, START, "7")

    def refuse(self: Path) -> bytes:
        raise OSError(5, os.strerror(5))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        with pytest.raises(StorageError, match="start again"):
            find_by_job(tmp_path, "7")
        # What another user keeps closed is not this job's.
        patch.setattr(os, "geteuid", lambda: run.results.stat().st_uid + 1)
        assert find_by_job(tmp_path, "8") is None
