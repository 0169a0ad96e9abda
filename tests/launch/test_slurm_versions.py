"""What SLURM 20.11 to 25.05 print of a job is understood alike."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest
import recorded_slurm as recorded
from made_commands import put, says

from mapush.errors import MapushError
from mapush.launch.node import slurm
from mapush.launch.node.slurm import GONE, Job
from mapush.launch.profile import of_running_job


@pytest.fixture(name="commands")
def folder_of_commands(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def moment(text: str) -> float:
    """Seconds since the epoch of a time in UTC."""
    parsed = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S")
    return parsed.replace(tzinfo=timezone.utc).timestamp()


def job(slurm_id: str, state: str, **known: Any) -> Job:
    """A job with what is not named as it is of most; without its fields."""
    plain: Dict[str, Any] = {"reason": "", "restarts": 0, "may_requeue": True, "nodes": ""}
    plain.update(node_count=1, limit=None, fields={})
    for name in ("start", "end", "preempted"):
        known[name] = moment(known[name]) if name in known else None
    return Job(slurm_id, state, **{**plain, **known})


RUNNING_MEMBER = job(
    "70_2",
    "RUNNING",
    restarts=2,
    nodes="bridge-1",
    start="2026-07-10T15:52:54",
    end="2026-07-11T03:52:54",
    limit=43200.0,
)
WAITING_MEMBER = job("70", "PENDING", reason="JobArrayTaskLimit", limit=43200.0)
# The id that is asked for, SLURM's answer, and what it says.
CASES: List[Tuple[str, str, Job]] = [
    (
        "4712",
        recorded.V20_11,
        job(
            "4710_2",
            "RUNNING",
            restarts=3,
            nodes="gpu001",
            start="2026-03-22T22:20:55",
            end="2026-03-23T22:20:55",
            limit=86400.0,
        ),
    ),
    (
        "119596",
        recorded.V21_08,
        job("119596", "PENDING", reason="ReqNodeNotAvail,_UnavailableNodes:n15"),
    ),
    (
        "635",
        recorded.V22_05,
        job(
            "635",
            "COMPLETING",
            nodes="c-8-42",
            start="2026-02-02T13:26:25",
            end="2026-02-02T13:26:49",
            preempted="2026-02-02T13:26:49",
            limit=3600.0,
        ),
    ),
    (
        "956929",
        recorded.V23_02,
        job(
            "956929",
            "TIMEOUT",
            reason="TimeLimit",
            restarts=12,
            nodes="gpu-n[63-64]",
            node_count=2,
            start="2026-08-14T15:14:09",
            end="2026-08-14T17:14:38",
            limit=7200.0,
        ),
    ),
    (
        "4925681",
        recorded.V23_11,
        job("4925681", "RUNNING", restarts=1, nodes="cn-c015", start="2026-06-23T21:45:57"),
    ),
    ("73", recorded.V24_05, RUNNING_MEMBER),
    ("70_2", recorded.V24_05, RUNNING_MEMBER),
    ("70", recorded.V24_05, WAITING_MEMBER),
    (
        "88",
        recorded.V24_11,
        job(
            "88",
            "CANCELLED",
            nodes="dgx003",
            start="2026-02-04T10:17:17",
            end="2026-02-04T11:42:54",
            limit=18000.0,
        ),
    ),
    (
        "3640369",
        recorded.V25_05,
        job(
            "3640369",
            "COMPLETED",
            may_requeue=False,
            nodes="cpu041",
            start="2026-03-08T22:04:20",
            end="2026-03-08T22:26:39",
            limit=43200.0,
        ),
    ),
]
IDS = ["20.11", "21.08", "22.05", "23.02", "23.11", "24.05", "24.05 by index", "24.05 head"]
IDS += ["24.11", "25.05"]


def ask(commands: Path, asked: str, answer: str, code: int = 0) -> Job:
    """What is understood of an answer to `scontrol show job`."""
    says(commands, "scontrol", "" if code else answer, answer if code else "", code)
    return slurm.job(asked, {"PATH": str(commands)})


@pytest.mark.parametrize(("asked", "answer", "expected"), CASES, ids=IDS)
def test_a_job_is_read_alike_from_every_version(
    asked: str, answer: str, expected: Job, commands: Path
) -> None:
    assert ask(commands, asked, answer)._replace(fields={}) == expected
    assert (commands / "calls").read_text(encoding="utf-8") == f"scontrol show job {asked}\n"


NORMAL = {"qos": "normal"}
# What the job has asked for, as far as a profile can say it, and its GPUs.
ASKED: List[Tuple[str, str, Dict[str, Any], Optional[int]]] = [
    (
        "4712",
        recorded.V20_11,
        {
            **NORMAL,
            "partition": "preempt",
            "account": "lab42",
            "time": "1-00:00:00",
            "cpus": 2,
            "memory": "8G",
        },
        1,
    ),
    (
        "119596",
        recorded.V21_08,
        {
            **NORMAL,
            "partition": "low,high",
            "reservation": "course_1",
            "constraint": "a100&ib",
            "cpus": 8,
            "memory_per_cpu": "400M",
        },
        None,
    ),
    (
        "635",
        recorded.V22_05,
        {"partition": "low", "time": "01:00:00", "cpus": 2, "memory": "100M"},
        None,
    ),
    (
        "956929",
        recorded.V23_02,
        {
            "partition": "l40s",
            "account": "lab42",
            "qos": "gpu-l40s-s",
            "time": "02:00:00",
            "cpus": 16,
            "memory_per_cpu": "8000M",
            "gpu_type": "l40s",
        },
        2,
    ),
    (
        "4925681",
        recorded.V23_11,
        {
            **NORMAL,
            "partition": "long",
            "account": "mila",
            "constraint": "x86_64",
            "cpus": 4,
            "memory": "48G",
            "gpu_type": "rtx8000",
        },
        1,
    ),
    (
        "73",
        recorded.V24_05,
        {**NORMAL, "partition": "gpu", "time": "12:00:00", "cpus": 2, "memory": "8G"},
        1,
    ),
    (
        "88",
        recorded.V24_11,
        {
            **NORMAL,
            "partition": "H100",
            "account": "lade",
            "time": "05:00:00",
            "cpus": 8,
            "memory": "80G",
            "gpu_type": "H100",
        },
        1,
    ),
    (
        "3640369",
        recorded.V25_05,
        {
            **NORMAL,
            "partition": "shared-cpu",
            "account": "lab42",
            "time": "12:00:00",
            "cpus": 1,
            "requeue": False,
        },
        None,
    ),
]


@pytest.mark.parametrize(("asked", "answer", "profile", "gpus"), ASKED)
def test_what_a_job_has_asked_for_is_read_alike_from_every_version(
    asked: str, answer: str, profile: Dict[str, Any], gpus: Optional[int], commands: Path
) -> None:
    fields = ask(commands, asked, answer).fields
    if of_running_job(fields)[0].get("time") == "Partition_Limit":
        fields["TimeLimit"] = "UNLIMITED"
    assert of_running_job(fields) == (profile, gpus)


def test_an_array_whose_own_number_is_forgotten_is_known_by_a_member_that_lives(
    commands: Path,
) -> None:
    over = recorded.V20_11.replace("RUNNING", "FAILED").replace("TaskId=2", "TaskId=1")
    other = recorded.V20_11.replace("JobId=4712", "JobId=4713")
    assert ask(commands, "4710", over + other).state == "RUNNING"
    assert ask(commands, "4710", over).is_over


# Flags beside a state, and states that not every version has.
STATES = {
    "RUNNING": ("RUNNING", False),
    "RUNNING,COMPLETING": ("RUNNING", False),
    "RUNNING+CONFIGURING": ("RUNNING", False),
    "COMPLETED,COMPLETING": ("COMPLETED", True),
    "CANCELLED+COMPLETING": ("CANCELLED", True),
    "PENDING,REQUEUED": ("PENDING", False),
    "CONFIGURING": ("CONFIGURING", False),
    "SUSPENDED": ("SUSPENDED", False),
    "STOPPED": ("STOPPED", False),
    "RESIZING": ("RESIZING", False),
    "SIGNALING": ("SIGNALING", False),
    "STAGE_OUT": ("STAGE_OUT", False),
    "REQUEUED": ("REQUEUED", False),
    "REQUEUE_HOLD": ("REQUEUE_HOLD", False),
    "SPECIAL_EXIT": ("SPECIAL_EXIT", False),
    "BOOT_FAIL": ("BOOT_FAIL", True),
    "DEADLINE": ("DEADLINE", True),
    "FAILED": ("FAILED", True),
    "NODE_FAIL": ("NODE_FAIL", True),
    "OUT_OF_MEMORY": ("OUT_OF_MEMORY", True),
    "PREEMPTED": ("PREEMPTED", True),
    "REVOKED": ("REVOKED", True),
    "TIMEOUT": ("TIMEOUT", True),
}


@pytest.mark.parametrize(("shown", "expected"), STATES.items())
def test_a_state_is_read_past_its_flags(
    shown: str, expected: Tuple[str, bool], commands: Path
) -> None:
    found = ask(commands, "635", recorded.V22_05.replace("COMPLETING", shown))
    assert (found.state, found.is_over) == expected


FIELDS = [
    ("TimeLimit=01:00:00", "TimeLimit=UNLIMITED", "limit", None),
    ("TimeLimit=01:00:00", "TimeLimit=INVALID", "limit", None),
    ("TimeLimit=01:00:00", "TimeLimit=365-00:00:01", "limit", 31_536_001.0),
    ("EndTime=2026-02-02T13:26:49", "EndTime=N/A", "end", None),
    ("NumNodes=1 ", "NumNodes=3-4 ", "node_count", 3),
    ("NumNodes=1 ", "NumNodes=2,4 ", "node_count", 2),
    ("Reason=None", "Reason=(null)", "reason", ""),
    ("Reason=None", "Reason=a FailedNode=n7", "reason", "a"),
    ("Requeue=1 Restarts=0 ", "", "restarts", 0),
    ("Requeue=1 Restarts=0 ", "", "may_requeue", True),
    ("   NodeList=c-8-42\n", "   NodeList=c-8-42 SchedNodeList=n9\n", "nodes", "c-8-42"),
    ("   BatchHost=", "   BatchFeatures=gpu BatchHost=", "nodes", "c-8-42"),
    ("PreemptTime=2026-02-02T13:26:49", "PreemptTime=None", "preempted", None),
    ("ExitCode=0:15\n", "ExitCode=0:15\n   DerivedExitCode=0:0\n", "restarts", 0),
]


@pytest.mark.parametrize(("old", "new", "field", "expected"), FIELDS)
def test_a_field_in_a_form_that_few_jobs_have_is_read(
    old: str, new: str, field: str, expected: Any, commands: Path
) -> None:
    assert old in recorded.V22_05
    found = ask(commands, "635", recorded.V22_05.replace(old, new))
    assert getattr(found, field) == expected


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("8", "slurm_load_jobs error: Invalid job id specified"),
        ("8", "slurm_load_jobs error: Invalid job id specified\nsite: be nice"),
        ("8_9", "Job 8_9 not found"),
        ("8", "Job 8 not found"),
    ],
)
def test_a_job_that_slurm_does_not_know_is_gone(asked: str, answer: str, commands: Path) -> None:
    found = ask(commands, asked, answer, code=1)
    assert (found.id, found.state, found.is_over) == (asked, GONE, True)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("9", recorded.V22_05),
        ("63", recorded.V22_05),
        ("471", recorded.V20_11),
        ("70_4", recorded.V24_05),
        ("635", recorded.V22_05.replace("JobState=COMPLETING ", "")),
        ("635", recorded.V22_05.replace("JobId=", "Job=")),
        ("635", ""),
        ("635", "No jobs in the system"),
    ],
)
def test_an_answer_that_is_not_of_the_job_is_no_answer(
    asked: str, answer: str, commands: Path
) -> None:
    with pytest.raises(MapushError, match=f"^scontrol show job {asked}: ") as caught:
        ask(commands, asked, answer)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


# As SLURM does: in the zone of its environment.
IN_ITS_ZONE = """
when() { /bin/date -d "@$1" +%FT%T; }
echo "JobId=8 JobName=x
   JobState=RUNNING Reason=None Dependency=(null)
   StartTime=$(when 1790000000) EndTime=$(when 1790000100) Deadline=N/A
   PreemptEligibleTime=$(when 1790000000) PreemptTime=$(when 1790000100)"
"""


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/St_Johns", "XYZ-14", ""])
def test_the_users_time_zone_and_language_change_no_time(
    zone: str, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(commands, "scontrol", IN_ITS_ZONE)
    odd = {"SLURM_TIME_FORMAT": "relative", "LC_ALL": "de_DE.UTF-8", "TZ": zone}
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        found = slurm.job("8", {"PATH": str(commands), **odd})
    finally:
        monkeypatch.undo()
        time.tzset()
    assert (found.start, found.end, found.preempted) == (1790000000, 1790000100, 1790000100)
