"""Which code a run was trained by: its git commit, whether that was changed, and a hash of it."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from mapush.files import read_file
from mapush.runs.owner import COMMIT, job_environment

_GIVEN = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})(\+changed)?")
_SECONDS = 2.5  # for each of two questions to git
_PARTS = ("mapush", "job", "task", "slurm")
_DIGITS = 16


def code_facts(package: Path, folders: Sequence[Path] = ()) -> Dict[str, Any]:
    """What is known of the code that runs.

    A job runs from a copy without a repository, so its launcher says the commit by
    `MAPUSH_COMMIT=<sha>` or `<sha>+changed`. Else git is asked, if the package lies at the top of
    a working tree.

    Args:
        package: Directory of the package, whose *.py count.
        folders: More directories, such as the task's, of which every file counts.

    Returns:
        `commit` (full sha), `changed` (whether anything was not committed) and `hash` (of the
        files' names and content, 16 hexadecimal digits), each None where it cannot be told.
    """
    commit, changed = _given() or _by_git(package.parent)
    return {"commit": commit, "changed": changed, "hash": _hash(package, folders)}


def resumed_with(known: Mapping[str, Any], facts: Mapping[str, Any]) -> Dict[str, Any]:
    """The field of a record to add when other code resumes a run; empty if it is the same.

    Args:
        known: The record's further fields; `code` is what the run began with.
        facts: Those of the code that runs now.
    """
    found = known.get("resumed_with")
    earlier: List[Any] = found if isinstance(found, list) else []
    last = earlier[-1] if earlier else known.get("code")
    return {} if last == facts else {"resumed_with": [*earlier, dict(facts)]}


def _given() -> Optional[Tuple[str, bool]]:
    match = _GIVEN.fullmatch(job_environment().get(COMMIT, ""))
    return (match[1], match[2] is not None) if match else None


def _by_git(tree: Path) -> Tuple[Optional[str], Optional[bool]]:
    top = _git(tree, "rev-parse", "--show-cdup", "HEAD") if os.path.lexists(tree / ".git") else None
    lines = (top or "").splitlines()
    if len(lines) != 2 or lines[0]:
        return None, None
    changes = _git(tree, "status", "--porcelain", "--untracked-files=normal", "--", *_PARTS)
    return lines[1], None if changes is None else bool(changes.strip())


def _git(tree: Path, *words: str) -> Optional[str]:
    # A hook or an alias may have left a GIT_DIR of another repository.
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(tree), *words],
            env={**environment, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _hash(package: Path, folders: Iterable[Path]) -> Optional[str]:
    found = hashlib.sha256()
    try:
        for top, pattern in ((package, "*.py"), *((folder, "*") for folder in folders)):
            for name, path in _files(top, pattern):
                data = read_file(path)
                found.update(f"{name}\0{len(data)}\0".encode("utf-8", "surrogateescape") + data)
            found.update(b"\0")
    except OSError:
        return None
    return found.hexdigest()[:_DIGITS]


def _files(top: Path, pattern: str) -> Iterator[Tuple[str, Path]]:
    named = {path.relative_to(top).as_posix(): path for path in top.rglob(pattern)}
    for name in sorted(named):
        if "__pycache__" not in named[name].parts and named[name].is_file():
            yield name, named[name]
