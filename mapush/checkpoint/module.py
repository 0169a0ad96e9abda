"""What is in a module.pt: its fields, how it becomes bytes and how it is read without trust."""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

import torch

from mapush.checkpoint import manifest
from mapush.checkpoint.archive import MEND, Archive, read_archive
from mapush.checkpoint.inert import MAX_PICKLE_BYTES, Global, StandIn, build
from mapush.checkpoint.published import MODULE_CLASS
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
    # What was saved must be loadable: the reader's limit is held to here.
    if len(data) > MAX_PICKLE_BYTES:
        size = len(Archive(Path(FILE_NAME), data).pickle)
        if size > MAX_PICKLE_BYTES:
            raise CheckpointError(
                f"the state to save has {size:,} bytes of plain values and at most "
                f"{MAX_PICKLE_BYTES:,} are read back; keep long lists as tensors"
            )
    return data


def load(path: Path, verify: bool = True) -> Dict[str, Any]:
    """Load a module.pt onto the CPU; nothing in it is executed.

    Args:
        path: The file.
        verify: Compare its sha256 with the manifest.json beside it, if there is one.

    Raises:
        CheckpointError: If it is missing, damaged, hostile, of another format version, a
            published OpenRL checkpoint, or not what its manifest says.
    """
    archive = read_archive(path)
    if verify:
        _verify(archive)
    skeleton = build(archive)
    if isinstance(skeleton, StandIn) and skeleton.name == MODULE_CLASS:
        raise CheckpointError(
            f"{path}: is a published OpenRL checkpoint, which can be tested but not resumed; "
            "name a checkpoint that mapush has written"
        )
    _refuse_stand_ins(skeleton, path)
    _check_fields(skeleton, str(path))
    try:
        state = torch.load(io.BytesIO(archive.data), map_location="cpu", weights_only=True)
    except _LOAD_ERRORS as error:
        reason = str(error).splitlines()[0] if str(error) else ""
        raise CheckpointError(
            f"{path}: cannot be loaded ({type(error).__name__}: {reason:.200}); {MEND}"
        ) from error
    _check_fields(state, str(path))
    return state


def is_published(path: Path) -> bool:
    """Whether the file is a checkpoint of the original project, for `published.load`.

    Raises:
        CheckpointError: If it cannot be read as a checkpoint at all.
    """
    skeleton = build(read_archive(path))
    return isinstance(skeleton, StandIn) and skeleton.name == MODULE_CLASS


def _verify(archive: Archive) -> None:
    beside = archive.path.with_name(manifest.FILE_NAME)
    try:
        if status(beside) is None:
            return
    except OSError as error:
        raise CheckpointError(f"{beside}: cannot be read ({error}); {MEND}") from error
    expected = manifest.read(beside)
    found = hashlib.sha256(archive.data).hexdigest()
    if found != expected.sha256:
        raise CheckpointError(
            f"{archive.path}: has sha256 {found[:12]}... and its {manifest.FILE_NAME} says "
            f"{expected.sha256[:12]}...: one of them is damaged; {MEND}"
        )


def _check_fields(state: object, where: str) -> None:
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{where}: is a {type(state).__name__}, not a mapping; {MEND}")
    version = state.get("format")
    if version != FORMAT:
        raise CheckpointError(
            f"{where}: has format {str(version)[:40]!r} and this mapush reads {FORMAT!r}; {MEND}"
        )
    missing = [name for name in FIELDS if name not in state]
    unknown = [str(name)[:40] for name in state if name not in FIELDS]
    if missing or unknown:
        what = f"lacks {', '.join(missing)}" if missing else f"has unknown {', '.join(unknown)}"
        raise CheckpointError(f"{where}: {what}; {MEND}")
    for name, kind in FIELDS.items():
        value = state[name]
        fits = isinstance(value, Mapping) if kind is dict else type(value) is kind
        if not fits:
            raise CheckpointError(
                f"{where}: {name} is a {type(value).__name__}, not a {kind.__name__}; {MEND}"
            )
    for name in ("training_step", "epoch"):
        if state[name] < 0:
            raise CheckpointError(f"{where}: {name} is {state[name]}, below 0; {MEND}")
    for name in ("actor_network", "critic_network"):
        if not all(
            isinstance(key, str) and isinstance(value, torch.Tensor)
            for key, value in state[name].items()
        ):
            raise CheckpointError(f"{where}: {name} is not tensors by name; {MEND}")


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


def _refuse_stand_ins(skeleton: object, path: Path) -> None:
    """Refuse anything but tensors and plain values, to `_MAX_DEPTH`, before torch sees the file."""
    seen = set()
    level: List[Any] = [skeleton]
    for _ in range(_MAX_DEPTH + 2):
        children: List[Tuple[Any, ...]] = []
        for value in level:
            if isinstance(value, (StandIn, Global)):
                raise CheckpointError(
                    f"{path}: names {value.name:.80}, which is neither tensor nor plain value; "
                    f"it was not executed; {MEND}"
                )
            if isinstance(value, (dict, list, tuple)) and id(value) not in seen:
                seen.add(id(value))
                children.append(tuple(value.values()) if isinstance(value, dict) else tuple(value))
        level = [value for group in children for value in group]
        if not level:
            return
    raise CheckpointError(f"{path}: is nested deeper than {_MAX_DEPTH}; {MEND}")
