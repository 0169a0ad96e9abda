from __future__ import annotations

from pathlib import Path

import pytest

from mapush.job.progress import Progress, parse_progress, read_progress

INDENT = " " * 25
ENTRY = (
    "[11/23/26 18:12:53] INFO Episode: 3/500\n"
    f"{INDENT}steps: 80000\n{INDENT}steps_per_second: 41000.5\n"
    f"{INDENT}success_rate: 0.41\n{INDENT}average_step_reward: -0.02\n"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("[11/23/26 18:12:53] INFO evaluation at 3 steps\n", None),
        (ENTRY, Progress(3, 500, 80000, 41000.5, 0.41)),
        (ENTRY + ENTRY.replace("3/500", "4/500"), Progress(4, 500, 80000, 41000.5, 0.41)),
        (ENTRY + "[11/23/26 18:12:54] WARNING slow\n", Progress(3, 500, 80000, 41000.5, 0.41)),
        ("lf of a line\n" + ENTRY, Progress(3, 500, 80000, 41000.5, 0.41)),
        ("[11/23/26 18:12:53] INFO Episode: 0/12\n", Progress(0, 12, None, None, None)),
        (ENTRY.replace("0.41", "?"), Progress(3, 500, 80000, 41000.5, None)),
    ],
)
def test_the_last_update_of_a_log_is_read(text: str, expected: Progress) -> None:
    assert parse_progress(text) == expected


def test_a_line_that_is_being_written_is_left_out() -> None:
    torn = ENTRY[: ENTRY.index("41000.5") + 3]
    assert parse_progress(torn) == Progress(3, 500, 80000, None, None)


def test_a_long_log_is_read_from_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text(ENTRY * 1000 + ENTRY.replace("3/500", "499/500"), encoding="utf-8")
    progress = read_progress(log)
    assert progress is not None
    assert progress.update == 499


def test_a_log_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert read_progress(tmp_path / "log.txt") is None
