"""Keeps the code and the tasks of a job as they were when it was sent off.

Snapshots are named by what is in them, so a hundred jobs of the same code share one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from pathlib import Path
from typing import Dict, Iterable, Iterator

from mapush.errors import RequestError, StorageError
from mapush.files import fsync_directory, hidden_sibling, make_directory, storage_errors
from mapush.launch.profile import PROJECT
from mapush.launch.request import CodeCopy
from mapush.runs.code import code_facts

# What a job runs besides its tasks.
_PARTS = ("mapush", "job")
_NAME_LENGTH = 16


def take(parent: Path, tasks: Iterable[Path]) -> CodeCopy:
    """Copy the project's code and some task folders, unless such a copy is there already.

    Args:
        parent: Holds the copies.
        tasks: Task folders; each lies at `task/<name>` of the copy.

    Returns:
        The copy, with `mapush/`, `job/` and `task/`.

    Raises:
        RequestError: If mapush does not lie in a checkout, which has the job's scripts too, or is
            edited just now.
        StorageError: If the copy cannot be written.
    """
    files = _files(tasks)
    copy = _described(parent, files)
    name, target = copy.hash, Path(copy.path)
    make_directory(parent)
    with storage_errors(target):
        if _is_whole(target, name):
            return copy
        temporary = hidden_sibling(target)
        try:
            for relative, source in files.items():
                (temporary / relative).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, temporary / relative)
            if not _is_whole(temporary, name):
                raise RequestError(f"{PROJECT}: was edited while it was copied; submit again")
            if target.exists() and not _is_whole(target, name):
                with contextlib.suppress(FileNotFoundError):  # somebody else has done it
                    target.rename(hidden_sibling(target))
            with contextlib.suppress(FileExistsError):
                temporary.rename(target)
        except OSError as error:
            # Somebody else may have made the same copy meanwhile.
            if error.errno != errno.ENOTEMPTY:
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        fsync_directory(parent)
    return copy


def place(parent: Path, tasks: Iterable[Path]) -> CodeCopy:
    """What `take` would return; nothing is written."""
    return _described(parent, _files(tasks))


def _described(parent: Path, files: Dict[str, Path]) -> CodeCopy:
    name = _digest(files)
    return CodeCopy(**{**code_facts(PROJECT / "mapush"), "path": str(parent / name), "hash": name})


def _is_whole(target: Path, name: str) -> bool:
    """Whether a copy is what its name says; a machine that lost power may have left it in part."""
    there = {path.relative_to(target).as_posix(): path for path in _walk(target)}
    try:
        return bool(there) and _digest(there) == name
    except StorageError as error:
        if isinstance(error.__cause__, FileNotFoundError):  # somebody else replaces it just now
            return False
        raise


def _files(tasks: Iterable[Path]) -> Dict[str, Path]:
    """Every file of a snapshot by its place in it."""
    found: Dict[str, Path] = {}
    for part in _PARTS:
        if not (PROJECT / part).is_dir():
            raise RequestError(
                f"{PROJECT / part}: is not there; a job needs mapush's whole checkout, so run "
                "mapush from there"
            )
        for path in _walk(PROJECT / part):
            found[path.relative_to(PROJECT).as_posix()] = path
    for task in tasks:
        for path in _walk(task):
            found[f"task/{task.name}/{path.relative_to(task).as_posix()}"] = path
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for directory, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__" and name[0] != ".")
        for name in sorted(names):
            if name[0] != ".":
                yield Path(directory) / name


def _digest(files: Dict[str, Path]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        with storage_errors(files[name]):
            content = files[name].read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:_NAME_LENGTH]
