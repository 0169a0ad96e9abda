"""What sbatch may say, and which number the job is then known by."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List

import pytest
from fake_trainers import experiment
from login_node import ACCEPTED, ID, LoginNode
from made_jobs import fill, tiny_disk

from mapush.errors import MapushError, RequestError, StorageError
from mapush.launch import sbatch
from mapush.launch.jobs import JobFolder, MaybeQueued, known_jobs
from mapush.launch.node.folder import SLURM_ID
from mapush.submit import main as submit

SEND = ["--exp", "cuboid", "--cluster", "slurm"]


@pytest.fixture(name="login")
def login_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoginNode:
    """A made-up SLURM; the working directory has the cuboid's task."""
    experiment(tmp_path / "here", "exit 0")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(sbatch, "_PAUSE", 0.01)
    return LoginNode(tmp_path / "slurm", monkeypatch)


def left() -> List[str]:
    """What lies in the folder of submissions, the copies of code apart."""
    folder = Path("log", "submit")
    return sorted(name for name in os.listdir(folder) if name != "code") if folder.is_dir() else []


FAILED = "sbatch: error: Batch job submission failed: "
# In each case the job is queued as 5.
QUEUED: Dict[str, Dict[str, Any]] = {
    "the standard line": {},
    "on a cluster": {"out": f"Submitted batch job {ID} on cluster x"},
    "bare": {"out": ID},
    "parsable": {"out": f"{ID};cluster"},
    "a greeting": {"out": f"Welcome! Your last job 4711 of 99 job 17 ended.\n{ACCEPTED}"},
    "a farewell": {"out": f"{ACCEPTED}\nsee job 17"},
    "a warning": {"err": "sbatch: warning: job 17 is greedy"},
    "nothing at all": {"out": ""},
    "no word of a number": {"out": "queued, I think"},
    "timed out": {"out": "", "err": f"{FAILED}Socket timed out on send/recv operation", "code": 1},
    "a lost answer": {"out": "", "err": f"{FAILED}Zero Bytes were transmitted", "code": 1},
    "killed after all": {"out": "", "err": "Killed", "code": 137},
}


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--seeds", "1", "2"]], ids=["one", "array"])
@pytest.mark.parametrize("answer", QUEUED.values(), ids=QUEUED)
def test_a_job_that_is_queued_is_known_by_its_number_whatever_sbatch_says(
    answer: Dict[str, Any], options: List[str], login: LoginNode, capsys: Any
) -> None:
    login.answers(**answer)
    assert submit([*SEND, *options]) == 0
    ids = [f"{ID}_0", f"{ID}_1"] if options else [ID]
    assert [place.slurm_id() for place in known_jobs(Path())] == ids
    shown = capsys.readouterr()
    assert [line.split()[1] for line in shown.out.splitlines() if line[:4] == "job "] == ids
    assert shown.err == ""
    assert len(login.calls("sbatch")) == 1


@pytest.mark.parametrize("out", [ACCEPTED, f"{ACCEPTED} on cluster x"])
def test_where_squeue_does_not_answer_sbatch_is_believed(out: str, login: LoginNode) -> None:
    login.answers(out)
    login.is_silent()
    assert submit(SEND) == 0
    assert known_jobs(Path())[0].slurm_id() == ID


def test_a_number_that_squeue_does_not_list_is_believed(login: LoginNode) -> None:
    login.answers(queued="")  # it has gone to another cluster, or is over by now
    assert submit(SEND) == 0
    assert known_jobs(Path())[0].slurm_id() == ID


NOT_THERE = "Requested node configuration is not available"
REFUSED = {
    "partition": (
        f"sbatch: error: invalid partition specified: moon\n{FAILED}Invalid partition name",
        "invalid partition specified: moon; Batch job submission failed: Invalid partition name",
    ),
    "memory": (
        f"sbatch: error: Memory specification can not be satisfied\n{FAILED}{NOT_THERE}",
        f"Memory specification can not be satisfied; Batch job submission failed: {NOT_THERE}",
    ),
    "dependency": (f"{FAILED}Job dependency problem", "failed: Job dependency problem"),
    "no controller": (
        f"{FAILED}Unable to contact slurm controller (connect failure)",
        "Unable to contact slurm controller (connect failure)",
    ),
}


