from __future__ import annotations

import os
import shutil
import time
from datetime import datetime
from pathlib import Path
from typing import Callable, List

import pytest
from owners import elsewhere, gone, owner

from mapush.errors import StorageError
from mapush.runs import pins
from mapush.runs.directory import RunDirectory
from mapush.runs.finish import finish
from mapush.runs.lease import STALE_AFTER, file_system_time
from mapush.runs.naming import reserve
from mapush.runs.pins import PINS, Pin, in_use, living_pins


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    found = reserve(tmp_path, "cuboid", "go1push_mid", datetime(2025, 10, 28, 18), owner())
    found.checkpoints.mkdir()
    return found


def eventually(happened: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.005)
    return happened()


def later(seconds: float) -> Callable[[Path], float]:
    return lambda directory: file_system_time(directory) + seconds


def held(run: RunDirectory, steps: List[int]) -> List[int]:
    needed = in_use(run)
    return [step for step in steps if needed(step)]


def test_a_pin_holds_everything_then_what_it_is_narrowed_to_then_nothing(run: RunDirectory) -> None:
    with Pin(run.checkpoints, owner(), "evaluation") as pin:
        assert held(run, [20, 40, 60]) == [20, 40, 60]
        pin.narrow([60, 20])
        assert held(run, [20, 40, 60]) == [20, 60]
        pin.narrow([])
        assert held(run, [20, 40, 60]) == []
    assert not (run.checkpoints / PINS).exists()


def test_pins_of_several_processes_add_up(run: RunDirectory) -> None:
    with Pin(run.checkpoints, owner(), "a") as first, Pin(run.checkpoints, elsewhere(), "b") as b:
        first.narrow([20])
        b.narrow([40])
        assert held(run, [20, 40, 60]) == [20, 40]
        assert sorted(pin.purpose for pin in living_pins(run.checkpoints)) == ["a", "b"]
    assert held(run, [20, 40, 60]) == []


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"steps": []}', b"\xff", b"[" * 9999]
)
def test_a_pin_that_is_half_written_or_damaged_holds_everything(
    run: RunDirectory, content: bytes
) -> None:
    (run.checkpoints / PINS).mkdir()
    (run.checkpoints / PINS / "0123").write_bytes(content)
    assert held(run, [20]) == [20]
    (found,) = living_pins(run.checkpoints)
    assert "unknown process" in str(found)


def test_a_process_that_is_gone_from_this_machine_holds_nothing(run: RunDirectory) -> None:
    with Pin(run.checkpoints, gone(), "evaluation"):
        assert held(run, [20]) == []


@pytest.mark.parametrize("seconds", [STALE_AFTER + 1, -STALE_AFTER - 1])
def test_without_a_heartbeat_a_process_elsewhere_holds_nothing(
    run: RunDirectory, seconds: float
) -> None:
    with Pin(run.checkpoints, elsewhere(), "evaluation"):
        assert living_pins(run.checkpoints, now=later(STALE_AFTER - 5))
        assert not living_pins(run.checkpoints, now=later(seconds))


def test_the_pins_of_dead_processes_are_cleaned_by_the_next(run: RunDirectory) -> None:
    dead = Pin(run.checkpoints, gone(), "evaluation")
    with Pin(run.checkpoints, owner(), "evaluation"):
        assert len(os.listdir(run.checkpoints / PINS)) == 1
    dead.close()
    assert not (run.checkpoints / PINS).exists()


def test_heartbeats_go_on_and_the_pin_is_closed_after_the_run_has_moved_home(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pins, "RENEW_EVERY", 0.01)
    pin = Pin(run.checkpoints, elsewhere(), "evaluation")
    finish(run)
    (file,) = (run.results / "checkpoints" / PINS).iterdir()
    os.utime(file, (0, 0))
    assert eventually(lambda: file.stat().st_mtime > 0)
    assert held(run, [20]) == [20]
    pin.close()
    assert list(run.checkpoints.iterdir()) == []


def test_a_pin_that_was_taken_for_dead_is_made_again(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pins, "RENEW_EVERY", 0.01)
    with Pin(run.checkpoints, elsewhere(), "evaluation") as pin:
        pin.narrow([40])
        shutil.rmtree(run.checkpoints / PINS)
        assert eventually(lambda: held(run, [20, 40]) == [40])
    assert not (run.checkpoints / PINS).exists()


def test_where_pins_cannot_be_read_nothing_counts_as_free(run: RunDirectory) -> None:
    (run.checkpoints / PINS).write_bytes(b"a file")
    with pytest.raises(StorageError, match=r"\.in-use"):
        in_use(run)(20)
