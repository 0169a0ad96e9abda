"""What SLURM's commands answer, as a real one was seen to answer, and what is understood of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List, Tuple

import pytest
from fake_slurm import ID, SILENT, UNKNOWN, FakeSlurm, shown

from mapush.errors import MapushError
from mapush.job import slurm
from mapush.job.slurm import JobState, fields_of, first_line, job_state, living

START = "2036-11-23T20:43:49"
MEMBERS = "\n".join(
    line
    for _, line in (
        shown("PENDING", reason="JobArrayTaskLimit", started="Unknown", job="9"),
        shown("RUNNING", job="10"),
    )
)


@pytest.fixture(name="fake")
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{fake.bin}{os.pathsep}{os.environ['PATH']}")
    return fake


@pytest.mark.parametrize(
    ("answer", "expected", "is_over"),
    [
        (shown(), JobState("RUNNING", "None", 0, "n1", START), False),
        (shown("PENDING", 2, "BeginTime"), JobState("PENDING", "BeginTime", 2, "n1", START), False),
        (
            shown("PENDING", reason="ReqNodeNotAvail,_UnavailableNodes:n15"),
            JobState("PENDING", "ReqNodeNotAvail,_UnavailableNodes:n15", 0, "n1", START),
            False,
        ),
        (shown("COMPLETING"), JobState("COMPLETING", "None", 0, "n1", START), False),
        (shown("SUSPENDED"), JobState("SUSPENDED", "None", 0, "n1", START), False),
        (shown("REQUEUED"), JobState("REQUEUED", "None", 0, "n1", START), False),
        (shown("COMPLETED"), JobState("COMPLETED", "None", 0, "n1", START), True),
        (shown("FAILED"), JobState("FAILED", "None", 0, "n1", START), True),
        (shown("CANCELLED"), JobState("CANCELLED", "None", 0, "n1", START), True),
        (shown("PREEMPTED"), JobState("PREEMPTED", "None", 0, "n1", START), True),
        (shown("NODE_FAIL", 1), JobState("NODE_FAIL", "None", 1, "n1", START), True),
        (shown("OUT_OF_MEMORY"), JobState("OUT_OF_MEMORY", "None", 0, "n1", START), True),
        (
            shown("TIMEOUT", reason="TimeLimit"),
            JobState("TIMEOUT", "TimeLimit", 0, "n1", START),
            True,
        ),
        # Of several members the first.
        ((0, MEMBERS), JobState("PENDING", "JobArrayTaskLimit", 0, "n1", "Unknown"), False),
        (UNKNOWN, JobState("GONE", "", 0, "", "Unknown"), True),
        ((0, ""), JobState("UNKNOWN", "", 0, "", "Unknown"), False),
        ((0, "No jobs in the system"), JobState("UNKNOWN", "", 0, "", "Unknown"), False),
        ((0, "JobState=RUNNING Restarts=x"), JobState("RUNNING", "", 0, "", "Unknown"), False),
    ],
)
def test_how_a_job_stands_is_read(
    answer: Tuple[int, str], expected: JobState, is_over: bool, fake: FakeSlurm
) -> None:
    fake.answer("show", answer)
    assert job_state(ID) == expected
    assert job_state(ID).is_over == is_over
    assert set(fake.calls()) == {f"scontrol show job -o {ID}"}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (SILENT, "scontrol: slurm_load_jobs error: Unable to contact slurm controller"),
        ((1, ""), "scontrol: it failed without a message"),
        ((1, "scontrol: error: a\nscontrol: error: b\n"), "scontrol: a; b"),
        ((1, "x" * 9000), "xxx"),
    ],
)
def test_a_silent_slurm_is_no_answer_and_one_line(
    answer: Tuple[int, str], words: str, fake: FakeSlurm
) -> None:
    fake.answer("show", answer)
    fake.answer("squeue", answer)
    for asked in (lambda: job_state(ID), lambda: living([ID])):
        with pytest.raises(MapushError) as caught:
            asked()
        message = str(caught.value).replace("squeue: ", "scontrol: ", 1)
        assert words in message
        assert "\n" not in message
        assert len(message) < 600


def test_a_slurm_that_hangs_is_not_waited_for(
    fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fake.bin / "scontrol").write_text("#!/bin/sh\nexec /bin/sleep 60\n", encoding="utf-8")
    monkeypatch.setattr(slurm, "_SECONDS", 0.2)
    with pytest.raises(MapushError, match="scontrol: no answer in 0 s; try again"):
        job_state(ID)


def test_a_command_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MapushError, match="scontrol: not found; is SLURM's bin directory in PATH"):
        job_state(ID)
    assert not slurm.is_there()


@pytest.mark.parametrize(
    ("answer", "asked", "expected"),
    [
        ("", ["8"], []),
        ("8\n", ["8", "9"], ["8"]),
        ("18\n80\n", ["8"], []),
        ("8_1\n8_3\n", ["8_0", "8_1", "8_3", "8"], ["8_1", "8_3"]),
        ("8\n8\n", ["8"], ["8"]),
    ],
)
def test_the_jobs_that_are_queued_or_running_are_told_apart(
    answer: str, asked: List[str], expected: List[str], fake: FakeSlurm
) -> None:
    fake.answer("squeue", (0, answer))
    assert living(asked) == expected
    assert fake.calls() == ["squeue --me --noheader --array --format=%i"]


def test_about_no_jobs_nothing_is_asked(fake: FakeSlurm) -> None:
    assert living([]) == []
    assert fake.calls() == []


def test_words_of_slurm_become_one_line() -> None:
    said = "sbatch: error: a b\n\n  sbatch: fatal: c\nplain\n"
    assert first_line(said) == "a b; fatal: c; plain"
    assert fields_of("A=1 B=two=three C= D") == {"A": "1", "B": "two=three", "C": ""}
