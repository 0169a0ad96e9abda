"""The way to SLURM from the command itself, with sbatch made up: what is sent, and refusals."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List, Tuple

import pytest
from fake_slurm import ID, SILENT, UNKNOWN, FakeSlurm, shown
from fake_trainers import REPOSITORY, experiment

from mapush import submit
from mapush.errors import MapushError
from mapush.job import attempts
from mapush.job.folder import JobFolder, known_jobs
from mapush.job.request import Outcome

SEND = ["--exp", "cuboid", "--cluster", "slurm"]


@pytest.fixture(name="fake")
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """A made-up SLURM in PATH; the working directory has the cuboid's task."""
    fake = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{fake.bin}{os.pathsep}{os.environ['PATH']}")
    experiment(tmp_path / "here", "exit 0")
    monkeypatch.chdir(tmp_path / "here")
    return fake


def left(root: Path = Path()) -> List[str]:
    """What lies in the folder of submissions, the copies of code apart."""
    folder = root / "log" / "submit"
    return sorted(name for name in os.listdir(folder) if name != "code") if folder.is_dir() else []


def refusal(*options: str) -> str:
    with pytest.raises(MapushError) as caught:
        submit.main([*SEND, *options])
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


def failed(*lines: str) -> Tuple[int, str]:
    return 1, "\n".join(f"sbatch: error: {line}" for line in lines)


NOT_THERE = "Requested node configuration is not available"
FAILED = "Batch job submission failed: "
# sbatch's words as a real one said them, with what must be seen of them.
REFUSALS = {
    "partition": (
        failed("invalid partition specified: moon", f"{FAILED}Invalid partition name specified"),
        "invalid partition specified: moon; Batch job submission failed: Invalid partition name",
    ),
    "more GPUs than a node has": (failed(FAILED + NOT_THERE), FAILED + NOT_THERE),
    "gres": (failed("Invalid generic resource (gres) specification"), "(gres) specification"),
    "constraint": (failed(f"{FAILED}Invalid feature specification"), "Invalid feature"),
    "nodelist": (failed(f"{FAILED}Invalid node name specified"), "Invalid node name specified"),
    "memory": (
        failed("Memory specification can not be satisfied", FAILED + NOT_THERE),
        f"Memory specification can not be satisfied; {FAILED}{NOT_THERE}",
    ),
    "cpus": (
        failed("CPU count per node can not be satisfied", FAILED + NOT_THERE),
        "CPU count per node can not be satisfied",
    ),
    "reservation": (failed(f"{FAILED}Requested reservation is invalid"), "reservation is invalid"),
    "time": ((255, "sbatch: error: Invalid --time specification"), "Invalid --time specification"),
    "signal": ((255, "sbatch: error: Invalid --signal specification"), "--signal specification"),
    "dependency": (failed(f"{FAILED}Job dependency problem"), "Job dependency problem"),
    "no controller": (
        failed(f"{FAILED}Unable to contact slurm controller (connect failure)"),
        "Unable to contact slurm controller",
    ),
    "no configuration": (
        (1, "sbatch: fatal: Could not establish a configuration source"),
        "Could not establish a configuration source",
    ),
    "without a word": ((1, ""), "sbatch refuses the job"),
    "success that is none": ((0, "queued, I think"), "queued, I think"),
    "a killed sbatch": ((137, "Killed"), "Killed"),
}


