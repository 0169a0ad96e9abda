"""A SLURM that is not there: commands in PATH that answer as they are told and note each call.

What they answer is as a real one was seen to answer (22.05.8).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from fake_trainers import REPOSITORY

ID = "8"

# `answers/<question>/<n>` holds the exit code and the words for the n-th time and those after it.
PROGRAM = r"""#!/bin/bash
place=${0%/bin/*} name=${0##*/} question=$name
case "$name $*" in
    "scontrol -o show job "* | "scontrol show job -o "*) question=show ;;
    "scontrol requeue "*) question=requeue ;;
    "scontrol update "*) question=update ;;
esac
printf '%s\n' "$name${*:+ $*}" >>"$place/calls"
printf . >>"$place/asked-$question"
number=$(stat -c %s "$place/asked-$question")
[ "$question" != show ] || [ ! -e "$place/requeued" ] || question=requeued
if [ "$question" = show ] && mv "$place/strike" "$place/struck" 2>/dev/null; then
    # As at the end of a job: the batch shell and all below it.
    kill -TERM 0 "$(<"$place/struck")"
fi
while [ "$number" -gt 0 ] && [ ! -e "$place/answers/$question/$number" ]; do
    number=$((number - 1))
done
code=0
if [ "$number" -gt 0 ]; then
    { read -r code && words=$(cat); } <"$place/answers/$question/$number"
    if [ "$code" = 0 ]; then printf '%s\n' "$words"; else printf '%s\n' "$words" >&2; fi
fi
case $question in
    requeue) [ "$code" != 0 ] || touch "$place/requeued" ;;
    sbatch) cp -- "${@: -1}" "$place/script" ;;
    srun)
        [ "$number" = 0 ] || exit "$code"
        while :; do
            case $1 in --output | --error) shift 2 ;; -*) shift ;; *) break ;; esac
        done
        exec "$@"
        ;;
esac
exit "$code"
"""
COMMANDS = ("scontrol", "scancel", "squeue", "srun", "sbatch", "sleep")

UNKNOWN = (1, "slurm_load_jobs error: Invalid job id specified")
SILENT = (1, "slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
PENDING = (1, f"Job is pending execution for job {ID}")


def shown(
    state: str = "RUNNING",
    restarts: int = 0,
    reason: str = "None",
    preempted: str = "None",
    ends: str = "2036-11-24T20:43:49",
    started: str = "2036-11-23T20:43:49",
    limit: str = "1-00:00:00",
    job: str = ID,
) -> Tuple[int, str]:
    """What `scontrol -o show job` says of a job."""
    return 0, (
        f"JobId={job} JobName=mapush-cuboid UserId=u(1000) GroupId=u(1000) MCS_label=N/A "
        f"Priority=4294901755 Nice=0 Account=(null) QOS=(null) JobState={state} Reason={reason} "
        f"Dependency=(null) Requeue=1 Restarts={restarts} BatchFlag=1 Reboot=0 ExitCode=0:0 "
        f"RunTime=00:00:07 TimeLimit={limit} TimeMin=N/A SubmitTime=2036-11-23T20:43:48 "
        f"EligibleTime=2036-11-23T20:43:48 AccrueTime=2036-11-23T20:43:48 StartTime={started} "
        f"EndTime={ends} Deadline=N/A PreemptEligibleTime={started} PreemptTime={preempted} "
        "SuspendTime=None SecsPreSuspend=0 Partition=low AllocNode:Sid=login:77 ReqNodeList=(null) "
        "ExcNodeList=(null) NodeList=n1 BatchHost=n1 NumNodes=1 NumCPUs=2 NumTasks=1 CPUs/Task=2 "
        "TRES=cpu=2,node=1,billing=2 Command=/s/a b.sh WorkDir=/s StdOut=/s/job.log Power= "
    )


class FakeSlurm:
    """The commands of one fake, in `bin` of a folder of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.bin = place / "bin"
        self.bin.mkdir(parents=True)
        for name in COMMANDS:
            path = self.bin / name
            path.write_text(PROGRAM, encoding="utf-8")
            path.chmod(0o755)
        self.answer("show", shown())
        self.answer("requeued", shown("COMPLETING", restarts=1))
        self.answer("sbatch", (0, f"Submitted batch job {ID}"))
        self.answer("squeue", (0, ""))

    def answer(self, question: str, *answers: Tuple[int, str]) -> None:
        """Answer a question so, one after the other, the last one for ever.

        Args:
            question: `show`, `requeue`, `update`, a command's name, or `requeued`, which is what
                `show` says after a requeue.
            answers: Exit code and words; for srun one means that nothing is run.
        """
        folder = self.place / "answers" / question
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        for number, (code, words) in enumerate(answers, 1):
            (folder / str(number)).write_text(f"{code}\n{words}\n", encoding="utf-8")

    def calls(self, beginning: str = "") -> List[str]:
        """The commands as they were called, of those with this beginning."""
        path = self.place / "calls"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [line for line in lines if line.startswith(beginning)]

    def strike(self, shell: str) -> None:
        """The next time somebody asks how the job stands, SLURM signals all its processes.

        Args:
            shell: Process id of the batch shell.
        """
        (self.place / "strike").write_text(shell, encoding="utf-8")

    def restarted(self) -> None:
        """SLURM starts the job again: it runs, and no call has been made since."""
        for path in (*self.place.glob("asked-*"), self.place / "requeued", self.place / "calls"):
            if path.exists():
                path.unlink()

    def environment(self, restarts: int = 0, array: str = "", **more: str) -> Dict[str, str]:
        """What a batch script finds in its environment."""
        known = {
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
            "SLURM_JOB_ID": ID,
            "SLURMD_NODENAME": "n1",
            "SLURM_JOB_NODELIST": "n1",
            "SLURM_JOB_NUM_NODES": "1",
            "SLURM_NTASKS": "1",
            "SLURM_NTASKS_PER_NODE": "1",
            "SLURM_PROCID": "0",
            "SLURM_LOCALID": "0",
            "SLURM_NODEID": "0",
            "PYTHON": sys.executable,
        }
        if restarts:
            known["SLURM_RESTART_COUNT"] = str(restarts)
        if array:
            known["SLURM_ARRAY_JOB_ID"], _, known["SLURM_ARRAY_TASK_ID"] = array.partition("_")
        return {**os.environ, **known, **more}

    def run(
        self, command: Sequence[str], environment: Dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run a batch script to its end, as slurmd would."""
        return subprocess.run(
            command,
            env=environment,
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
