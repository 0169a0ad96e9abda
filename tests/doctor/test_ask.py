from __future__ import annotations

import time
from pathlib import Path

from mapush.doctor.ask import ask


def test_a_program_that_hangs_ends_with_all_it_started_and_is_an_answer() -> None:
    begun = time.monotonic()
    answer = ask(["bash", "-c", "sleep 60 & echo $!; wait"], 0.5)
    assert time.monotonic() - begun < 5
    assert answer.code is None
    assert "no answer in" in answer.complaint
    assert _is_gone(int(answer.out))


def _is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline:
        try:
            text = Path(f"/proc/{pid}/stat").read_text()
        except FileNotFoundError:
            return True
        if text.rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def test_a_program_that_is_not_there_is_an_answer() -> None:
    answer = ask(["mapush-nosuch"])
    assert not answer.is_good
    assert answer.complaint == "mapush-nosuch: not found"


def test_what_a_program_complains_of_is_one_printable_line() -> None:
    answer = ask(["bash", "-c", r"printf 'no\n\033[31mway\xff\n' >&2; exit 3"])
    assert answer.complaint == "bash: no [31mway�"
