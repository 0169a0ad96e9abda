"""Commands of a SLURM that is not there: each a small script in a directory of PATH."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Dict

from tests.doctor.recorded import CONFIG, PARTITIONS

TAKES = "echo 'sbatch: Job 5 to start at 2026-11-24T10:00:00 using 2 processors on n1' >&2"
# Runs the rest of its arguments as a step on this machine, which is then the node n1.
STEP = """while [[ $1 == --* ]]; do shift; done
export SLURM_JOB_ID=8 SLURMD_NODENAME=n1 SLURM_STEP_ID=0
cd / && "$@"
"""
JOB = "JobId=8 JobName=doctor\n   JobState=RUNNING Reason=None\n"


class Fakes:
    """A directory of commands that answer as those of a sound cluster until told otherwise."""

    def __init__(self, place: Path) -> None:
        self.bin = place / "slurm" / "bin"
        self.bin.mkdir(parents=True)
        self.script = self.bin.parent / "script"
        self.answer("squeue", ":")
        self.answer("scancel", ":")
        self.answer("srun", STEP)
        self.scontrol()
        self.sbatch()

    def answer(self, command: str, lines: str) -> None:
        path = self.bin / command
        path.write_text(f"#!/bin/bash\n{lines}\n", encoding="utf-8")
        path.chmod(0o755)

    def sbatch(self, version: str = "echo slurm 22.05.8", tests: str = TAKES) -> None:
        """Answer `sbatch --version` and `sbatch --test-only` by these lines of bash."""
        keep = f'cp -- "${{@: -1}}" {shlex.quote(str(self.script))}'
        self.answer("sbatch", f'if [ "$1" = --version ]; then {version}\nelse {keep}\n{tests}\nfi')

    def scontrol(self, config: str = CONFIG, partitions: str = PARTITIONS, job: str = JOB) -> None:
        known = {"config": config, "partition": partitions, "job": job}
        for name, text in known.items():
            (self.bin.parent / name).write_text(text, encoding="utf-8")
        self.answer("scontrol", f'[ "$1" != -o ] || shift\ncat {self.bin.parent}/"$2"')

    def environment(self) -> Dict[str, str]:
        return {"PATH": f"{self.bin}{os.pathsep}/usr/bin{os.pathsep}/bin"}
