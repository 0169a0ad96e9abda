from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import List

import pytest

from mapush.diagnosis.outside import ask
from mapush.diagnosis.processes import Died, Overdue, bounded, together
from mapush.errors import RequestError


def test_a_result_and_an_error_come_back_from_another_process() -> None:
    assert bounded(10.0, os.getpid) != os.getpid()

    def refused() -> None:
        raise OSError(errno.EDQUOT, "quota")

    with pytest.raises(OSError, match="quota") as caught:
        bounded(10.0, refused)
    assert caught.value.errno == errno.EDQUOT

    def wrong() -> None:
        raise RequestError("no")

    with pytest.raises(RequestError, match="no"):
        bounded(10.0, wrong)


def test_what_hangs_or_dies_ends_in_time_and_leaves_nothing_running() -> None:
    begun = time.monotonic()
    with pytest.raises(Overdue):
        bounded(0.2, lambda: time.sleep(60))
    with pytest.raises(Died):
        bounded(10.0, lambda: os._exit(3))
    with pytest.raises(Overdue):
        together(0.2, [lambda: time.sleep(60)] * 3)
    assert time.monotonic() - begun < 5
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_what_a_process_has_started_ends_with_it(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    def hang() -> None:
        with pids.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(60)

    with pytest.raises(Overdue):
        bounded(1.0, lambda: together(60.0, [hang] * 3))
    numbers = [int(line) for line in pids.read_text().split()]
    assert len(numbers) == 3
    _await_end_of(numbers)


def _await_end_of(pids: List[int]) -> None:
    deadline = time.monotonic() + 20.0
    while any(_is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_result_larger_than_a_pipe_comes_back_whole() -> None:
    assert bounded(10.0, lambda: bytes(1_000_000)) == bytes(1_000_000)


def test_a_command_that_hangs_ends_with_all_it_started_and_is_an_answer() -> None:
    begun = time.monotonic()
    answer = ask(["bash", "-c", "sleep 60 & echo $!; wait"], 0.5)
    assert time.monotonic() - begun < 5
    assert answer.code is None
    assert "no answer in" in answer.complaint
    _await_end_of([int(answer.out)])


def test_a_command_that_is_not_there_is_an_answer() -> None:
    answer = ask(["mapush-nosuch"])
    assert not answer.is_good
    assert answer.complaint == "mapush-nosuch: not found"


def test_what_a_command_complains_of_is_one_printable_line() -> None:
    answer = ask(["bash", "-c", r"printf 'no\n\033[31mway\n' >&2; exit 3"])
    assert answer.complaint == "bash: no [31mway"
