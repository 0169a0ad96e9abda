"""A run that is on its way already, and jobs that come after others, on SLURM."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import pytest
from fake_trainers import experiment
from login_node import ID, LoginNode, content
from recorded_slurm import V22_05, V24_05

from mapush.errors import MapushError, OwnershipError, RequestError
from mapush.launch.jobs import JobFolder, known_jobs
from mapush.launch.node.folder import SLURM_ID, Outcome
from mapush.submit import main as submit

SEND = ["--exp", "cuboid", "--cluster", "slurm"]
UNKNOWN = "slurm_load_jobs error: Invalid job id specified"
SILENT = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
DONE = Outcome(0, "the trainer is done", "")
FAILED = Outcome(1, "it failed", "")


@pytest.fixture(name="login")
def login_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoginNode:
    experiment(tmp_path / "here", "exit 0")
    monkeypatch.chdir(tmp_path / "here")
    return LoginNode(tmp_path / "slurm", monkeypatch)


def send(login: LoginNode, *options: str, number: str = ID) -> List[JobFolder]:
    """Send jobs that SLURM knows by this number from then on."""
    login.answers(f"Submitted batch job {number}", queued=number)
    before = [place.job_id for place in known_jobs(Path())]
    assert submit([*SEND, *options]) == 0
    return [place for place in known_jobs(Path()) if place.job_id not in before]


def refusal(kind: type, *options: str) -> str:
    """The one line of a refusal, after which nothing is changed and nothing was sent."""
    before = content(Path("log"))
    with pytest.raises(MapushError) as caught:
        submit([*SEND, *options])
    assert type(caught.value) is kind
    message = str(caught.value)
    assert "\n" not in message
    assert content(Path("log")) == before
    return message


def shows(login: LoginNode, text: str, code: int = 0) -> None:
    """From now on scontrol says this of every job."""
    (login.place / "shown").write_text(f"{text}\n", encoding="utf-8")
    program = f"#!/bin/sh\ncat '{login.place}/shown' >&{2 if code else 1}; exit {code}\n"
    (login.place / "bin" / "scontrol").write_text(program, encoding="utf-8")


def test_a_twin_that_is_queued_or_running_is_refused_unless_asked_for(login: LoginNode) -> None:
    send(login, "--seed", "7")
    login.runs("4", ID, "99_1")
    message = refusal(OwnershipError, "--seed", "7")
    assert f"the same run is queued or running as SLURM job {ID}" in message
    assert "--again" in message
    assert len(login.calls("sbatch")) == 1
    # Another run of the same experiment, and the same once more.
    send(login, "--seed", "8", number="6")
    send(login, "--seed", "7", "--again", number="7")
    assert [place.slurm_id() for place in known_jobs(Path())] == [ID, "6", "7"]
    login.runs("7")
    assert "as SLURM job 7" in refusal(OwnershipError, "--seed", "7")


def test_what_is_asked_of_slurm_makes_no_other_run(login: LoginNode) -> None:
    send(login, "--seed", "7", "--partition", "low")
    login.runs(ID)
    options = ["--partition", "high", "--time", "60", "--gpus", "1", "--after", ID]
    shows(login, V22_05.replace("JobId=635", f"JobId={ID}"))
    refusal(OwnershipError, "--seed", "7", *options)


def test_another_root_is_another_run(login: LoginNode, tmp_path: Path) -> None:
    send(login)
    login.runs(ID)
    assert submit([*SEND, "--root", str(tmp_path / "there")]) == 0
    assert "SLURM job" in refusal(OwnershipError, "--root", str(Path().absolute()))


def test_a_twin_among_several_is_refused_too(login: LoginNode) -> None:
    send(login, "--seeds", "1", "2")
    login.runs(f"{ID}_1")
    assert f"as SLURM job {ID}_1" in refusal(OwnershipError, "--seed", "2")
    assert f"as SLURM job {ID}_1" in refusal(OwnershipError, "--seeds", "2", "3")
    send(login, "--seed", "1", number="6")  # that member has ended
    login.runs("6")
    assert "as SLURM job 6" in refusal(OwnershipError, "--seeds", "0", "1")


def test_a_twin_that_has_ended_is_no_hindrance(login: LoginNode) -> None:
    send(login)
    login.runs("4")
    send(login, number="6")  # squeue does not name the first any more
    # The second has said how it ended, and squeue shows it until its node is tidied up.
    login.runs("6")
    for place in known_jobs(Path()):
        place.write_outcome(FAILED)
    send(login, number="7")
    assert len(known_jobs(Path())) == 3


def test_while_slurm_does_not_answer_no_second_run_is_sent(login: LoginNode) -> None:
    send(login, "--seed", "7")
    login.is_silent()
    message = refusal(MapushError, "--seed", "7")
    assert "Unable to contact slurm controller" in message
    assert "a job might be sent twice" in message
    assert len(login.calls("sbatch")) == 1


def test_a_job_whose_folder_is_damaged_hinders_no_other(login: LoginNode) -> None:
    (place,) = send(login)
    login.runs(ID)
    (place.place / "job.json").write_text("{", encoding="utf-8")
    send(login, number="6")


ALIVE = V22_05.replace("JobId=635", "JobId=7")
# What SLURM says of job 7, its outcome where it is one of this root, and what then is handed to
# sbatch or the reason of the refusal.
PREDECESSORS: Dict[str, Tuple[str, int, Optional[Outcome], str]] = {
    "queued": (ALIVE.replace("COMPLETING", "PENDING"), 0, None, "afterok:7"),
    "running": (ALIVE.replace("COMPLETING", "RUNNING"), 0, None, "afterok:7"),
    "completing": (ALIVE, 0, None, "afterok:7"),
    "complete": (ALIVE.replace("COMPLETING", "COMPLETED"), 0, None, "afterok:7"),
    "failed": (ALIVE.replace("COMPLETING", "FAILED"), 0, None, "without completing (FAILED)"),
    "timed out": (ALIVE.replace("COMPLETING", "TIMEOUT"), 0, None, "completing (TIMEOUT)"),
    "never heard of": (UNKNOWN, 1, None, "there is no such job"),
    "forgotten, complete": (UNKNOWN, 1, DONE, ""),
    "forgotten, failed": (UNKNOWN, 1, FAILED, "without completing (it failed)"),
    "failed, by its own words": (
        ALIVE.replace("COMPLETING", "FAILED"),
        0,
        FAILED,
        "without completing (it failed)",
    ),
}


@pytest.mark.parametrize(
    ("answer", "code", "outcome", "expected"), PREDECESSORS.values(), ids=PREDECESSORS
)
def test_a_job_comes_only_after_one_that_can_still_complete(
    answer: str, code: int, outcome: Optional[Outcome], expected: str, login: LoginNode
) -> None:
    names = ["7"]
    if outcome is not None:
        (place,) = send(login, "--seed", "5", number="7")
        place.write_outcome(outcome)
        names.append(place.job_id)
    shows(login, answer, code)
    for number, name in enumerate(names, 10):
        if expected.startswith("afterok") or not expected:
            send(login, "--seed", str(number), "--after", name, number=str(number))
            lines = login.script().splitlines()
            assert (f"#SBATCH --dependency={expected}" in lines) == bool(expected)
            assert ("#SBATCH --kill-on-invalid-dep=yes" in lines) == bool(expected)
        else:
            message = refusal(RequestError, "--after", name)
            assert message.startswith(f"--after {name}: ")
            assert expected in message


def test_what_is_no_job_to_come_after_is_refused(login: LoginNode) -> None:
    for text in ("moon", "7;scancel", "../x", "", "-1", "7 8", "_1", "1e3", "٧"):
        message = refusal(RequestError, f"--after={text}")
        assert message.startswith(f"--after {text}: there is no such job")
    assert login.calls("sbatch") == []


def test_several_jobs_to_come_after_are_all_waited_for(login: LoginNode) -> None:
    shows(login, V24_05 + V22_05)
    send(login, "--after", "635", "70_2", "70")
    assert "#SBATCH --dependency=afterok:635:70_2:70\n" in login.script()
    assert known_jobs(Path())[0].asked().after == ("635", "70_2", "70")


def test_a_job_of_its_root_is_named_to_slurm_by_slurms_id(login: LoginNode) -> None:
    first, second = send(login, "--seeds", "1", "2", number="70")
    shows(login, V24_05.replace("ArrayTaskId=3-5%2", "ArrayTaskId=0"))
    send(login, "--seed", "3", "--after", first.job_id, number="80")
    assert "#SBATCH --dependency=afterok:70_0\n" in login.script()
    second.write_outcome(DONE)
    shows(login, "Job 70_1 not found", 1)
    send(login, "--seed", "4", "--after", second.job_id, number="81")
    assert "--dependency" not in login.script()


def test_while_slurm_does_not_answer_no_job_comes_after_another(login: LoginNode) -> None:
    shows(login, SILENT, 1)
    with pytest.raises(MapushError, match="Unable to contact slurm controller"):
        submit([*SEND, "--after", "7"])
    assert login.calls("sbatch") == []
    assert os.listdir() == ["task"]


def test_a_number_of_slurms_that_is_none_is_not_believed(login: LoginNode) -> None:
    (place,) = send(login)
    before = len(login.calls())
    for text in ("", "12; rm", "12_", "_1", "x", "1 2", "12_3_4", "-1", "٧"):
        (place.place / "slurm").write_text(text, encoding="utf-8")
        assert place.slurm_id() == ""
        # And nothing like it is handed to SLURM.
        assert "there is none in" in refusal(RequestError, f"--job-id={text or 'x'}")
    assert login.calls()[before:] == []
    place.write(SLURM_ID, "12_3")
    assert place.slurm_id() == "12_3"
