from __future__ import annotations

from pathlib import Path
from typing import List, Tuple

import pytest
from made_jobs import fill, make_job, tiny_disk

from mapush.launch.node.folder import ATTEMPTS, Folder, Ledger
from mapush.launch.node.verdict import Attempt

START = '{"event": "start", "node": "n1", "slurm": "8"}'
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
    (tmp_path / ATTEMPTS).write_text(text, encoding="utf-8")
    found = Folder(str(tmp_path)).ledger()
    assert found.starts == starts
    assert [(each.exit_code, each.step) for each in found.ended] == ended


def test_bytes_that_are_no_text_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / ATTEMPTS).write_bytes(b'\xff\xfe{"event"\n' + START.encode() + b"\n")
    assert Folder(str(tmp_path)).ledger() == Ledger(1, [], "n1")


def test_without_a_file_nothing_was_started(tmp_path: Path) -> None:
    assert Folder(str(tmp_path / "gone")).ledger() == Ledger(0, [], "")


def test_what_is_written_is_read_back_even_after_a_torn_line(tmp_path: Path) -> None:
    (tmp_path / ATTEMPTS).write_bytes(b'{"event": "sta')
    folder = Folder(str(tmp_path))
    folder.note("submit")
    folder.note("start", node='n "1"\n', slurm="")
    folder.note("end", code=-9, step=400)
    folder.note("start", node="é", slurm="8_1")
    assert folder.ledger() == Ledger(2, [Attempt(-9, 400)], "é")


def test_a_ledger_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / ATTEMPTS).mkdir()
    with pytest.raises(OSError, match=r"attempts\.jsonl"):
        Folder(str(tmp_path)).ledger()


def test_a_full_disk_is_said_and_keeps_what_was_there(tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "small", "size=1m,nr_inodes=200") as root:
        place = make_job(root)
        place.note("start", node="n1")
        ledger = place.place / ATTEMPTS
        ledger.write_bytes(ledger.read_bytes().ljust(4096, b"\n"))
        fill(root)
        with pytest.raises(OSError, match="No space left"):
            place.note("end", code=1, step=0)
        assert place.ledger().starts == 1
        (root / "ballast").unlink()
        place.note("end", code=75, step=9)
        assert place.ledger().ended == [Attempt(75, 9)]
