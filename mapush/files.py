"""Files that appear whole or not at all, and storage faults that say how to fix them.

Network file systems report faults that are over a moment later. What such a fault seems to say is
believed only once `looked_at_again` has seen it last.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import secrets
import shutil
import stat
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Type, TypeVar

from mapush.errors import RequestError, StorageError

TRANSIENT = frozenset(
    (errno.ESTALE, errno.EIO, errno.ENOLCK, errno.EINTR, errno.EAGAIN, errno.ETIMEDOUT)
)
"""Errors that a network file system reports for a moment and that say nothing about a file."""

PATIENCE = 2.0
"""Seconds for which a file is looked at again while it cannot be seen."""

_SHORTEST, _LONGEST = 0.02, 0.5  # seconds between two looks
_NAME_BYTES = 255  # of Linux's file systems, all but a few
_PATH_BYTES = 4095
# What a run adds below its root: the longest names of a run, a checkpoint and a file in it.
_BELOW_ROOT = 400
_NOT_IN_A_LINE = ("Cc", "Cs", "Zl", "Zp")  # Unicode categories

_T = TypeVar("_T")
_READERS: Dict[type, Any] = {}

_FIX = {
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
    """Say in one line what the operating system refused and how to fix it.

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
    fix = _FIX.get(error.errno or 0, "check the file system or choose another with --root")
    return StorageError(f"{path}: cannot be written ({reason}): {fix}")


