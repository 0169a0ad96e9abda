"""What is in a module.pt: its fields, how it becomes bytes and how it is read without trust."""

from __future__ import annotations

import hashlib
import io
import pickle
import pickletools
import re
import struct
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Set, Tuple

import torch

from mapush.checkpoint import manifest, published
from mapush.checkpoint.archive import FIX, MAX_BYTES, MAX_PICKLE_BYTES, Archive, read_bytes
from mapush.checkpoint.manifest import Manifest
from mapush.errors import CheckpointError
from mapush.files import status

FORMAT = "mapush-1"
FILE_NAME = "module.pt"

FIELDS: Dict[str, type] = {
    "format": str,
    "actor_network": dict,  # OpenRL's parameter name -> tensor
    "critic_network": dict,
    "value_normalizer": dict,
    "optimizer_state": dict,
    "training_step": int,  # environment steps of 0.02 s, summed over environments
    "epoch": int,  # updates
    "network_architecture": dict,
    "rng": dict,
    "environment_state": dict,
    "config": dict,
}

_MAX_DEPTH = 32
_MAX_TUPLES = 30_000
_TUPLES = b"t\x85\x86\x87"  # the operations of a pickle that make one
# What torch's pickles of tensors and containers name, in the form of `pickletools`.
_NAMES = re.compile(
    r"torch \w+Storage|torch\._utils _rebuild_(tensor_v2|parameter)|collections OrderedDict"
)

# Everything torch's reader is known to raise on a damaged file.
_LOAD_ERRORS = (
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)


def dumps(state: Mapping[str, Any]) -> bytes:
    """The bytes of a module.pt.

    Args:
        state: Every field of `FIELDS`; `format` may be left out. Values are tensors, None, bool,
            int, float, str, and lists, tuples and mappings of these.

    Raises:
        CheckpointError: If a field is missing, unknown or of the wrong type, or holds a value
            that `torch.load(weights_only=True)` would refuse.
    """
    filled = {"format": FORMAT, **state}
    _check_fields(filled, "the state to save")
    plain = {name: _plain(filled[name], name, 0) for name in FIELDS}
    buffer = io.BytesIO()
    torch.save(plain, buffer)
    data = buffer.getvalue()
    # What was saved must be loadable: the reader's limits are held to here. Its pickle is a part
    # of the file, uncompressed, so mostly a look at the whole is enough.
    if len(data) > MAX_BYTES:
        raise CheckpointError(
            f"the state to save has {len(data):,} bytes and at most {MAX_BYTES:,} are read back"
        )
    if len(data) > MAX_PICKLE_BYTES or sum(map(data.count, _TUPLES)) > _MAX_TUPLES:
        _check_pickle(Archive(Path(FILE_NAME), data).pickle, "the state to save")
    return data


def load(path: Path, verify: bool = True, expected: Optional[Manifest] = None) -> Dict[str, Any]:
    """Load a module.pt onto the CPU; nothing in it is executed, and the file is read once.

    Args:
        path: The file.
        verify: Compare its sha256 with the manifest.json beside it, if there is one.
        expected: Its manifest, where that has been read already.

    Raises:
        CheckpointError: If it is missing, damaged, hostile, of another format version, a
            published OpenRL checkpoint, or not what its manifest says.
    """
    archive = _read(path, verify, expected)
    if published.is_published(archive):
        raise CheckpointError(
            f"{path}: is a published OpenRL checkpoint, which can be tested but not resumed; "
            "name a checkpoint that mapush has written"
        )
    return _state(archive)


def load_any(path: Path) -> Dict[str, Any]:
    """Load a module.pt, or what `published.load` makes of one of the original project.

    Raises:
        CheckpointError: If it is missing, damaged, hostile or not what its manifest says.
    """
    archive = _read(path, verify=True)
    return published.extract(archive) if published.is_published(archive) else _state(archive)


def _read(path: Path, verify: bool, expected: Optional[Manifest] = None) -> Archive:
    data = read_bytes(path)
    if expected is None and verify:
        expected = _manifest_beside(path)
    archive = Archive(path, data)
    found = hashlib.sha256(data).hexdigest()
    if expected is not None and found != expected.sha256:
        raise CheckpointError(
            f"{path}: has sha256 {found[:12]}... and its {manifest.FILE_NAME} says "
            f"{expected.sha256[:12]}...: one of them is damaged; {FIX}"
        )
    return archive


def _manifest_beside(path: Path) -> Optional[Manifest]:
    beside = path.with_name(manifest.FILE_NAME)
    try:
        if status(beside) is None:
            return None
    except OSError as error:
        raise CheckpointError(f"{beside}: cannot be read ({error}); {FIX}") from error
    return manifest.read(beside)


def _state(archive: Archive) -> Dict[str, Any]:
    """What torch reads of a file, after a look at what torch does not guard against.

    `torch.load(weights_only=True)` calls nothing but functions of its own list that build tensors
    and containers. Until 2.6 that held only for files that reach its zip reader (see `Archive`).
    2.13 compares a storage's size with its record's; that 2.4, the last for Python 3.8, does so is
    not relied on. No version bounds how deep values are nested, how many elements a stride of 0
    claims or what a `bytearray` of the list allocates.
    """
    path = archive.path
    _check_pickle(archive.pickle, str(path))
    try:
        state = torch.load(io.BytesIO(archive.data), map_location="cpu", weights_only=True)
    except _LOAD_ERRORS as error:
        # What torch says around its own error is advice to load without weights_only.
        cause = error.__context__ if isinstance(error, pickle.UnpicklingError) else None
        reason = " ".join(str(cause or error).split())
        raise CheckpointError(
            f"{path}: cannot be loaded ({type(error).__name__}: {reason:.200}); {FIX}"
        ) from error
    _check_values(state, str(path), len(archive.data))
    _check_fields(state, str(path))
    return state


