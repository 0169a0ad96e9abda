"""Commands that print what a test wants, each a few lines of sh."""

from __future__ import annotations

import stat
from pathlib import Path


def put(folder: Path, name: str, text: str) -> Path:
    """A command of this text."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(stat.S_IRWXU)
    return path


def says(folder: Path, name: str, out: str, err: str = "", code: int = 0) -> None:
    """A command that notes in `calls` how it was called, prints this and ends with a code."""
    for kind, text in (("out", out), ("err", err)):
        (folder / f"{name}.{kind}").write_text(text, encoding="utf-8")
    lines = [f"echo {name} \"$@\" >>'{folder}/calls'", f"/bin/cat '{folder}/{name}.out'"]
    if err:
        lines.append(f"/bin/cat '{folder}/{name}.err' >&2")
    put(folder, name, "\n".join([*lines, f"exit {code}"]))