@contextlib.contextmanager
def storage_errors(path: Path, needed: int = 0) -> Iterator[None]:
    """Turn an `OSError` raised inside the block into a `StorageError` about `path`."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, path, needed) from error


def looked_at_again(look: Callable[[], _T], patience: Optional[float] = None) -> _T:
    """What a look at the storage gives, repeated while that fails with a `TRANSIENT` error.

    Args:
        look: Looks at something, or does what may be done twice.
        patience: Seconds to repeat it, at once and then in growing pauses; 0 for one look only.
            `PATIENCE` unless given.

    Raises:
        OSError: The last fault, if it lasts; at once if it is of another kind.
    """
    try:
        return look()
    except OSError as error:
        if patience == 0 or not is_transient(error):
            raise
    # Costs some 40 ms, so only where there is a fault.
    from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_exponential

    retrying = Retrying(
        retry=retry_if_exception(is_transient),
        wait=wait_exponential(multiplier=_SHORTEST, max=_LONGEST),
        stop=stop_after_delay(PATIENCE if patience is None else patience),
        reraise=True,
    )
    return retrying(look)


def is_transient(error: BaseException) -> bool:
    """Whether a fault may be over a moment later."""
    return isinstance(error, OSError) and error.errno in TRANSIENT


def read_file(path: Path, limit: int = -1) -> bytes:
    """The content of a file, up to a number of bytes if one is given.

    Raises:
        OSError: It cannot be read, or not after `PATIENCE`.
    """

    def read() -> bytes:
        if limit < 0:
            return path.read_bytes()
        with path.open("rb") as file:
            return file.read(limit)

    return looked_at_again(read)


def list_directory(path: Path, patience: Optional[float] = None) -> List[str]:
    """The names in a directory, in no order.

    Raises:
        OSError: It cannot be listed, or not after `patience`, as for `looked_at_again`.
    """
    return looked_at_again(lambda: os.listdir(path), patience)


def status(path: Path) -> Optional[os.stat_result]:
    """What lies at a path, links followed; None if nothing does.

    Unlike `Path.exists` it takes no fault of the storage for an answer.

    Raises:
        OSError: The storage does not tell, or not after `PATIENCE`.
    """
    try:
        return looked_at_again(path.stat)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return None


def is_directory(path: Path) -> bool:
    """Whether a path leads to a directory; the storage's faults are raised, as by `status`."""
    found = status(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def check_path(option: str, path: Path) -> Path:
    """Return a path that can be printed on a line, written into a record and lengthened by a run.

    Args:
        option: What gives it, such as `--root`, for the message.
        path: Relative ones are judged from the working directory.

    Raises:
        RequestError: It holds a control character or bytes that are no text, or is too long.
    """
    import unicodedata  # which not every minimal image's Python has

    whole = str(path.absolute())
    if any(unicodedata.category(letter) in _NOT_IN_A_LINE for letter in whole):
        raise RequestError(
            f"{option} {quoted(whole)}: holds a line break, a control character or bytes that "
            "are no text; rename it or use another path"
        )
    try:
        names = [os.fsencode(name) for name in path.absolute().parts]
    except UnicodeEncodeError:
        raise RequestError(
            f"{option} {quoted(whole)}: cannot be written in the file system's encoding "
            f"{sys.getfilesystemencoding()}; set LC_ALL=C.UTF-8 or use another path"
        ) from None
    longest = max(len(name) for name in names)
    if longest > _NAME_BYTES:
        raise RequestError(
            f"{option} {quoted(whole)}: has a part of {longest} bytes and a name has at most "
            f"{_NAME_BYTES}; use a shorter one"
        )
    length = len(os.fsencode(whole))
    if length > _PATH_BYTES - _BELOW_ROOT:
        raise RequestError(
            f"{option} {quoted(whole)}: has {length} bytes and at most "
            f"{_PATH_BYTES - _BELOW_ROOT} leave room for a run's files; use a shorter path"
        )
    return path


def read_fields(kind: Type[_T], fields: object) -> _T:
    """A dataclass made of plain values that somebody else may have written; none is converted.

    Args:
        kind: The dataclass.
        fields: Its fields by name; others are left out.

    Raises:
        ValueError: One is missing, of another type or not allowed; its text is one line.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    found: Any = _READERS.get(kind)
    if found is None:
        kind.__pydantic_config__ = ConfigDict(strict=True, extra="ignore")  # pyright: ignore[reportAttributeAccessIssue]
        found = _READERS[kind] = TypeAdapter(kind)
    try:
        # As JSON, since tuples and dataclasses have no form of their own in a file.
        return found.validate_json(json.dumps(fields))
    except (RecursionError, TypeError) as error:
        raise ValueError(str(error)) from None
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        name = ".".join(map(str, fault["loc"])) or "it"
        raise ValueError(f"{name} is {str(fault['input'])[:40]!r}: {fault['msg']}"[:300]) from None


def quoted(text: str) -> str:
    """A text in quotes, what does not print escaped and the middle of a long one left out."""
    return repr(text) if len(text) <= 120 else f"{text[:70]!r}...{text[-40:]!r}"


def free_bytes(path: Path) -> int:
    """Bytes a user can still write on the file system of `path`, which need not exist yet."""
    for parent in (path, *path.absolute().parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(parent).free
    return 0


def size_of(path: Path) -> int:
    """Bytes of the files in a directory, or of a file; what vanishes meanwhile counts nothing."""
    total = 0
    walked = (Path(top) / name for top, _, names in os.walk(path) for name in names)
    for file in walked if path.is_dir() else (path,):
        with contextlib.suppress(OSError):
            total += file.lstat().st_size
    return total


def make_directory(path: Path) -> None:
    """Create a directory with its parents, each made durable in the directory above it.

    Raises:
        StorageError: If it cannot be created.
    """
    with storage_errors(path):
        missing = [each for each in (path, *path.parents) if not is_directory(each)]
    for each in reversed(missing):
        with storage_errors(each):
            each.mkdir(exist_ok=True)
            fsync_directory(each.parent)


def remove(path: Path) -> None:
    """Delete a file, a link or a whole directory, whichever it is.

    Raises:
        OSError: If the storage refuses; that it is gone already is no fault.
    """
    with contextlib.suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def is_taken(path: Path) -> bool:
    """Whether something has a name, be it a link that leads nowhere.

    Raises:
        OSError: If the storage does not tell.
    """
    try:
        looked_at_again(path.lstat)
    except FileNotFoundError:
        return False
    return True


def set_aside(path: Path, suffix: str) -> Path:
    """Rename something to `<name><suffix><number>`, the first number that is free; durably.

    Returns:
        Where it is now.

    Raises:
        OSError: If the storage refuses.
    """
    aside = next(
        each
        for each in (path.with_name(f"{path.name}{suffix}{n}") for n in itertools.count(1))
        if not is_taken(each)
    )
    path.rename(aside)
    fsync_directory(path.parent)
    return aside


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
