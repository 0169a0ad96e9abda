"""Files that appear whole or not at all, and storage faults that say how to mend them."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from pathlib import Path
from typing import Iterator

from mapush.errors import StorageError

_MEND = {
    errno.EACCES: "it may not be written by this user; change its permissions or choose another "
    "directory with --root",
    errno.EPERM: "it may not be written by this user; change its permissions or choose another "
    "directory with --root",
    errno.EROFS: "the file system is read-only; choose another directory with --root",
    errno.EIO: "the storage reports an input/output error; check the disk or choose another "
    "directory with --root",
    errno.ENOTDIR: "a part of the path is a file; rename it or choose another --root",
    errno.EISDIR: "it is a directory where a file belongs; move it away",
    errno.EEXIST: "something else has that name; move it away",
    errno.ENOENT: "it is not there; was it removed by hand?",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter --exp or --root",
    errno.ESTALE: "the network file system has lost it; mount it again",
    errno.EMFILE: "too many files are open; raise `ulimit -n`",
}


def storage_error(error: OSError, path: Path, needed: int = 0) -> StorageError:
    """Say in one line what the operating system refused and how to mend it.

    Args:
        error: What the system call raised.
        path: The file or directory that was to be written.
        needed: Size in bytes of what was to be written, if known.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        what = "the disk is full" if error.errno == errno.ENOSPC else "the disk quota is used up"
        need = f"{needed:,} bytes are needed" if needed else "more space is needed"
        return StorageError(
            f"{path}: {what}: {need} and {free_bytes(path):,} are free; "
            "free some space there or choose another directory with --root"
        )
    reason = os.strerror(error.errno) if error.errno else str(error)
    mend = _MEND.get(error.errno or 0, "check the file system or choose another with --root")
    return StorageError(f"{path}: cannot be written ({reason}): {mend}")


@contextlib.contextmanager
def storage_errors(path: Path, needed: int = 0) -> Iterator[None]:
    """Turn an `OSError` raised inside the block into a `StorageError` about `path`."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, path, needed) from error


def free_bytes(path: Path) -> int:
    """Bytes a user can still write on the file system of `path`, which need not exist yet."""
    for place in (path, *path.absolute().parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(place).free
    return 0


def make_directory(path: Path) -> None:
    """Create a directory with its parents, each made durable in the directory above it.

    Raises:
        StorageError: If it cannot be created.
    """
    with storage_errors(path):
        missing = [place for place in (path, *path.parents) if not place.is_dir()]
    for place in reversed(missing):
        with storage_errors(place):
            place.mkdir(exist_ok=True)
            fsync_directory(place.parent)


def fsync_directory(path: Path) -> None:
    """Make the names in a directory durable.

    Raises:
        OSError: If the file system reports a fault; one that cannot sync directories is no fault.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and FUSE file systems cannot sync a directory; they order names themselves.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def write_durably(path: Path, data: bytes) -> None:
    """Write a new file and sync its content; its name is durable once its directory is synced.

    Raises:
        OSError: If the file exists or the storage refuses.
    """
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def hidden_sibling(path: Path) -> Path:
    """A name beside `path`, free with certainty, that no listing takes for a finished file."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file so that a kill at any moment leaves the old content or the new one, whole.

    Raises:
        StorageError: If the storage refuses; the old content is then untouched.
    """
    temporary = hidden_sibling(path)
    with storage_errors(path, len(data)):
        try:
            write_durably(temporary, data)
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        fsync_directory(path.parent)
