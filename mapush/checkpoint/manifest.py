"""manifest.json: what a checkpoint should be, written beside it and read without trust."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import platform
import re
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from mapush import __version__
from mapush.errors import CheckpointError
from mapush.files import read_file

FILE_NAME = "manifest.json"

_MAX_BYTES = 1_000_000
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FIX = "restore it from a copy"
_SEAL = "seal"  # sha256 of all other fields


@dataclasses.dataclass(frozen=True)
class Manifest:
    """One checkpoint's manifest."""

    sha256: str
    """Of the module.pt beside it, in lower-case hexadecimal."""
    bytes: int
    """Size of that module.pt."""
    step: int
    """Environment steps, summed over environments."""
    epoch: int
    """Updates."""
    config_hash: str
    """sha256 of the run's configuration as canonical JSON."""
    created: str
    """ISO time with UTC offset."""
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Of mapush, python, torch and the simulator."""
    evaluation: Optional[Mapping[str, float]] = None
    """Figures such as `success_rate`, if the checkpoint was evaluated before it was saved."""


def describe(
    module: bytes,
    step: int,
    epoch: int,
    config: Mapping[str, Any],
    evaluation: Optional[Mapping[str, float]] = None,
) -> Manifest:
    """The manifest of a module.pt about to be written."""
    return Manifest(
        sha256=hashlib.sha256(module).hexdigest(),
        bytes=len(module),
        step=step,
        epoch=epoch,
        config_hash=config_hash(config),
        created=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        versions=versions(),
        evaluation=None if evaluation is None else dict(evaluation),
    )


def config_hash(config: Mapping[str, Any]) -> str:
    """The sha256 of a run's configuration as canonical JSON."""
    return _digest(config)


def dumps(manifest: Manifest) -> bytes:
    """The bytes of a manifest.json, sealed so that damage to any field is found."""
    fields = dataclasses.asdict(manifest)
    return (json.dumps({**fields, _SEAL: _digest(fields)}, indent=2) + "\n").encode()


def read(path: Path) -> Manifest:
    """Read a manifest.json.

    Raises:
        CheckpointError: If it is missing, damaged or lacks what every manifest has. Fields of a
            later version are ignored.
    """
    try:
        data = read_file(path, _MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise CheckpointError(f"{path}: has more than {_MAX_BYTES:,} bytes; {_FIX}")
        fields = json.loads(data.decode("utf-8"))
    except (OSError, RecursionError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); {_FIX}") from error
    if not isinstance(fields, dict):
        raise CheckpointError(f"{path}: is a {type(fields).__name__}, not a mapping; {_FIX}")
    _check(path, fields)
    seal = fields.pop(_SEAL, None)
    # Manifests of the first versions have none.
    if seal is not None and seal != _digest(fields):
        raise CheckpointError(f"{path}: is not what its {_SEAL} says, so it is damaged; {_FIX}")
    evaluation: Optional[Dict[str, float]] = fields.get("evaluation")
    return Manifest(
        sha256=fields["sha256"],
        bytes=fields["bytes"],
        step=fields["step"],
        epoch=fields["epoch"],
        config_hash=fields["config_hash"],
        created=fields["created"],
        versions=fields["versions"],
        evaluation=evaluation,
    )


def _digest(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True, default=str).encode()).hexdigest()


@functools.lru_cache(maxsize=None)
def _installed(package: str) -> Optional[str]:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def versions() -> Dict[str, str]:
    """Versions of mapush, Python and the packages a run depends on, as far as installed."""
    found = {"mapush": __version__, "python": platform.python_version()}
    for package in ("torch", "mujoco"):
        version = _installed(package)
        if version is not None:
            found[package] = version
    return found


def _check(path: Path, fields: Mapping[str, Any]) -> None:
    digest = fields.get("sha256")
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        raise CheckpointError(f"{path}: sha256 is {str(digest)[:40]!r}, no digest; {_FIX}")
    for name in ("bytes", "step", "epoch"):
        value = fields.get(name)
        if type(value) is not int or value < 0:
            raise CheckpointError(
                f"{path}: {name} is {str(value)[:40]!r}, no whole number from 0; {_FIX}"
            )
    for name in ("config_hash", "created"):
        if not isinstance(fields.get(name), str):
            raise CheckpointError(f"{path}: {name} is {str(fields.get(name))[:40]!r}; {_FIX}")
    found = fields.get("versions")
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise CheckpointError(f"{path}: versions are not texts by name; {_FIX}")
    evaluation = fields.get("evaluation")
    if evaluation is not None and not (
        isinstance(evaluation, dict)
        and all(type(value) in (int, float) for value in evaluation.values())
    ):
        raise CheckpointError(f"{path}: evaluation is not numbers by name; {_FIX}")
