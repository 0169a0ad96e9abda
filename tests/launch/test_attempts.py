from __future__ import annotations

from pathlib import Path
from typing import List, Tuple

import pytest
from made_jobs import fill, make_job, tiny_disk

from mapush.errors import StorageError
from mapush.job import attempts
from mapush.job.requeue import Attempt

START = '{"event": "start", "node": "n1", "log_bytes": 7}'
SUBMIT = '{"event": "submit"}'


def end(code: int, step: int) -> str:
    return f'{{"event": "end", "code": {code}, "step": {step}}}'


@pytest.mark.parametrize(
    ("text", "starts", "ended"),
    [
        ("", 0, []),
        ("\n\n\n", 0, []),
        (f"{SUBMIT}\n{START}\n{end(75, 400)}\n", 1, [(75, 400)]),
        # A start without an end was killed with what watched it.
        (f"{START}\n{START}\n{end(1, 0)}\n{START}\n", 3, [(1, 0)]),
        # Resubmission: failures count anew, starts go on.
        (f"{START}\n{end(1, 0)}\n{SUBMIT}\n{START}\n{end(75, 9)}", 2, [(75, 9)]),
        # Torn by a kill or a full disk: what follows begins on a line of its own.
        (f'{START[:20]}\n{START}\n{end(1, 5)[:-3]}\n{end(75, 6)}\n{{"ev', 1, [(75, 6)]),
        (f"\n{START}\n\0\0\0\0\n{end(75, 6)}\n", 1, [(75, 6)]),
        # What others may write.
        (f'[]\n3\nnull\n"start"\n{"[" * 100_000}\n{{}}\n{START}', 1, []),
        ('{"event": "end", "code": "x", "step": true}\n', 0, [(0, 0)]),
        ('{"event": "end", "code": 1e999, "step": null}\n', 0, [(0, 0)]),
        ('{"event": ["start"]}\n{"event": "stop"}\n', 0, []),
    ],
)
def test_the_ledger_is_read_whatever_became_of_its_lines(
    text: str, starts: int, ended: List[Tuple[int, int]], tmp_path: Path
) -> None:
    path = tmp_path / attempts.FILE_NAME
    path.write_text(text, encoding="utf-8")
    found = attempts.read(path)
    assert found.starts == starts
    assert [(each.exit_code, each.step) for each in found.ended] == ended


def test_bytes_that_are_no_text_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / attempts.FILE_NAME
    path.write_bytes(b'\xff\xfe{"event"\n' + START.encode() + b"\n")
    assert attempts.read(path) == attempts.Ledger(1, [], 7, "n1")


def test_without_a_file_nothing_was_started(tmp_path: Path) -> None:
    assert attempts.read(tmp_path / "gone.jsonl") == attempts.Ledger(0, [], 0, "")


def test_what_is_written_is_read_back_even_after_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / attempts.FILE_NAME
    path.write_bytes(b'{"event": "sta')
    attempts.append_submission(path)
    attempts.append_start(path, 'n "1"\n', 12)
    attempts.append_end(path, Attempt(-9, 400))
    attempts.append_start(path, "n2", 34)
    assert attempts.read(path) == attempts.Ledger(2, [Attempt(-9, 400)], 34, "n2")


def test_a_ledger_that_cannot_be_read_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / attempts.FILE_NAME).mkdir()
    with pytest.raises(StorageError, match=r"attempts\.jsonl"):
        attempts.read(tmp_path / attempts.FILE_NAME)


def test_a_full_disk_is_said_and_keeps_what_was_there(tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "small", "size=1m,nr_inodes=200") as root:
        place = make_job(root)
        attempts.append_start(place.attempts, "n1", 0)
        place.attempts.write_bytes(place.attempts.read_bytes().ljust(4096, b"\n"))
        fill(root)
        with pytest.raises(StorageError, match="the disk is full"):
            attempts.append_end(place.attempts, Attempt(1, 0))
        assert attempts.read(place.attempts).starts == 1
        (root / "ballast").unlink()
        attempts.append_end(place.attempts, Attempt(75, 9))
        assert attempts.read(place.attempts).ended == [Attempt(75, 9)]
