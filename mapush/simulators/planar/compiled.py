"""Compiled kernels, kept for later processes.

A kernel is compiled in a directory of its own, which then appears in the cache by one rename: two
processes, on one machine or on two that share a home, never write the same file. It is compiled
for any CPU of this kind, so it serves all nodes, and results do not depend on the node's model.
"""

# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import contextlib
import ctypes
import hashlib
import logging
import os
import platform
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, Iterable, Iterator, List, Optional

import warp as wp

from mapush.errors import RequestError
from mapush.files import fsync_directory

KERNELS = "MAPUSH_KERNELS"
"""Names a directory of compiled kernels that is only read, as a container image has one."""

_SUMS = "SHA256SUMS"
_chosen: List[Path] = []  # the last one counts
_log = logging.getLogger("mapush")


def start_warp() -> None:
    """Make Warp ready; silent, and for any CPU of this kind."""
    wp.config.log_level = wp.LOG_ERROR
    wp.config.cpu_compiler_flags = ""
    wp.config.enable_backward = False
    with _quiet_without_gpu():
        wp.init()


@contextlib.contextmanager
def _quiet_without_gpu() -> Iterator[None]:
    """Keep Warp's native code from complaining of a GPU's driver where there is none."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        kept = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)
    else:
        yield


def module_name(kind: str, texts: Iterable[str]) -> str:
    """A module's name: its kind and a hash of everything that decides what is compiled.

    Args:
        kind: for people.
        texts: what was written for this kernel alone; mapush's own kernels count anyway.
    """
    digest = hashlib.sha256()
    package = Path(__file__).parents[2]
    files = sorted(
        (*Path(__file__).parent.glob("*.py"), *(package / "environment" / "fused").glob("*.py"))
    )
    for text in (wp.config.version, *(path.read_text(encoding="utf-8") for path in files), *texts):
        digest.update(text.encode() + b"\0")
    return f"mapush_{kind}_{digest.hexdigest()[:16]}"


def load(module: Any, device: str) -> None:  # noqa: ANN401 - a Warp module
    """Load a module's kernels, compiling them the first time.

    Args:
        module: with all its kernels, named by `module_name`.
        device: Warp's name of where they run.

    Raises:
        RequestError: they cannot be compiled.
    """
    warp_device = wp.get_device(device)
    arch = platform.machine() if warp_device.is_cpu else f"sm_{warp_device.arch}"
    name = f"{module.name}_{arch}"
    own = _own_cache()
    shelves = [Path(os.environ[KERNELS])] if os.environ.get(KERNELS) else []
    for shelf in (*shelves, *([own] if own else [])):
        if _is_whole(shelf / name):
            _load_from(shelf / name, module, warp_device)
            return
    begun = time.perf_counter()
    where = own or Path(tempfile.gettempdir())
    _log.warning("compiling the simulator's kernel for %s, once per machine: some 10 s", device)
    made = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=where))
    try:
        _load_from(made, module, warp_device)
        _seal(made)
        if own is not None:
            _publish(made, own / name)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    _log.warning("compiled in %.1f s", time.perf_counter() - begun)


def _load_from(directory: Path, module: Any, device: Any) -> None:  # noqa: ANN401
    wp.config.kernel_cache_dir = str(directory)
    try:
        # Warp loads CPU kernels by blocks of 1, whatever the module's own default.
        if not module.load(device, 1 if device.is_cpu else None):
            raise RequestError(f"{directory}: the kernel in it cannot be loaded; remove it")
    except RequestError:
        raise
    except Exception as error:
        line = " ".join(str(error).split())
        raise RequestError(f"--sim planar: its kernel cannot be compiled ({line:.300})") from error


def keep_in(directory: Path) -> None:
    """Keep what this process compiles in a directory, instead of in the user's cache."""
    directory.mkdir(parents=True, exist_ok=True)
    _chosen.append(directory)


def _own_cache() -> Optional[Path]:
    """Where this user's kernels are; None where nothing can be written."""
    if _chosen:
        return _chosen[-1]
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    path = Path(base) / "mapush" / "kernels"
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError:
        return None


def _files(directory: Path) -> Iterable[Path]:
    return sorted(p for p in directory.rglob("*") if p.is_file() and p.name != _SUMS)


def _sums(directory: Path) -> str:
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(directory)}\n"
        for path in _files(directory)
    )


def _seal(directory: Path) -> None:
    """Make what was compiled durable, and note what it is."""
    (directory / _SUMS).write_text(_sums(directory), encoding="utf-8")
    for path in (*_files(directory), directory / _SUMS):
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _is_whole(directory: Path) -> bool:
    """Whether a cached kernel is there as it was compiled; a damaged one may crash a process."""
    try:
        return (directory / _SUMS).read_text(encoding="utf-8") == _sums(directory)
    except (OSError, UnicodeDecodeError):
        return False


def _publish(made: Path, target: Path) -> None:
    with contextlib.suppress(OSError):  # another process has published it, or the disk is full
        if target.is_dir() and not _is_whole(target):
            shutil.rmtree(target)
        made.rename(target)
        fsync_directory(target.parent)
