"""Checkpoint files made by hand, as an attacker or a bad disk would make them."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from typing import Any, Callable, Mapping, Optional, Tuple


def archive(
    pickled: bytes,
    storages: Optional[Mapping[str, bytes]] = None,
    compression: int = zipfile.ZIP_STORED,
) -> bytes:
    """The bytes of a zip that looks like torch's, around any pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        file.writestr("module/data.pkl", pickled)
        file.writestr("module/byteorder", b"little")
        file.writestr("module/version", b"3\n")
        for key, data in (storages or {}).items():
            file.writestr(f"module/data/{key}", data)
    return buffer.getvalue()


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Tuple[Any, ...]:
        return self.call


def text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def whole(value: object) -> bytes:
    return pickle.dumps(value, protocol=2)[2:-1]


def name(module: str, attribute: str) -> bytes:
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def storage(kind: str = "FloatStorage", key: str = "0", count: int = 4) -> bytes:
    """A persistent id of a tensor storage."""
    return (
        b"("
        + text("storage")
        + name("torch", kind)
        + text(key)
        + text("cpu")
        + whole(count)
        + b"tQ"
    )


def tensor(
    offset: int = 0,
    size: Tuple[int, ...] = (4,),
    stride: Tuple[int, ...] = (1,),
    **of: Any,
) -> bytes:
    """A tensor on that storage, or claiming to be."""
    return (
        name("torch._utils", "_rebuild_tensor_v2")
        + b"("
        + storage(**of)
        + whole(offset)
        + whole(size)
        + whole(stride)
        + b"\x89"
        + name("collections", "OrderedDict")
        + b")Rt"
        + b"R"
    )


def program(body: bytes) -> bytes:
    """A pickle that leaves what `body` pushes."""
    return b"\x80\x02" + body + b"."
