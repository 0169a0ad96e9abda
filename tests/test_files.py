from __future__ import annotations

import dataclasses
import errno
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Optional, Tuple

import pytest

from mapush import files
from mapush.errors import RequestError, StorageError
from mapush.files import (
    check_path,
    free_bytes,
    is_directory,
    looked_at_again,
    make_directory,
    read_fields,
    remove,
    set_aside,
    size_of,
    status,
    storage_error,
    write_atomically,
)


def test_a_file_is_replaced_as_a_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_fault_leaves_the_old_content_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def refuse(descriptor: int) -> None:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match=str(path)):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "the disk is full: 1,234,567 bytes are needed"),
        (errno.EDQUOT, "the disk quota is used up: 1,234,567 bytes are needed"),
        (errno.EACCES, "change its permissions"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "check the disk"),
        (errno.ENOTDIR, "a part of the path is a file"),
        (errno.ETIMEDOUT, "check the file system"),
        (None, "check the file system"),
    ],
)
def test_a_storage_fault_is_one_line_with_path_and_mend(
    tmp_path: Path, code: int, words: str
) -> None:
    error = OSError("odd") if code is None else OSError(code, os.strerror(code))
    message = str(storage_error(error, tmp_path / "results", 1_234_567))
    assert words in message
    assert str(tmp_path / "results") in message
    assert "\n" not in message


def test_space_is_that_of_the_nearest_directory_there_is(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "not" / "there") > 0


def test_a_directory_is_made_with_its_parents_and_may_be_there_already(tmp_path: Path) -> None:
    for _ in range(2):
        make_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_directory_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(StorageError, match=r"/a: .* something else has that name"):
        make_directory(tmp_path / "a" / "b")


def failing(times: int, code: int) -> Callable[[], str]:
    """A look that fails so often before it gives an answer."""
    left = [times]

    def look() -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise OSError(code, os.strerror(code))
        return "seen"

    return look


@pytest.mark.parametrize("code", sorted(files.TRANSIENT))
def test_a_fault_of_the_moment_is_looked_at_again(code: int) -> None:
    assert looked_at_again(failing(1, code)) == "seen"
    assert looked_at_again(failing(3, code)) == "seen"


def test_a_fault_that_lasts_is_raised_when_patience_ends() -> None:
    begun = time.monotonic()
    with pytest.raises(OSError, match="Stale"):
        looked_at_again(failing(10_000, errno.ESTALE), patience=0.3)
    assert 0.3 <= time.monotonic() - begun < 0.3 + 2 * 0.5


@pytest.mark.parametrize(
    ("code", "patience"),
    [(errno.ENOENT, None), (errno.EACCES, None), (errno.ENOSPC, None), (errno.ESTALE, 0.0)],
)
def test_what_is_no_fault_of_the_moment_is_believed_at_once(
    code: int, patience: Optional[float]
) -> None:
    with pytest.raises(OSError, match=re.escape(os.strerror(code))):
        looked_at_again(failing(1, code), patience)


def test_looking_again_costs_nothing_where_there_is_no_fault() -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from mapush.files import list_directory, read_file, status\n"
        "list_directory(Path()), status(Path('none')), read_file(Path(sys.argv[1]))\n"
        "assert 'tenacity' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, __file__], check=True)


def test_only_what_is_not_there_has_no_status(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "round").symlink_to("round")
    for name in ("none", "file/below", "round"):
        assert status(tmp_path / name) is None
        assert not is_directory(tmp_path / name)
    assert is_directory(tmp_path)
    assert not is_directory(tmp_path / "file")


def test_a_fault_is_no_answer_to_whether_something_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, **_: object) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(files, "PATIENCE", 0.01)
    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(OSError, match="Stale"):
        is_directory(tmp_path)


ALLOWED = [
    "plain",
    "with space",
    "a:b",
    "100%",
    "%j",
    "-x",
    "'quoted'",
    "ümlaut",
    "日本",
    "..",
    ".",
]
REFUSED = ["line\nbreak", "bell\a", "escape\x1b[2J", os.fsdecode(b"\xff"), "next\x85", "line\u2028"]


@pytest.mark.parametrize("name", ALLOWED)
def test_a_path_with_any_name_that_prints_is_allowed(name: str) -> None:
    assert check_path("--root", Path(name)) == Path(name)


@pytest.mark.parametrize("name", [*REFUSED, *(f"{name}/below" for name in REFUSED)])
def test_a_path_that_does_not_fit_on_a_line_is_refused_on_one(name: str) -> None:
    with pytest.raises(RequestError, match=r"^--root '.*: holds a line break") as caught:
        check_path("--root", Path(name))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("a" * 256, "has a part of 256 bytes"),
        ("日" * 100, "has a part of 300 bytes"),
        ("/".join(["a" * 200] * 20), "leave room for a run's files"),
    ],
)
def test_a_path_too_long_for_a_run_is_refused(path: str, said: str) -> None:
    with pytest.raises(RequestError, match=said) as caught:
        check_path("--root", Path(path))
    assert len(str(caught.value)) < 300


def test_a_relative_path_is_judged_with_the_directory_it_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "line\nbreak"
    odd.mkdir()
    monkeypatch.chdir(odd)
    with pytest.raises(RequestError, match="line"):
        check_path("--root", Path("results"))


@dataclasses.dataclass(frozen=True)
class Fields:
    count: int
    names: Tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"count": "1"}, "count is '1'"),
        ({"count": True}, "count is"),
        ({"names": []}, "count is"),
        ({"count": 1, "names": [2]}, "names.0 is '2'"),
        ({"count": {1}}, "not JSON serializable"),
        ([], "it is"),
    ],
)
def test_fields_are_read_without_conversion(fields: object, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        read_fields(Fields, fields)
    assert "\n" not in str(caught.value)


def test_fields_that_fit_make_the_dataclass() -> None:
    found = read_fields(Fields, {"count": 2, "names": ["a", "b"], "of a later version": None})
    assert found == Fields(2, ("a", "b"))


def test_what_is_set_aside_takes_the_first_free_number(tmp_path: Path) -> None:
    (tmp_path / "x.bad-1").symlink_to("nowhere")
    (tmp_path / "x").mkdir()
    assert set_aside(tmp_path / "x", ".bad-").name == "x.bad-2"
    remove(tmp_path / "x.bad-1")
    remove(tmp_path / "x.bad-2")
    remove(tmp_path / "x.bad-2")
    assert not list(tmp_path.iterdir())


def test_the_size_of_a_directory_is_that_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a").write_bytes(bytes(70))
    (tmp_path / "b").write_bytes(bytes(30))
    assert size_of(tmp_path) == 100
    assert (size_of(tmp_path / "b"), size_of(tmp_path / "gone")) == (30, 0)