@pytest.mark.parametrize("silent", [False, True], ids=["squeue answers", "squeue is silent"])
@pytest.mark.parametrize("options", [[], ["--seeds", "1", "2"]], ids=["one", "array"])
@pytest.mark.parametrize(("said", "words"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_of_slurm_is_one_line_and_leaves_nothing(
    said: str, words: str, options: List[str], silent: bool, login: LoginNode
) -> None:
    login.answers("", said, 1, queued="")
    if silent:
        login.is_silent()
    message = refusal(RequestError, *options)
    assert message.startswith("sbatch refuses the job: ")
    assert words in message
    assert left() == []


@pytest.mark.parametrize(
    ("out", "err", "code", "words"),
    [
        ("", "sbatch: error: Invalid --time specification", 255, "Invalid --time specification"),
        ("", "", 1, "sbatch refuses the job: "),
        ("", "Killed", 137, "Killed"),
        ("queued, I think", "", 0, "queued, I think"),
        ("", "sbatch: lua: no GPU for job 17", 1, "lua: no GPU for job 17"),
        ("", f"{FAILED}Socket timed out on send/recv operation", 1, "Socket timed out"),
    ],
)
def test_what_sbatch_does_not_take_is_refused_once_squeue_says_so(
    out: str, err: str, code: int, words: str, login: LoginNode
) -> None:
    login.answers(out, err, code, queued="")
    message = refusal(RequestError)
    assert words in message
    assert message.endswith("(--cluster local runs the job on this machine)")
    assert "sbatch: error" not in message
    assert left() == []


def test_where_sbatch_finds_no_cluster_nothing_is_queued_whoever_is_silent(
    login: LoginNode,
) -> None:
    login.answers("", "sbatch: fatal: Could not establish a configuration source", 1)
    login.is_silent()
    message = refusal(RequestError)
    assert message.endswith("(--cluster local runs the job on this machine)")
    assert left() == []


@pytest.mark.parametrize(
    ("out", "err", "code"),
    [
        ("", "", 0),
        ("queued, I think", "", 0),
        ("", f"{FAILED}Socket timed out on send/recv operation", 1),
        ("", "Killed", 137),
    ],
)
@pytest.mark.parametrize("options", [[], ["--seeds", "1", "2"]], ids=["one", "array"])
def test_where_nobody_knows_the_folder_stays_and_the_user_is_told(
    options: List[str], out: str, err: str, code: int, login: LoginNode
) -> None:
    login.answers(out, err, code)
    login.is_silent()
    message = refusal(MaybeQueued, *options)
    assert "squeue --me" in message
    assert "--cluster local" not in message  # where it would run a second time
    assert "Unable to contact slurm controller" in message
    assert len(left()) == (3 if options else 1)
    for place in known_jobs(Path()):
        assert place.asked().exp == "cuboid"
        assert place.slurm_id() == ""


def test_a_number_that_cannot_be_written_down_leaves_the_folder_to_the_job(
    login: LoginNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = JobFolder.write

    def fail(place: JobFolder, name: str, text: str) -> None:
        if name == SLURM_ID:
            raise StorageError(f"{place.place}: the disk is full")
        write(place, name, text)

    monkeypatch.setattr(JobFolder, "write", fail)
    message = refusal(MaybeQueued)
    assert f"SLURM job {ID}: is queued, but" in message
    assert "the disk is full" in message
    assert len(left()) == 1


def test_a_script_that_cannot_be_written_leaves_nothing(login: LoginNode, tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "small", "size=4m,nr_inodes=600") as root:
        assert submit([*SEND, "--root", str(root), "--seed", "1"]) == 0
        before = sorted(os.listdir(root / "log" / "submit"))
        fill(root)
        message = refusal(StorageError, "--root", str(root), "--seed", "2")
        assert "the disk is full" in message
        assert sorted(os.listdir(root / "log" / "submit")) == before
    assert len(login.calls("sbatch")) == 1


def test_members_of_several_experiments_are_named_apart(login: LoginNode) -> None:
    experiment(Path(), "exit 0", "cylinder")
    options = ["--exp", "cuboid", "cylinder", "--seeds", "1", "2", "--cluster", "slurm"]
    assert submit(options) == 0
    assert login.calls("scontrol") == [
        f"scontrol update JobId={ID}_[0,1] JobName=mapush-cuboid",
        f"scontrol update JobId={ID}_[2,3] JobName=mapush-cylinder",
    ]
    assert "#SBATCH --job-name=mapush-array\n" in login.script()
    assert "#SBATCH --array=0-3%4\n" in login.script()


def test_members_of_one_experiment_have_its_name_at_once(login: LoginNode) -> None:
    assert submit([*SEND, "--seeds", "1", "2", "--max-running", "1"]) == 0
    assert login.calls("scontrol") == []
    assert "#SBATCH --job-name=mapush-cuboid\n" in login.script()
    assert "#SBATCH --array=0-1%1\n" in login.script()


def refusal(kind: type, *options: str) -> str:
    """The one line by which the command refuses."""
    with pytest.raises(MapushError) as caught:
        submit([*SEND, *options])
    assert type(caught.value) is kind
    message = str(caught.value)
    assert "\n" not in message
    assert "Traceback" not in message
    return message
