from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mapush.errors import StorageError
from mapush.files import free_bytes, make_directory, storage_error, write_atomically


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
