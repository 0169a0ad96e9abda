"""A node of a SLURM that is not there: its commands answer as they are told and note each call.

What they answer is as a real one was seen to answer (22.05.8).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

from mapush.launch.jobs import JobFolder, submissions
from mapush.launch.profile import load_profile
from mapush.launch.request import SLURM, CodeCopy, JobRequest
from tests.support import PROJECT

ID = "8"
JOB = "11-23-18-12-45_cuboid"
Answer = Tuple[int, str]

# `answers/<question>/<n>` holds the exit code and the words for the n-th time and those after it.
PROGRAM = r"""#!/bin/bash -p
place=${0%/bin/*} name=${0##*/} question=${0##*/}
case "$name $*" in
    "scontrol show job "*) question=show ;;
    "scontrol requeue "*) question=requeue ;;
    "scontrol update "*) question=update ;;
esac
printf '%s\n' "$name${*:+ $*}" >>"$place/calls"
env | grep -E '^(SLURM|SBATCH|SQUEUE)' >>"$place/environment-$name"
printf . >>"$place/asked-$question"
number=$(stat -c %s "$place/asked-$question")
[ "$question" != show ] || [ ! -e "$place/requeued" ] || question=requeued
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
    srun)
        [ "$number" = 0 ] || exit "$code"
        while :; do
            case $1 in -*) shift ;; *) break ;; esac
        done
        export SLURM_STEP_ID=0 SLURM_GPUS_ON_NODE=1
        exec "$@"
        ;;
esac
exit "$code"
"""
COMMANDS = ("scontrol", "scancel", "squeue", "srun")

UNKNOWN = (1, "slurm_load_jobs error: Invalid job id specified")
SILENT = (1, "slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
PENDING = (1, f"Job is pending execution for job {ID}")

# Pauses of minutes become moments.
SUPERVISE = """
import sys
sys.path.insert(0, {project!r})
from mapush.launch.node import folder, scheduler, supervisor
folder._PAUSE = scheduler._PAUSE = scheduler._QUICK_PAUSE = 0.01
sys.exit(supervisor.main(sys.argv[1:]))
"""


def shown(
    state: str = "RUNNING",
    restarts: int = 0,
    reason: str = "None",
    preempted: str = "None",
    ends: str = "2036-11-24T20:43:49",
    started: str = "2036-11-23T20:43:49",
    limit: str = "1-00:00:00",
    job: str = ID,
    name: str = "mapush-cuboid",
    requeue: int = 1,
    array: str = "",
) -> Answer:
    """What `scontrol show job` says of a job; times in UTC."""
    return 0, (
        f"JobId={job} {array}JobName={name}\n"
        "   UserId=u(1000) GroupId=u(1000) MCS_label=N/A\n"
        "   Priority=4294901755 Nice=0 Account=(null) QOS=(null)\n"
        f"   JobState={state} Reason={reason} Dependency=(null)\n"
        f"   Requeue={requeue} Restarts={restarts} BatchFlag=1 Reboot=0 ExitCode=0:0\n"
        f"   RunTime=00:00:07 TimeLimit={limit} TimeMin=N/A\n"
        "   SubmitTime=2036-11-23T20:43:48 EligibleTime=2036-11-23T20:43:48\n"
        f"   AccrueTime=2036-11-23T20:43:48\n   StartTime={started} EndTime={ends} Deadline=N/A\n"
        f"   PreemptEligibleTime={started} PreemptTime={preempted}\n"
        "   SuspendTime=None SecsPreSuspend=0 LastSchedEval=2036-11-23T20:43:48\n"
        "   Partition=low AllocNode:Sid=login:77\n   ReqNodeList=(null) ExcNodeList=(null)\n"
        "   NodeList=n1\n   BatchHost=n1\n"
        "   NumNodes=1 NumCPUs=2 NumTasks=1 CPUs/Task=2 ReqB:S:C:T=0:0:*:*\n"
        "   TRES=cpu=2,node=1,billing=2\n"
        "   MinCPUsNode=2 MinMemoryNode=8G MinTmpDiskNode=0\n"
        "   Features=(null) DelayBoot=00:00:00\n"
        "   Command=/s/JobState=FAILED a b.sh\n   WorkDir=/s\n   StdOut=/s/job.log\n   Power=\n"
    )


class FakeNode:
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
        self.answer("squeue", (0, ""))

    def answer(self, question: str, *answers: Answer) -> None:
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

    def lacks(self, *commands: str) -> None:
        """The node has not these commands."""
        for name in commands:
            (self.bin / name).unlink()

    def calls(self, beginning: str = "") -> List[str]:
        """The commands as they were called, of those with this beginning."""
        path = self.place / "calls"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [line for line in lines if line.startswith(beginning)]

    def seen_by(self, command: str) -> List[str]:
        """The variables of SLURM's that a command found in its environment."""
        path = self.place / f"environment-{command}"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def restarted(self) -> None:
        """SLURM starts the job again: it runs, and no call has been made since."""
        for path in (*self.place.glob("asked-*"), self.place / "requeued", self.place / "calls"):
            if path.exists():
                path.unlink()

    def environment(self, **more: str) -> Dict[str, str]:
        """What a batch script finds in its environment; nothing of the machine's own SLURM."""
        known = {
            "PATH": os.pathsep.join([str(self.bin), str(Path(sys.executable).parent), "/bin"]),
            "HOME": str(self.place),
            "SLURM_JOB_ID": ID,
            "SLURM_CONF": "/etc/slurm.conf",
            "SLURM_CPUS_ON_NODE": "2",
            "SLURMD_NODENAME": "n1",
        }
        return {**known, **more}

    def command(self, *words: str) -> List[str]:
        """The supervisor, as the batch script starts it."""
        program = SUPERVISE.format(project=str(PROJECT))
        return [sys.executable, "-I", "-S", "-B", "-c", program, *words]

    def run(
        self, command: Sequence[str], environment: Dict[str, str], directory: Path = PROJECT
    ) -> subprocess.CompletedProcess[str]:
        """Run something on the node to its end."""
        return subprocess.run(
            command,
            env=environment,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )


def submitted(root: Path, text: str = "exit 0", job_id: str = JOB, **profile: Any) -> JobFolder:
    """The folder of a job whose cuboid's train.sh has this text."""
    code = root / f"code-{job_id}"
    (code / "task" / "cuboid").mkdir(parents=True)
    (code / "task" / "cuboid" / "train.sh").write_text(f"{text}\n", encoding="utf-8")
    for part in ("mapush", "job"):
        (code / part).symlink_to(PROJECT / part)
    place = JobFolder(submissions(root) / job_id)
    place.open(
        JobRequest(
            job_id=job_id,
            submitted="2026-11-23T18:12:45+01:00",
            cluster=SLURM,
            exp="cuboid",
            arguments=("--root", str(root)),
            root=str(root),
            code=CodeCopy(path=str(code)),
            python=sys.executable,
            gpus=0,
            profile=load_profile(None, {"failure_wait": 0, **profile}),
        )
    )
    return place


def said(place: JobFolder) -> str:
    """All that is in a job's log."""
    return place.output.read_text(encoding="utf-8") if place.output.exists() else ""