def _check_pickle(data: bytes, where: str) -> None:
    """Refuse names and sizes that no checkpoint has, before anything is built."""
    if len(data) > MAX_PICKLE_BYTES:
        raise CheckpointError(
            f"{where}: its pickle has {len(data):,} bytes of plain values and at most "
            f"{MAX_PICKLE_BYTES:,} are read; keep long lists as tensors"
        )
    tuples = 0
    try:
        for opcode, argument, _ in pickletools.genops(data):
            tuples += opcode.name.startswith("TUPLE")
            if opcode.name == "GLOBAL" and not _NAMES.fullmatch(str(argument)):
                named = str(argument).replace(" ", ".")
                raise CheckpointError(
                    f"{where}: names {named:.80}, which is neither tensor nor plain value; "
                    f"it was not executed; {FIX}"
                )
    except (ValueError, OverflowError, struct.error) as error:
        raise CheckpointError(f"{where}: its pickle is damaged ({error}); {FIX}") from error
    # A key of nested tuples is hashed by recursion that overflows the stack of the process.
    if tuples > _MAX_TUPLES:
        raise CheckpointError(
            f"{where}: has {tuples:,} tuples and at most {_MAX_TUPLES:,} are read; "
            "keep long lists as tensors"
        )


def _check_fields(state: object, where: str) -> None:
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{where}: is a {type(state).__name__}, not a mapping; {FIX}")
    version = state.get("format")
    if version != FORMAT:
        raise CheckpointError(
            f"{where}: has format {str(version)[:40]!r} and this mapush reads {FORMAT!r}; {FIX}"
        )
    missing = [name for name in FIELDS if name not in state]
    unknown = [str(name)[:40] for name in state if name not in FIELDS]
    if missing or unknown:
        what = f"lacks {', '.join(missing)}" if missing else f"has unknown {', '.join(unknown)}"
        raise CheckpointError(f"{where}: {what}; {FIX}")
    for name, kind in FIELDS.items():
        value = state[name]
        fits = isinstance(value, Mapping) if kind is dict else type(value) is kind
        if not fits:
            raise CheckpointError(
                f"{where}: {name} is a {type(value).__name__}, not a {kind.__name__}; {FIX}"
            )
    for name in ("training_step", "epoch"):
        if state[name] < 0:
            raise CheckpointError(f"{where}: {name} is {state[name]}, below 0; {FIX}")
    for name in ("actor_network", "critic_network"):
        if not all(
            isinstance(key, str) and isinstance(value, torch.Tensor)
            for key, value in state[name].items()
        ):
            raise CheckpointError(f"{where}: {name} is not tensors by name; {FIX}")


def _plain(value: Any, where: str, depth: int) -> Any:  # noqa: ANN401
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, torch.Tensor):
        tensor = value.detach()
        # torch would save the whole storage that a view is a window on.
        whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        return tensor if whole else tensor.clone()
    if depth >= _MAX_DEPTH:
        raise CheckpointError(f"{where}: is nested deeper than {_MAX_DEPTH}; flatten it")
    if isinstance(value, Mapping):
        for key in value:
            if type(key) not in (str, int, float, bool, type(None)):
                raise CheckpointError(f"{where}: has a {type(key).__name__} as a key; use a str")
        return {key: _plain(each, f"{where}.{key}", depth + 1) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(each, f"{where}[]", depth + 1) for each in value)
    raise CheckpointError(
        f"{where}: is a {type(value).__name__}; a checkpoint holds tensors and plain values only"
    )


def _check_values(state: object, where: str, size: int) -> None:
    """Refuse anything but plain values and tensors that lie in the file, to `_MAX_DEPTH`."""
    seen: Set[int] = set()
    storages: Dict[int, int] = {}
    level: List[Any] = [state]
    for _ in range(_MAX_DEPTH + 2):
        children: List[Any] = []
        for value in level:
            if isinstance(value, torch.Tensor):
                address, held = _storage_of(value, where)
                storages[address] = held
            elif isinstance(value, (dict, list, tuple)):
                if id(value) not in seen:
                    seen.add(id(value))
                    children += (*value, *value.values()) if isinstance(value, dict) else value
            elif value is not None and type(value) not in (bool, int, float, str):
                raise CheckpointError(
                    f"{where}: holds a {type(value).__name__}, which is neither tensor nor plain "
                    f"value; {FIX}"
                )
        level = children
        if not level:
            break
    else:
        raise CheckpointError(f"{where}: is nested deeper than {_MAX_DEPTH}; {FIX}")
    if sum(storages.values()) > size:
        raise CheckpointError(f"{where}: claims to hold more than its size; {FIX}")


def _storage_of(tensor: torch.Tensor, where: str) -> Tuple[int, int]:
    """Address and bytes of what a tensor lies in."""
    if tensor.layout != torch.strided or not tensor.is_cpu or tensor.is_quantized:
        raise CheckpointError(f"{where}: holds a tensor without plain elements; {FIX}")
    storage = tensor.untyped_storage()
    elements = storage.nbytes() // tensor.element_size()
    if tensor.numel() > elements:
        raise CheckpointError(
            f"{where}: claims a tensor of {tensor.numel():,} elements in a storage of "
            f"{elements:,}; {FIX}"
        )
    return storage.data_ptr(), storage.nbytes()
