"""SLURM's commands as a login node has them: a queue that jobs get into, made up."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Dict, List

import pytest

ID = "5"
ACCEPTED = f"Submitted batch job {ID}"
SILENT = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"

# `queue` holds `id|script` of every job, `silent` what squeue complains of.
PROGRAM = r"""#!/bin/bash
place=${0%/bin/*} name=${0##*/}
printf '%s\n' "$name${*:+ $*}" >>"$place/calls"
env -0 >"$place/environment-$name"
case $name in
    sbatch)
        cp -- "${@: -1}" "$place/script"
        if [ -e "$place/queues" ]; then
            printf '%s\n' "$(<"$place/queues")|${*: -1}" >>"$place/queue"
        fi
        cat "$place/out"
        cat "$place/err" >&2
        exit "$(<"$place/code")"
        ;;
    squeue)
        if [ -e "$place/silent" ]; then cat "$place/silent" >&2; exit 1; fi
        case "$*" in
            *%o*) cat "$place/queue" ;;
            *) cat "$place/living" ;;
        esac
        ;;
    scontrol)
        [ "$1" = update ] || { echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1; }
        ;;
esac
"""


class LoginNode:
    """The commands, in `bin` of a folder of their own, first in the PATH."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place = place
        bin_folder = place / "bin"
        bin_folder.mkdir(parents=True)
        for name in ("sbatch", "squeue", "scontrol", "srun", "scancel"):
            (bin_folder / name).write_text(PROGRAM, encoding="utf-8")
            (bin_folder / name).chmod(stat.S_IRWXU)
        monkeypatch.setenv("PATH", f"{bin_folder}{os.pathsep}{os.environ['PATH']}")
        for name in ("queue", "living"):
            self._write(name, "")
        self.answers()

    def answers(self, out: str = ACCEPTED, err: str = "", code: int = 0, queued: str = ID) -> None:
        """What sbatch does from now on.

        Args:
            out: What it prints.
            err: What it complains of.
            code: Its exit code.
            queued: Under which number the job gets into the queue; empty if it does not.
        """
        self._write("out", f"{out}\n" if out else "")
        self._write("err", f"{err}\n" if err else "")
        self._write("code", str(code))
        if queued:
            self._write("queues", queued)
        else:
            (self.place / "queues").unlink()

    def is_silent(self) -> None:
        """From now on squeue gets no answer."""
        self._write("silent", f"{SILENT}\n")

    def runs(self, *slurm_ids: str) -> None:
        """These jobs are queued or running; of all others SLURM has seen the end."""
        self._write("living", "".join(f"{each}|RUNNING|N/A|None\n" for each in slurm_ids))

    def calls(self, beginning: str = "") -> List[str]:
        """The commands as they were called, of those with this beginning."""
        path = self.place / "calls"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [line for line in lines if line.startswith(beginning)]

    def script(self) -> str:
        """The batch script that sbatch got last."""
        return (self.place / "script").read_text(encoding="utf-8")

    def environment(self, command: str = "sbatch") -> Dict[str, str]:
        """The environment in which a command was called last."""
        data = (self.place / f"environment-{command}").read_bytes().decode("utf-8")
        pairs = (entry.partition("=") for entry in data.split("\0") if entry)
        return {name: value for name, _, value in pairs}

    def _write(self, name: str, text: str) -> None:
        (self.place / name).write_text(text, encoding="utf-8")


def content(folder: Path) -> Dict[str, object]:
    """Every file below a folder, to the byte, with the time of its last change."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
