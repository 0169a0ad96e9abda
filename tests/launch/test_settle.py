"""What the end of a trainer means on a cluster: ledger and run in, verdict and outcome out."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest
from fake_trainers import REPOSITORY
from made_jobs import end_of, fill, make_job, make_run, said, tiny_disk

from mapush.errors import RequestError
from mapush.job import attempts
from mapush.job.folder import JobFolder
from mapush.job.requeue import Attempt, Policy
from mapush.job.settle import main, settle

LIMITS = Policy(failures=3, idle=2, failure_wait=10)


@dataclasses.dataclass
class Case:
    """A history, the last end, and what must come of it."""

    before: List[Tuple[int, int]]
    """Exit code and newest step of the ends so far."""
    code: int
    step: int
    word: str
    exit_code: int
    wait: int = 0
    complete: bool = False
    cancelled: bool = False
    no_requeue: bool = False
    reason: str = ""


CASES = {
    "done": Case([], 0, 400, "done", 0, complete=True, reason="is done"),
    "done after failures": Case([(1, 0), (1, 0)], 0, 400, "done", 0, complete=True),
    "0 of srun, run not complete": Case([], 0, 400, "requeue", 1),
    "0 of srun, no run": Case([], 0, 0, "requeue", 1),
    "0 of srun again and again": Case([(1, 400)], 0, 400, "requeue", 1),
    "stopped": Case([], 75, 400, "requeue", 75),
    "stopped often": Case([(75, step) for step in range(1, 60)], 75, 60, "requeue", 75),
    "killed": Case([], 137, 400, "requeue", 137, reason="SIGKILL"),
    "refused": Case([], 2, 0, "stop", 2, reason="refused"),
    "not started": Case([], 127, 0, "stop", 127, reason="could not be started"),
    "cancelled": Case([], 75, 400, "stop", 75, cancelled=True, reason="the checkpoint of step 400"),
    "cancelled, killed": Case([], 137, 0, "stop", 137, cancelled=True, reason="stopped as asked"),
    "cancelled, done": Case([], 0, 400, "done", 0, complete=True, cancelled=True),
    "cancelled, srun's 0": Case([], 0, 400, "stop", 1, cancelled=True),
    "requeue off": Case([], 75, 400, "stop", 75, no_requeue=True, reason="requeue is off"),
    "requeue off, done": Case([], 0, 400, "done", 0, complete=True, no_requeue=True),
    "requeue off, refused": Case([], 2, 0, "stop", 2, no_requeue=True, reason="refused"),
    "budget": Case(
        [(1, 1), (1, 2), (137, 3)], 1, 4, "stop", 1, reason="all 3 restarts after failures"
    ),
    "budget not used up by stops": Case([(1, 1), (75, 2), (75, 3), (1, 4)], 75, 5, "requeue", 75),
    "no progress": Case(
        [(1, 0)], 1, 0, "stop", 1, reason="2 attempts one after another brought no"
    ),
    "waiting": Case([(1, 5)], 1, 5, "requeue", 1),
    "progress between": Case([(1, 0), (75, 7)], 1, 7, "requeue", 1),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_end_of_a_trainer_is_judged_and_written_down(case: Case, tmp_path: Path) -> None:
    place = make_job(tmp_path)
    if case.step or case.complete:
        make_run(tmp_path, [case.step], case.complete)
    for code, step in case.before:
        attempts.append_start(place.attempts, "n1", 0)
        attempts.append_end(place.attempts, Attempt(code, step))
    attempts.append_start(place.attempts, "n1", 0)
    place.output.write_text("mapush: what it said last\n", encoding="utf-8")
    verdict = settle(place, tmp_path, case.code, LIMITS, case.cancelled, case.no_requeue)
    assert verdict.exit_code == case.exit_code
    assert verdict.wait == case.wait
    assert case.reason in verdict.reason
    outcome = place.outcome()
    assert (outcome is None) == (case.word == "requeue")
    if outcome is not None:
        assert (outcome.exit_code, outcome.reason) == (case.exit_code, verdict.reason)
        assert outcome.message == ("" if case.word == "done" else "what it said last")
    # Its own end is in the ledger, as the one that counts next time.
    last = attempts.read(place.attempts).ended[-1]
    told = 1 if case.code == 0 and not case.complete else case.code
    assert (last.exit_code, last.step) == (told, case.step)
    assert f"start {len(case.before) + 1}: {verdict.reason}: " in said(place)


@pytest.mark.parametrize(
    ("code", "options", "words"),
    [
        (75, [], "requeue 75 0"),
        (2, [], "stop 2 0"),
        (75, ["--cancelled"], "stop 75 0"),
        (75, ["--no-requeue"], "stop 75 0"),
        (1, ["--max-failures", "0"], "stop 1 0"),
        (1, ["--max-idle", "1"], "stop 1 0"),
    ],
)
def test_the_command_prints_one_line_for_the_batch_shell(
    code: int, options: List[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = make_job(tmp_path)
    given = ["--folder", str(place.path), "--root", str(tmp_path), "--code", str(code), *options]
    assert main(given) == 0
    assert capsys.readouterr().out == f"{words}\n"


def test_a_later_start_is_waited_for_after_failures(tmp_path: Path) -> None:
    place = make_job(tmp_path)
    make_run(tmp_path, [5])
    waits = [settle(place, tmp_path, 1, Policy(20, 20, 10)).wait for _ in range(5)]
    assert waits == [0, 0, 10, 50, 250]


def test_only_what_the_last_start_said_is_quoted(tmp_path: Path) -> None:
    place = make_job(tmp_path)
    place.output.write_text("mapush: of the start before\n", encoding="utf-8")
    attempts.append_start(place.attempts, "n1", place.output.stat().st_size)
    with place.output.open("a", encoding="utf-8") as log:
        log.write("slurmstepd: error: *** JOB 8 CANCELLED ***\n")
    settle(place, tmp_path, 75, LIMITS, cancelled=True)
    assert end_of(place).message == "slurmstepd: error: *** JOB 8 CANCELLED ***"


def test_a_job_without_a_log_is_judged_too(tmp_path: Path) -> None:
    place = make_job(tmp_path)
    settle(place, tmp_path, 2, LIMITS)
    assert (end_of(place).exit_code, end_of(place).message) == (2, "")


def test_the_run_of_another_job_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    place = make_job(tmp_path)
    make_run(tmp_path, [400], complete=True, job_id="another")
    assert settle(place, tmp_path, 0, LIMITS).exit_code == 1
    assert attempts.read(place.attempts).ended == [Attempt(1, 0)]


def test_a_full_disk_does_not_change_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tiny_disk(tmp_path / "small", "size=1m,nr_inodes=200") as root:
        place = make_job(root)
        place.attempts.write_bytes(place.attempts.read_bytes().ljust(4096, b"\n"))
        fill(root)
        verdict = settle(place, root, 75, LIMITS)
        assert (verdict.action.value, verdict.exit_code) == ("restart", 75)
        assert "the disk is full" in capsys.readouterr().err


def test_a_root_that_cannot_be_read_gives_no_verdict_but_one_line(tmp_path: Path) -> None:
    place = make_job(tmp_path)
    (tmp_path / "results").write_text("in the way", encoding="utf-8")
    done = judge_in_a_process(place, tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("mapush: ")
    assert done.stderr.count("\n") == 1


def test_a_code_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="--code"):
        main(["--folder", str(tmp_path), "--root", str(tmp_path), "--code", "many"])


def test_the_judge_starts_without_torch_and_pydantic_models_of_others(tmp_path: Path) -> None:
    place = make_job(tmp_path)
    program = (
        "import sys; from mapush.job.settle import main; main(sys.argv[1:])\n"
        "print(sorted({'torch', 'numpy', 'mujoco', 'submitit', 'rich'} & set(sys.modules)))"
    )
    done = judge_in_a_process(place, tmp_path, ["-c", program])
    assert done.stdout == "requeue 75 0\n[]\n"


def judge_in_a_process(
    place: JobFolder, root: Path, program: Optional[List[str]] = None
) -> subprocess.CompletedProcess[str]:
    options: Dict[str, Any] = {"cwd": REPOSITORY, "capture_output": True, "text": True}
    start = program or ["-m", "mapush.job.settle"]
    given = ["--folder", str(place.path), "--root", str(root), "--code", "75"]
    return subprocess.run([sys.executable, *start, *given], check=False, **options)