@pytest.mark.parametrize(("answer", "words"), REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("options", [[], ["--seeds", "1", "2"]], ids=["one", "array"])
def test_what_sbatch_refuses_is_one_line_with_its_words_and_leaves_nothing(
    options: List[str], answer: Tuple[int, str], words: str, fake: FakeSlurm
) -> None:
    fake.answer("sbatch", answer)
    message = refusal(*options)
    assert message.startswith("sbatch refuses the job: ")
    assert words in message
    assert "Traceback" not in message
    assert "sbatch: error" not in message
    assert left() == []


def test_a_refusal_on_the_command_line_is_one_line_and_no_traceback(fake: FakeSlurm) -> None:
    fake.answer("sbatch", REFUSALS["partition"][0])
    done = subprocess.run(
        [sys.executable, "-m", "mapush.submit", *SEND, "--partition", "moon"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("mapush: sbatch refuses the job: invalid partition specified")
    assert done.stderr.count("\n") == 1
    assert left() == []


def test_a_job_is_sent_off_and_the_user_told_all(
    fake: FakeSlurm, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit.main([*SEND, "--seed", "7", "--partition", "low"]) == 0
    (place,) = known_jobs(Path())
    assert place.slurm_id() == ID
    request = place.request()
    assert request.cluster == "slurm"
    assert request.arguments == ("--root", str(Path().absolute()), "--seed", "7")
    assert not Path(request.code).is_symlink()
    assert fake.calls("sbatch")
    script = (fake.place / "script").read_text(encoding="utf-8")
    assert "#SBATCH --partition=low\n" in script
    root = Path().absolute()
    assert capsys.readouterr().out.splitlines() == [
        f"job       {ID}",
        f"results   {place.run_link} -> {root}/results/<MM-DD-HH>_cuboid, when training starts",
        f"log       {place.output}",
        f"follow    tail -F {place.output}",
        f"cancel    scancel {ID}",
    ]


def test_several_runs_are_one_array_with_a_folder_for_each(
    fake: FakeSlurm, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit.main([*SEND, "--seeds", "1", "2", "3", "--max-running", "2"]) == 0
    places = known_jobs(Path())
    assert [place.slurm_id() for place in places] == [f"{ID}_0", f"{ID}_1", f"{ID}_2"]
    assert [place.request().arguments[2:] for place in places] == [
        ("--seed", seed) for seed in "123"
    ]
    assert len(fake.calls("sbatch")) == 1
    script = (fake.place / "script").read_text(encoding="utf-8")
    assert "#SBATCH --array=0-2%2\n" in script
    shown_lines = capsys.readouterr().out.splitlines()
    assert f"cancel    scancel {ID}" in shown_lines
    assert [line for line in shown_lines if line.startswith("run ")] == [
        f"run       cuboid --seed {seed}" for seed in "123"
    ]


def test_the_rehearsal_prints_what_sbatch_gets_and_neither_sends_nor_writes(
    fake: FakeSlurm, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit.main([*SEND, "--dry-run"]) == 0
    rehearsed = capsys.readouterr().out
    assert fake.calls() == []
    assert os.listdir() == ["task"]
    submit.main(SEND)
    sent = (fake.place / "script").read_text(encoding="utf-8")
    (place,) = known_jobs(Path())
    name = rehearsed.split("mapush_begin ")[1].splitlines()[0].rpartition("/")[2]
    assert rehearsed.replace(name, place.job_id).strip() == sent.strip()


def test_auto_is_slurm_where_sbatch_is(fake: FakeSlurm) -> None:
    assert submit.main(["--exp", "cuboid"]) == 0
    assert fake.calls("sbatch")


def test_without_sbatch_slurm_is_refused_and_auto_is_this_machine(
    fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (fake.place / "only").mkdir()
    (fake.place / "only" / "bash").symlink_to(shutil.which("bash") or "/bin/bash")
    monkeypatch.setenv("PATH", str(fake.place / "only"))
    assert "there is no sbatch here; submit on a login node" in refusal()
    assert submit.main(["--exp", "cuboid", "--dry-run"]) == 0
    assert "job/enter.sh bash" in capsys.readouterr().out
    assert left() == []


def test_without_srun_the_job_is_refused_in_one_line(
    fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fake.bin / "srun").unlink()
    monkeypatch.setenv("PATH", f"{fake.bin}{os.pathsep}/usr/bin/nowhere")
    (fake.bin / "bash").symlink_to("/bin/bash")
    assert "srun" in refusal()
    assert left() == []


PREDECESSORS = {
    "queued": (shown("PENDING"), None, "afterok:7"),
    "running": (shown("RUNNING"), None, "afterok:7"),
    "complete": (shown("COMPLETED"), None, "afterok:7"),
    "failed": (shown("FAILED"), None, "--after 7: that job has ended without completing (FAILED)"),
    "cancelled": (shown("CANCELLED"), None, "without completing (CANCELLED)"),
    "timed out": (shown("TIMEOUT"), None, "without completing (TIMEOUT)"),
    "never heard of": (UNKNOWN, None, "--after 7: there is no such job"),
    "forgotten, complete": (UNKNOWN, Outcome(0, "done", ""), ""),
    "forgotten, failed": (UNKNOWN, Outcome(1, "it failed", ""), "without completing (it failed)"),
}


@pytest.mark.parametrize(("answer", "outcome", "expected"), PREDECESSORS.values(), ids=PREDECESSORS)
def test_a_job_comes_only_after_one_that_can_still_complete(
    answer: Tuple[int, str], outcome: Outcome, expected: str, fake: FakeSlurm
) -> None:
    if outcome is not None:
        fake.answer("sbatch", (0, "Submitted batch job 7"))
        submit.main([*SEND, "--seed", "5"])
        known_jobs(Path())[0].write_outcome(outcome)
    before = left()
    fake.answer("show", answer)
    fake.answer("sbatch", (0, f"Submitted batch job {ID}"))
    if expected.startswith("afterok") or not expected:
        assert submit.main([*SEND, "--after", "7"]) == 0
        script = (fake.place / "script").read_text(encoding="utf-8")
        assert (f"--dependency={expected}\n" in script) == bool(expected)
        assert ("--kill-on-invalid-dep=yes" in script) == bool(expected)
    else:
        assert expected in refusal("--after", "7")
        assert left() == before


@pytest.mark.parametrize("text", ["moon", "7;scancel", "../x", "", "-1"])
def test_what_is_no_job_to_come_after_is_refused(text: str, fake: FakeSlurm) -> None:
    fake.answer("show", UNKNOWN)
    assert refusal(f"--after={text}").startswith(f"--after {text}: there is no such job")
    assert left() == []


def test_several_jobs_to_come_after_are_all_waited_for(fake: FakeSlurm) -> None:
    assert submit.main([*SEND, "--after", "7", "8_1"]) == 0
    assert "=afterok:7:8_1\n" in (fake.place / "script").read_text(encoding="utf-8")


def test_a_twin_that_is_queued_or_running_is_refused_unless_asked_for(fake: FakeSlurm) -> None:
    submit.main([*SEND, "--seed", "7"])
    fake.answer("squeue", (0, f"5\n{ID}\n99_1"))
    message = refusal("--seed", "7")
    assert f"the same run is queued or running as SLURM job {ID}" in message
    assert "--again" in message
    assert len(left()) == 1
    assert submit.main([*SEND, "--seed", "8"]) == 0  # another run
    assert submit.main([*SEND, "--seed", "7", "--again"]) == 0
    assert len(left()) == 3


def test_a_twin_among_several_is_refused_too(fake: FakeSlurm) -> None:
    submit.main([*SEND, "--seeds", "1", "2"])
    fake.answer("squeue", (0, f"{ID}_1"))
    assert f"as SLURM job {ID}_1" in refusal("--seed", "2")
    assert submit.main([*SEND, "--seed", "1"]) == 0  # that member has ended
    before = left()
    assert f"as SLURM job {ID}_1" in refusal("--seeds", "2", "3")
    assert left() == before


def test_a_twin_that_has_ended_is_no_hindrance(fake: FakeSlurm) -> None:
    submit.main(SEND)
    assert submit.main(SEND) == 0  # squeue does not name it any more
    fake.answer("squeue", (0, ID))
    for place in known_jobs(Path()):
        place.write_outcome(Outcome(1, "it gave up", ""))
    assert submit.main(SEND) == 0


def test_while_slurm_does_not_answer_no_second_run_is_sent(fake: FakeSlurm) -> None:
    submit.main(SEND)
    fake.answer("squeue", SILENT)
    with pytest.raises(MapushError, match="a job might be sent twice") as caught:
        submit.main(SEND)
    assert "Unable to contact slurm controller" in str(caught.value)
    assert len(left()) == 1


@pytest.mark.parametrize("by", ["its name", "SLURM's id"])
def test_an_earlier_job_goes_on_with_its_own_run_and_options(by: str, fake: FakeSlurm) -> None:
    submit.main([*SEND, "--seed", "7"])
    (place,) = known_jobs(Path())
    named = place.job_id if by == "its name" else ID
    place.write_outcome(Outcome(75, "stopped as asked", ""))
    fake.answer("squeue", (0, ID))
    assert "is queued or running" in refusal("--job-id", named)
    fake.answer("squeue", (0, ""))
    fake.answer("sbatch", (0, "Submitted batch job 12"))
    assert submit.main(["--job-id", named, "--cluster", "slurm", "--num_envs", "10"]) == 0
    assert known_jobs(Path()) == [place]
    assert place.slurm_id() == "12"
    assert place.request().arguments[2:] == ("--seed", "7", "--num_envs", "10")
    assert place.outcome() is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--job-id", "4711"], "job '4711': there is none in"),
        (["--job-id", "../x"], "job '../x': there is none in"),
        (["--job-id", "code"], "request.json: cannot be read"),
        (["--job-id", ID, "--seeds", "1", "2"], "is one run, of --exp cuboid"),
    ],
)
def test_an_earlier_job_that_there_is_not_is_refused(
    options: List[str], words: str, fake: FakeSlurm
) -> None:
    submit.main(SEND)
    before = left()
    assert words in refusal(*options)
    assert left() == before


def test_a_refused_resubmission_leaves_the_earlier_job_as_it_was(fake: FakeSlurm) -> None:
    submit.main(SEND)
    (place,) = known_jobs(Path())
    attempts.append_start(place.attempts, "n1", 0)
    place.write_outcome(Outcome(1, "it gave up", "for a reason"))
    fake.answer("sbatch", REFUSALS["partition"][0])
    refusal("--job-id", ID, "--partition", "moon")
    assert place.slurm_id() == ID
    assert place.outcome() == Outcome(1, "it gave up", "for a reason")
    fake.answer("sbatch", (0, "Submitted batch job 12"))
    assert submit.main([*SEND, "--job-id", ID]) == 0


def test_an_argument_with_a_line_break_is_refused_in_one_line(fake: FakeSlurm) -> None:
    assert "'--two\\nlines'" in refusal("--two\nlines")
    assert "'two\\nlines'" in refusal("--num_envs", "two\nlines")


def test_arguments_with_spaces_quotes_and_line_breaks_reach_the_trainer(
    fake: FakeSlurm, tmp_path: Path
) -> None:
    checkpoint = tmp_path / 'it\'s "my" $HOME\nand é' / "module.pt"
    checkpoint.parent.mkdir()
    checkpoint.touch()
    experiment(Path(), f'printf "%s\\0" "$@" > "{tmp_path}/told"')
    submit.main([*SEND, "--checkpoint", str(checkpoint), "--seed", "7"])
    played = play(fake)
    told = (tmp_path / "told").read_text(encoding="utf-8").split("\0")[:-1]
    root = str(Path().absolute())
    assert told == ["--root", root, "--checkpoint", str(checkpoint), "--seed", "7"]
    assert played.returncode == 1  # the trainer's 0 is no end of a run that is not there


def play(fake: FakeSlurm, restarts: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the script that sbatch got, on this machine."""
    environment = fake.environment(restarts=restarts)
    done = fake.run(["bash", str(fake.place / "script")], environment)
    (place,) = known_jobs(Path())
    with place.output.open("a", encoding="utf-8") as log:
        log.write(done.stdout + done.stderr)  # where SLURM would have put it
    return done


# Ends with 75 the first time, as a preempted trainer does, and completes its run the second time.
TRAINER = """
exec "$PYTHON" - "$@" <<'END'
import os, pathlib, sys
from datetime import datetime
from mapush.results.directory import find_by_job, finish, reserve
from mapush.results.identity import Owner
root, job = pathlib.Path(os.environ["MAPUSH_ROOT"]), os.environ["MAPUSH_JOB_ID"]
print("restart", os.environ["MAPUSH_RESTART_COUNT"], os.getcwd() == os.environ["MAPUSH_CODE"])
run = find_by_job(root, job)
if run is None:
    run = reserve(root, "cuboid", "go1push_mid", datetime.now(), Owner.current(job_id=job))
    (run.checkpoints / "rl_model_20000_steps").mkdir(parents=True)
    sys.exit(75)
finish(run)
END
"""


def test_a_job_that_was_sent_off_is_requeued_and_completes(fake: FakeSlurm) -> None:
    experiment(Path(), TRAINER)
    submit.main(SEND)
    # What the tree is then changed to is nothing to the job.
    experiment(Path(), "exit 2")
    assert play(fake).returncode == 75
    assert fake.calls("scontrol requeue") == [f"scontrol requeue {ID}"]
    (place,) = known_jobs(Path())
    assert place.outcome() is None
    fake.restarted()
    fake.answer("show", shown(restarts=1))
    ended = play(fake, restarts=1)
    assert ended.returncode == 0, ended.stderr
    assert fake.calls("scontrol requeue") == []
    outcome = place.outcome()
    assert outcome is not None
    assert (outcome.exit_code, outcome.reason) == (0, "the trainer is done")
    said = place.output.read_text(encoding="utf-8").splitlines()
    assert [line for line in said if line.startswith("restart")] == [
        "restart 0 True",
        "restart 1 True",
    ]
    assert len(list(Path("results").glob("*_cuboid"))) == 1


def test_the_step_gives_its_own_exit_code_through_submitit(fake: FakeSlurm) -> None:
    for number, code in enumerate([2, 75], 1):
        experiment(Path(), f"exit {code}")
        submit.main([*SEND, "--seed", str(number)])
        place = known_jobs(Path())[-1]
        environment = fake.environment()
        step = (fake.place / "script").read_text(encoding="utf-8")
        step = step.replace('mapush_end "$?"', 'echo "srun $?"')
        done = fake.run(["bash", "-c", step], environment)
        assert f"srun {code}\n" in done.stdout, done.stderr
        place.remove()


def test_slurm_ids_that_are_none_are_not_believed(tmp_path: Path) -> None:
    place = JobFolder.of(tmp_path, "job")
    place.path.mkdir(parents=True)
    for text in ("", "12; rm", "12_", "_1", "12 ", "x"):
        (place.path / "slurm").write_text(text, encoding="utf-8")
        assert place.slurm_id() == ""
    place.write_slurm_id("12_3")
    assert place.slurm_id() == "12_3"
