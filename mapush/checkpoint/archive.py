"""The outside of a module.pt: a zip of stored entries, one pickle and the bytes of the tensors.

Reads without torch and without trust. Every entry must be stored uncompressed and the entries
together no larger than the file, so a file claims no more memory than its own size; every CRC is
checked, which torch itself does not do. A file is read once: what is hashed, checked here and
given to torch are the same bytes.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from pathlib import Path
from typing import Dict

from mapush.errors import CheckpointError
from mapush.files import looked_at_again, read_file

FIX = "name another checkpoint or restore this one from a copy"
MAX_BYTES = 1 << 30
"""Of a checkpoint file. One of 4,096 environments has some megabytes."""
MAX_PICKLE_BYTES = 4_000_000
"""Of the pickle in it."""

_MAGIC = b"PK\x03\x04"

_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    EOFError,
    IndexError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
)


class Archive:
    """The entries of one checkpoint file.

    Attributes:
        path: Where it was read from, for messages.
        data: The whole file.
        pickle: The pickle that describes the structure.
    """

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        self.data = data
        self._entries = _entries(path, data)
        pickles = [name for name in self._entries if name.endswith("/data.pkl")]
        # A file with other bytes in front, or with TorchScript's constants, is given by torch
        # to readers that execute it: before 2.6 with weights_only=True too (CVE-2025-32434).
        if any(name.endswith("constants.pkl") for name in self._entries):
            raise CheckpointError(f"{path}: is a TorchScript program, not a checkpoint; {FIX}")
        if len(pickles) != 1:
            raise CheckpointError(f"{path}: holds {len(pickles)} pickles instead of 1; {FIX}")
        self._prefix = pickles[0][: -len("data.pkl")]
        self.pickle = self._entries[pickles[0]]
        order = self._entries.get(self._prefix + "byteorder", b"little")
        if order != b"little":
            raise CheckpointError(f"{path}: has byte order {order[:16]!r}, not 'little'; {FIX}")

    def storage(self, key: str) -> bytes:
        """The bytes of one tensor storage.

        Raises:
            KeyError: If there is none of that name.
        """
        return self._entries[f"{self._prefix}data/{key}"]


def read_archive(path: Path) -> Archive:
    """Read a checkpoint file once, whole.

    Raises:
        CheckpointError: If it is missing, no regular file, empty, truncated or damaged.
    """
    return Archive(path, read_bytes(path))


def read_bytes(path: Path) -> bytes:
    """The content of a checkpoint file.

    Raises:
        CheckpointError: If there is no readable, regular, non-empty file at `path`.
    """
    try:
        found = looked_at_again(path.stat)
        mode = found.st_mode
        if stat.S_ISDIR(mode):
            raise CheckpointError(f"{path}: is a directory; name the module.pt inside it")
        if not stat.S_ISREG(mode):
            raise CheckpointError(f"{path}: is not a regular file; {FIX}")
        if found.st_size > MAX_BYTES:
            raise CheckpointError(
                f"{path}: has {found.st_size:,} bytes and a checkpoint at most {MAX_BYTES:,}; {FIX}"
            )
        data = read_file(path)
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: there is no such checkpoint; name an existing module.pt"
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); {FIX}") from error
    if not data:
        raise CheckpointError(f"{path}: is empty; {FIX}")
    return data


def _entries(path: Path, data: bytes) -> Dict[str, bytes]:
    try:
        if not data.startswith(_MAGIC):
            raise zipfile.BadZipFile("it does not begin as a zip")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
                raise CheckpointError(
                    f"{path}: has compressed entries, which no checkpoint has; {FIX}"
                )
            if sum(info.file_size for info in infos) > len(data):
                raise CheckpointError(f"{path}: claims to hold more than its size; {FIX}")
            return {info.filename: archive.read(info) for info in infos}
    except _ZIP_ERRORS as error:
        raise CheckpointError(
            f"{path}: is truncated, damaged or no checkpoint ({error}); {FIX}"
        ) from error
