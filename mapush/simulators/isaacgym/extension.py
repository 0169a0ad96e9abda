"""The lock that a killed build of gymtorch leaves behind, which every later import waits for."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, List, Optional

from mapush.errors import RequestError

BUILD_LIMIT = 600.0  # s; gymtorch is compiled in about a minute
_NAME = "gymtorch"


def extensions_root() -> Path:
    """Where torch keeps what it compiles."""
    chosen = os.environ.get("TORCH_EXTENSIONS_DIR")
    if chosen:
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "torch_extensions"


def clear_stale_lock(
    root: Optional[Path] = None,
    limit: float = BUILD_LIMIT,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Wait for another process that builds gymtorch; remove its lock once it must be dead.

    torch writes no owner into the lock, so its age decides: a lock older than `limit` seconds is
    of a build that was killed. What is done is said on stderr.

    Raises:
        RequestError: the directory cannot be written, so nothing can be built or removed there.
    """
    root = extensions_root() if root is None else root
    _require_writable(root)
    said = False
    for lock in _locks(root):
        while lock.exists():
            age = _age(lock)
            if age is None:
                break
            if age >= limit:
                lock.unlink()
                _say(f"{lock}: removed; it was left {age:.0f} s ago by a build that was killed")
                break
            if not said:
                _say(
                    f"{lock}: another process builds gymtorch; waiting until it is done, at most "
                    f"{limit - age:.0f} s"
                )
                said = True
            wait(min(1.0, limit - age))


def _locks(root: Path) -> List[Path]:
    # With TORCH_EXTENSIONS_DIR torch builds in it; else in a folder per Python and CUDA version.
    return sorted({*root.glob(f"{_NAME}/lock"), *root.glob(f"*/{_NAME}/lock")})


def _age(lock: Path) -> Optional[float]:
    """Seconds since the lock was written by the clock of its file system; None if it is gone."""
    try:
        with tempfile.NamedTemporaryFile(dir=str(lock.parent)) as now:
            return Path(now.name).stat().st_mtime - lock.stat().st_mtime
    except FileNotFoundError:
        return None


def _require_writable(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=str(root)):
            pass
    except OSError as error:
        raise RequestError(
            f"{root}: Isaac Gym's gymtorch is built here and it cannot be written "
            f"({error.strerror}); set TORCH_EXTENSIONS_DIR to a directory of this job's own"
        ) from None


def _say(text: str) -> None:
    print(f"mapush: {text}", file=sys.stderr, flush=True)  # noqa: T201
