"""TensorBoard's event files: scalars by environment step, each step once, resumes included."""

from __future__ import annotations

import io
import os
import socket
import struct
import time
from pathlib import Path
from typing import Any, BinaryIO, Mapping

from mapush.files import make_directory, storage_errors
from mapush.training.append import AppendFile

PATTERN = "events.out.tfevents.*"
_HEADER = struct.Struct("<QI")  # length of the record and its masked CRC
_CRC_BYTES = 4
_MAX_RECORD = 1_000_000


class ScalarWriter:
    """Writes scalars under their names, all of one step as one record.

    TensorBoard's own writers keep records on a thread that dies with the first full disk.

    Args:
        directory: gets a file of its own for this process.
    """

    def __init__(self, directory: Path) -> None:
        make_directory(directory)
        begun = time.time()
        name = f"events.out.tfevents.{begun:.6f}.{socket.gethostname()}.{os.getpid()}.0"
        self._file = AppendFile(directory / name)
        self._append(wall_time=begun, file_version="brain.Event:2")

    def write(self, scalars: Mapping[str, float], step: int) -> None:
        """Add one point to each curve."""
        values = [{"tag": tag, "simple_value": value} for tag, value in scalars.items()]
        self._append(wall_time=time.time(), step=step, summary={"value": values})

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _append(self, **fields: Any) -> None:  # noqa: ANN401
        from tensorboard.compat.proto.event_pb2 import (
            Event,  # pyright: ignore[reportAttributeAccessIssue]
        )
        from tensorboard.summary.writer.record_writer import RecordWriter

        record = io.BytesIO()
        RecordWriter(record).write(Event(**fields).SerializeToString())
        self._file.append(record.getvalue())


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
