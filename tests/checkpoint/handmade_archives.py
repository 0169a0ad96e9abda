"""Checkpoint files made by hand, as an attacker or a bad disk would make them."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile


def archive(pickled, storages=None, compression=zipfile.ZIP_STORED):
    """The bytes of a zip that looks like torch's, around any pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        file.writestr("module/data.pkl", pickled)
        file.writestr("module/byteorder", b"little")
        for key, data in (storages or {}).items():
            file.writestr(f"module/data/{key}", data)
    return buffer.getvalue()


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def text(value):
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def whole(value):
    return pickle.dumps(value, protocol=2)[2:-1]


def name(module, attribute):
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def storage(kind="FloatStorage", key="0", count=4):
    """A persistent id of a tensor storage."""
    return b"(" + text("storage") + name("torch", kind) + text(key) + text("cpu") + whole(count) + b"tQ"


def tensor(offset=0, size=(4,), stride=(1,), **of):
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


def program(body):
    """A pickle that leaves what `body` pushes."""
    return b"\x80\x02" + body + b"."
