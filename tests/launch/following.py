"""Jobs as a submission leaves them, and a made-up SLURM that is asked about them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, List

import pytest

from mapush.launch.jobs import JobFolder, submissions
from mapush.launch.node.folder import SLURM_ID
from mapush.launch.profile import load_profile
from mapush.launch.request import LOCAL, SLURM, CodeCopy, JobRequest

JOB = "11-23-18-12-45_cuboid"
ID = "8"

PROGRAM = """#!/bin/bash
place=${0%/bin/*} name=${0##*/}
printf '%s\\n' "$name $*" >>"$place/calls"
[ ! -e "$place/$name-fails" ] || { cat "$place/$name-fails" >&2; exit 1; }
cat "$place/$name"
"""
SILENT = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
UNKNOWN = "slurm_load_jobs error: Invalid job id specified"


class MadeUpSlurm:
    """`squeue` and `scontrol` in PATH, which print what a test wants and note each call.

    What they print is as a real SLURM (22.05.8) was seen to print it.
    """

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._place = place
        (place / "bin").mkdir(parents=True)
        for name in ("squeue", "scontrol"):
            (place / "bin" / name).write_text(PROGRAM, encoding="utf-8")
            (place / "bin" / name).chmod(0o755)
        self.queue()
        self.fail("scontrol", UNKNOWN)
        monkeypatch.setenv("PATH", f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}")

    def queue(self, *lines: str) -> None:
        """Have these jobs queued or running, in squeue's words."""
        self._answer("squeue", "\n".join(lines))

    def over(self, state: str, reason: str = "None", slurm_id: str = ID) -> None:
        """Have no job in the queue, and this one over."""
        self.queue()
        self._answer(
            "scontrol",
            f"JobId={slurm_id} JobName=mapush-cuboid\n"
            f"   JobState={state} Reason={reason} Dependency=(null)\n"
            "   Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=0:0\n"
            "   RunTime=00:00:07 TimeLimit=1-00:00:00 TimeMin=N/A\n"
            "   StartTime=2036-11-23T20:43:49 EndTime=2036-11-24T20:43:49 Deadline=N/A\n"
            "   NodeList=n1\n",
        )

    def fail(self, command: str, complaint: str) -> None:
        """Have a command fail until it is told what to answer."""
        (self._place / f"{command}-fails").write_text(f"{complaint}\n", encoding="utf-8")

    def calls(self, command: str) -> List[str]:
        """The calls of a command."""
        path = self._place / "calls"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [line for line in lines if line.split()[0] == command]

    def _answer(self, command: str, text: str) -> None:
        (self._place / command).write_text(f"{text}\n", encoding="utf-8")
        if (self._place / f"{command}-fails").exists():
            (self._place / f"{command}-fails").unlink()


def queued(
    state: str = "RUNNING",
    reason: str = "None",
    start: str = "2036-11-23T20:43:49",
    slurm_id: str = ID,
) -> str:
    """A line of `squeue`."""
    return f"{slurm_id}|{state}|{start}|{reason}"


def sent_job(
    root: Path, *arguments: str, job_id: str = JOB, slurm_id: str = "", **fields: Any
) -> JobFolder:
    """The folder of a job that was sent off: to SLURM if it has an id there."""
    place = JobFolder(submissions(root) / job_id)
    known = {"submitted": "2026-11-23T18:12:45+00:00", **fields}
    place.open(
        JobRequest(
            job_id=job_id,
            cluster=SLURM if slurm_id else LOCAL,
            exp="cuboid",
            arguments=arguments,
            root=str(root),
            code=CodeCopy(path=str(root)),
            python="python3",
            profile=load_profile(None, {}),
            **known,
        )
    )
    if slurm_id:
        place.write(SLURM_ID, slurm_id)
    return place


def say(place: JobFolder, *lines: str) -> None:
    """Add lines to what a job has said."""
    with place.output.open("a", encoding="utf-8") as log:
        log.writelines(f"{line}\n" for line in lines)
