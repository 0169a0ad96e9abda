"""TensorBoard's event files: scalars by environment step, each step once, resumes included."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO, Mapping

from mapush.files import storage_errors

PATTERN = "events.out.tfevents.*"
_HEADER = struct.Struct("<QI")  # length of the record and its masked CRC
_CRC_BYTES = 4
_MAX_RECORD = 1_000_000


class ScalarWriter:
    """Writes scalars under their names."""

    def __init__(self, directory: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        with storage_errors(directory):
            self._writer = SummaryWriter(str(directory), flush_secs=30)

    def write(self, scalars: Mapping[str, float], step: int) -> None:
        """Add one point to each curve."""
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        """Hand everything to the operating system."""
        self._writer.flush()

    def close(self) -> None:
        """Flush and close the file."""
        self._writer.close()


def drop_after(directory: Path, step: int) -> None:
    """Remove the points after `step`, which a resumed run writes again.

    Steps rise within a file, so each is cut at its first later point, or where a kill has torn it.
    """
    for path in sorted(directory.glob(PATTERN)):
        with storage_errors(path), path.open("r+b") as file:
            keep = _length_until(file, step)
            if keep < path.stat().st_size:
                file.truncate(keep)
                os.fsync(file.fileno())


def _length_until(file: BinaryIO, step: int) -> int:
    """Bytes of an event file (TFRecord framing) before its first point after `step`."""
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import (
        Event,  # pyright: ignore[reportAttributeAccessIssue]
    )

    good = 0
    while True:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return good
        length, _ = _HEADER.unpack(header)
        body = file.read(min(length, _MAX_RECORD) + _CRC_BYTES)
        if length > _MAX_RECORD or len(body) < length + _CRC_BYTES:
            return good
        try:
            later = Event.FromString(body[:length]).step > step
        except DecodeError:
            return good
        if later:
            return good
        good = file.tell()
