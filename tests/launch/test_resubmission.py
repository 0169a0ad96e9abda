"""`mapush.submit --job-id`: a job as it was, options that win, and refusals that leave no trace."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, List

import pytest
from fake_trainers import experiment
from login_node import ID, LoginNode, content
from made_jobs import make_run, until

from mapush.errors import MapushError
from mapush.launch import sbatch, send
from mapush.launch.jobs import JobFolder, MaybeQueued, known_jobs
from mapush.launch.node.folder import Outcome
from mapush.submit import main as submit

pytestmark = pytest.mark.slow  # processes by the dozen

ASKED = {
    "--partition": "low",
    "--account": "lab 42",
    "--time": "12:00:00",
    "--cpus": "3",
    "--memory-per-cpu": "400M",
    "--gpu-request": "gpus-per-node",
    "--gpu-type": "a100",
    "--container": "docker://my/image",
    "--runtime": "podman",
    "--python": "/opt/py 3/bin/python",
    "--max-failures": "3",
    "--signal-lead": "120",
}
LISTS = [
    *("--setup", "export A='1 2'", "ulimit -n 4096"),
    *("--modules", "cuda/12.1"),
    *("--binds", "/scratch", "/data:/data:ro"),
]
TRAINER = ["--seed", "7", "--num_envs=40"]
OVER = Outcome(75, "cancelled, with the checkpoint of step 400", "", cancelled=True)


@pytest.fixture(name="login")
def login_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoginNode:
    experiment(tmp_path / "here", "exit 0")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(sbatch, "_PAUSE", 0.01)
    return LoginNode(tmp_path / "slurm", monkeypatch)


def sent(*options: str) -> JobFolder:
    """A job that was sent to SLURM and has ended."""
    assert submit(["--exp", "cuboid", "--cluster", "slurm", *options]) == 0
    place = known_jobs(Path())[-1]
    place.note("start", node="n1")
    place.note("end", code=75, step=400)
    place.output.write_text("all that was said\n", encoding="utf-8")
    place.write_outcome(OVER)
    return place


def everything() -> List[str]:
    return [*(word for pair in ASKED.items() for word in pair), *LISTS, "--gpus", "1", *TRAINER]


def directives(login: LoginNode) -> List[str]:
    return [line for line in login.script().splitlines() if line.startswith("#SBATCH")]


def refusal(*options: str) -> str:
    with pytest.raises(MapushError) as caught:
        submit(list(options))
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("by", ["its name", "SLURM's id"])
def test_a_job_asks_again_for_everything_that_it_asked_for(by: str, login: LoginNode) -> None:
    place = sent(*everything())
    first, asked = place.asked(), directives(login)
    login.answers("Submitted batch job 6", queued="6")
    assert submit(["--job-id", place.job_id if by == "its name" else ID]) == 0
    assert len(known_jobs(Path())) == 1
    assert directives(login) == asked
    second = place.asked()
    assert second.profile == first.profile
    assert (second.python, second.gpus) == ("/opt/py 3/bin/python", 1)
    assert second.arguments == first.arguments == ("--root", str(Path().absolute()), *TRAINER)
    assert second.model_copy(update={"submitted": first.submitted}) == first
    assert place.slurm_id() == "6"
    assert place.outcome() is None
    assert place.ledger().ended == []
    assert place.ledger().starts == 1


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        (["--partition", "high"], "partition", "high"),
        (["--partition", "none"], "partition", None),
        (["--time", "60"], "time", "60"),
        (["--memory", "2G"], "memory", "2G"),
        (["--memory-per-cpu", "none"], "memory_per_cpu", None),
        (["--container", "none"], "container", None),
        (["--setup", "true"], "setup", ("true",)),
        (["--requeue", "no"], "requeue", False),
    ],
)
def test_a_further_option_wins_and_all_else_stays(
    options: List[str], field: str, value: Any, login: LoginNode
) -> None:
    place = sent(*everything())
    before = place.asked()
    assert submit(["--job-id", ID, *options]) == 0
    changed: Dict[str, Any] = {field: value}
    if field == "memory":
        changed["memory_per_cpu"] = None
    assert place.asked().profile == before.profile.model_copy(update=changed)
    assert place.asked().arguments == before.arguments


def test_a_profile_that_is_named_wins_over_the_jobs_own_and_options_over_both(
    login: LoginNode,
) -> None:
    place = sent(*everything())
    text = "partition: other\ncpus: 16\npython: /new/python\nmemory: 3G\n"
    Path("mine.yaml").write_text(text, encoding="utf-8")
    assert submit(["--job-id", ID, "--profile", "mine.yaml", "--cpus", "5"]) == 0
    request = place.asked()
    profile = request.profile
    assert (profile.partition, profile.cpus, profile.account) == ("other", 5, "lab 42")
    assert (profile.memory, profile.memory_per_cpu) == ("3G", None)
    assert request.python == "/new/python"


@pytest.mark.parametrize(
    ("first", "options", "python"),
    [
        ([], [], None),
        (["--python", "/a"], [], "/a"),
        (["--python", "/a"], ["--python", "/b"], "/b"),
        (["--python", "/a"], ["--python", "none"], None),
        ([], ["--python", "/b"], "/b"),
    ],
)
def test_the_python_of_the_nodes_is_the_jobs_unless_given(
    first: List[str], options: List[str], python: Any, login: LoginNode
) -> None:
    place = sent(*first)
    own = sent("--seed", "99").asked().python
    login.answers("Submitted batch job 6", queued="6")
    assert submit(["--job-id", place.job_id, *options]) == 0
    assert place.asked().python == (python or own)


def test_further_options_of_the_trainer_go_to_the_jobs_own_run(login: LoginNode) -> None:
    place = sent(*TRAINER)
    run = make_run(Path().absolute(), [400], job_id=place.job_id)
    assert submit(["--job-id", ID, "--train_timesteps", "8000"]) == 0
    more = ("--train_timesteps", "8000", "--run", run.name)
    assert place.asked().arguments[2:] == (*TRAINER, *more)


def test_a_complete_run_is_not_trained_on_but_the_command_for_it_is_told(
    login: LoginNode,
) -> None:
    place = sent(*TRAINER, "--run", "an-earlier-one")
    run = make_run(Path().absolute(), [400, 2000, 800], complete=True, job_id=place.job_id)
    before = content(Path())
    message = refusal("--job-id", ID, "--train_timesteps", "8000")
    module = run.checkpoints / "rl_model_2000_steps" / "module.pt"
    assert message == (
        f"--job-id {ID}: its run {run.name} is complete; to train on from it: "
        "python -m mapush.submit --exp cuboid --seed 7 --num_envs=40 --train_timesteps 8000 "
        f"--checkpoint {module}"
    )
    assert content(Path()) == before
    module.touch()
    command = message.partition("mapush.submit ")[2].split()
    assert submit([*command, "--cluster", "slurm", "--dry-run"]) == 0


def test_a_job_of_this_machine_may_go_to_slurm_and_back(login: LoginNode) -> None:
    place = sent()
    for cluster in ("local", "slurm"):
        words = ["--job-id", place.job_id, "--cluster", cluster, "--dry-run"]
        assert submit(words) == 0


REFUSALS: Dict[str, List[str]] = {
    "an unknown option": ["--colour", "red"],
    "a wrong value of the trainer's": ["--num_envs", "0"],
    "a wrong value of the profile's": ["--time", "99x"],
    "memory in both forms": ["--memory", "1G", "--memory-per-cpu", "1G"],
    "an unknown profile": ["--profile", "moon"],
    "seeds": ["--seeds", "1", "2"],
    "another experiment": ["--exp", "cylinder"],
    "too many GPUs": ["--gpus", "2"],
    "a predecessor that there is not": ["--after", "4711"],
}


@pytest.mark.parametrize("options", REFUSALS.values(), ids=REFUSALS)
def test_a_refused_resubmission_changes_no_byte(options: List[str], login: LoginNode) -> None:
    sent(*TRAINER)
    before = content(Path())
    refusal("--job-id", ID, *options)
    assert content(Path()) == before
    assert len(login.calls("sbatch")) == 1


SAID = "sbatch: error: Batch job submission failed: Invalid partition name specified"


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize("still_listed", [False, True], ids=["forgotten", "still listed"])
def test_what_sbatch_refuses_changes_no_byte_of_the_job(
    still_listed: bool, code: int, login: LoginNode
) -> None:
    place = sent(*TRAINER)
    if not still_listed:
        (login.place / "queue").write_text("")
    before = content(place.place)
    login.answers("", SAID if code else "", code, queued="")
    assert "refuses the job" in refusal("--job-id", ID, "--partition", "moon")
    assert content(place.place) == before
    assert sorted(os.listdir(Path("log", "submit"))) == sorted(["code", place.job_id])
    # And it can be sent off after that.
    login.answers("Submitted batch job 6", queued="6")
    assert submit(["--job-id", ID]) == 0
    assert place.slurm_id() == "6"


@pytest.mark.slow
def test_the_number_of_the_earlier_job_is_not_taken_for_the_new_ones(login: LoginNode) -> None:
    # SLURM shows a job that has ended for some minutes, with the script's path.
    place = sent()
    for number in ("6", "7", "8"):
        login.answers("", queued=number)
        assert submit(["--job-id", place.job_id]) == 0
        assert place.slurm_id() == number
        place.write_outcome(OVER)


def test_a_rehearsal_of_a_resubmission_shows_the_whole_and_changes_no_byte(
    login: LoginNode, capsys: pytest.CaptureFixture[str]
) -> None:
    place = sent(*everything())
    asked = directives(login)
    before = content(Path())
    capsys.readouterr()
    assert submit(["--job-id", ID, "--dry-run", "--partition", "other"]) == 0
    shown = capsys.readouterr().out.splitlines()
    wanted = ["#SBATCH --partition=other" if "--partition" in line else line for line in asked]
    assert [line for line in shown if line.startswith("#SBATCH")] == wanted
    assert shown[-1].endswith(f" --root {Path().absolute()} --seed 7 --num_envs=40")
    assert f"# {place.path}" in shown
    assert content(Path()) == before


def test_a_job_that_has_said_its_end_is_waited_for_while_slurm_calls_it_running(
    login: LoginNode,
) -> None:
    sent()
    login.runs("4", ID)
    before = len(login.calls("squeue"))

    def end() -> None:
        until(lambda: len(login.calls("squeue")) > before)
        login.runs("4")

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(end)
        assert submit(["--job-id", ID]) == 0
        ended.result()


def test_a_living_job_is_refused(login: LoginNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send, "_END_SECONDS", 0.6)
    place = sent()
    login.runs("4", ID)
    before = content(Path())
    assert f"--job-id {place.job_id}: is queued or running" in refusal("--job-id", ID)
    assert content(Path()) == before
    login.runs("4")
    assert submit(["--job-id", ID]) == 0


def test_without_an_answer_of_slurm_nothing_is_changed(login: LoginNode) -> None:
    sent()
    login.is_silent()
    before = content(Path())
    assert "Unable to contact slurm controller" in refusal("--job-id", ID)
    assert content(Path()) == before


def test_a_job_that_may_be_queued_finds_the_new_request(
    login: LoginNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = sent(*TRAINER)
    login.answers("", code=1, queued="6")
    silenced = sbatch._executor

    def silence_and_go_on(*arguments: Any) -> Any:
        login.is_silent()
        return silenced(*arguments)

    monkeypatch.setattr(sbatch, "_executor", silence_and_go_on)
    with pytest.raises(MaybeQueued):
        submit(["--job-id", ID, "--partition", "other"])
    assert place.asked().profile.partition == "other"
    assert place.outcome() is None
    assert place.slurm_id() == ""


@pytest.mark.parametrize("name", ["4711", "../x", "code", "", "log/submit"])
def test_a_job_that_there_is_not_is_refused(name: str, login: LoginNode) -> None:
    sent()
    before = content(Path())
    assert f"job {name!r}: there is none in" in refusal(f"--job-id={name}") or not name
    assert content(Path()) == before
