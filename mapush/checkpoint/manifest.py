"""manifest.json: what a checkpoint should be, written beside it and read without trust."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import platform
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from pydantic import Field, NonNegativeInt
from typing_extensions import Annotated

from mapush import __version__
from mapush.errors import CheckpointError
from mapush.files import read_fields, read_file

FILE_NAME = "manifest.json"

_MAX_BYTES = 1_000_000
_FIX = "restore it from a copy"
_SEAL = "seal"  # sha256 of all other fields


@dataclasses.dataclass(frozen=True)
class Manifest:
    """One checkpoint's manifest."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Of the module.pt beside it, in lower-case hexadecimal."""
    bytes: NonNegativeInt
    """Size of that module.pt."""
    step: NonNegativeInt
    """Environment steps, summed over environments."""
    epoch: NonNegativeInt
    """Updates."""
    config_hash: str
    """sha256 of the run's configuration as canonical JSON."""
    created: str
    """ISO time with UTC offset."""
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Of mapush, python, torch and the simulator."""
    evaluation: Optional[Mapping[str, float]] = None
    """Figures such as `success_rate`, if the checkpoint was evaluated before it was saved."""

    @property
    def success_rate(self) -> Optional[float]:
        """The share of episodes that succeeded, if the checkpoint was evaluated."""
        return (self.evaluation or {}).get("success_rate")


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
        config_hash=digest(config),
        created=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        versions=versions(),
        evaluation=None if evaluation is None else dict(evaluation),
    )


def digest(fields: Mapping[str, Any]) -> str:
    """The sha256 of plain values, such as a run's configuration, as canonical JSON."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True, default=str).encode()).hexdigest()


def dumps(manifest: Manifest) -> bytes:
    """The bytes of a manifest.json, sealed so that damage to any field is found."""
    fields = dataclasses.asdict(manifest)
    return (json.dumps({**fields, _SEAL: digest(fields)}, indent=2) + "\n").encode()


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
    try:
        found = read_fields(Manifest, fields)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}; {_FIX}") from error
    seal = fields.pop(_SEAL, None)
    # Manifests of the first versions have none.
    if seal is not None and seal != digest(fields):
        raise CheckpointError(f"{path}: is not what its {_SEAL} says, so it is damaged; {_FIX}")
    return found


@functools.lru_cache(maxsize=None)
def _installed(package: str) -> Optional[str]:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def versions() -> Dict[str, str]:
    """Versions of mapush, Python and the packages a run depends on, as far as installed."""
    found = {"mapush": __version__, "python": platform.python_version()}
    for package in ("torch", "warp-lang", "mujoco"):
        version = _installed(package)
        if version is not None:
            found[package] = version
    return found
