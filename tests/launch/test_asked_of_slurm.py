"""What sbatch is asked for, to the letter, and that no path of the script is run."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest
from login_node import LoginNode
from profile_files import OTHERS

from mapush.launch.jobs import JobFolder, submissions
from mapush.launch.profile import Profile, load_profile
from mapush.launch.request import SLURM, CodeCopy, JobRequest
from mapush.launch.sbatch import batch_script

JOB = "11-23-18-12-45_cuboid"
ROOT = "/data/my root"
GROUP = f"{ROOT}/log/submit/{JOB}"


@pytest.fixture(autouse=True)
def _login_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LoginNode(tmp_path / "slurm", monkeypatch)


def script(
    profile: Dict[str, Any], root: str = ROOT, members: int = 1, at_once: int = 1, **fields: Any
) -> str:
    """The batch script of a job, or of an array of several."""
    names = [JOB] if members == 1 else [f"{JOB}_{index}" for index in range(members)]
    known: Dict[str, Any] = {"exp": "cuboid", "gpus": 0, "python": "/opt/my py/python", **fields}
    requests = [
        JobRequest(
            job_id=name,
            submitted="2026-11-23T18:12:45+01:00",
            cluster=SLURM,
            arguments=("--root", root),
            root=root,
            code=CodeCopy(path=f"{root}/log/submit/code/0123"),
            profile=load_profile(None, profile),
            **known,
        )
        for name in names
    ]
    places = [JobFolder(submissions(Path(root)) / name) for name in names]
    return batch_script(places, requests, at_once)


def options(text: str) -> Dict[str, str]:
    """What sbatch reads, by name; a real one was seen to read quotes as a shell does."""
    lines = [line for line in text.splitlines() if line.startswith("#SBATCH")]
    words = [shlex.split(line[len("#SBATCH ") :]) for line in lines]
    assert all(len(each) == 1 for each in words)
    pairs = [each[0].partition("=") for each in words]
    assert len({name for name, _, _ in pairs}) == len(pairs)
    return {name: value for name, _, value in pairs}


PLAIN = {
    "--job-name": "mapush-cuboid",
    "--output": f"{GROUP}/job.log",
    "--open-mode": "append",
    "--time": "1-00:00:00",
    "--nodes": "1",
    "--ntasks-per-node": "1",
    "--cpus-per-task": "2",
    "--requeue": "",
    "--signal": "USR2@90",
    "--export": "ALL",
}
A100 = {"gpu_type": "a100"}
PER_NODE = {"gpu_request": "gpus-per-node"}
# Fields of the profile, of the request or array, and what then is otherwise; None for an option
# that is not there.
CASES: List[Tuple[Dict[str, Any], Dict[str, Any], Dict[str, Any]]] = [
    ({}, {}, {}),
    ({"partition": "low,high"}, {}, {"--partition": "low,high"}),
    ({"account": "lab 42"}, {}, {"--account": "lab 42"}),
    ({"qos": "scavenger"}, {}, {"--qos": "scavenger"}),
    ({"reservation": "course"}, {}, {"--reservation": "course"}),
    ({"constraint": "a100&[ib|roce]"}, {}, {"--constraint": "a100&[ib|roce]"}),
    ({"nodelist": "n[1-4]"}, {}, {"--nodelist": "n[1-4]"}),
    ({"exclude": "n7"}, {}, {"--exclude": "n7"}),
    ({"time": "1:30:30"}, {}, {"--time": "1:30:30"}),
    ({"time": "2-00:00:00"}, {}, {"--time": "2-00:00:00"}),
    ({"cpus": 16}, {}, {"--cpus-per-task": "16"}),
    # Memory in both forms, and none.
    ({"memory": "500M"}, {}, {"--mem": "500M"}),
    ({"memory_per_cpu": "400M"}, {}, {"--mem-per-cpu": "400M"}),
    ({"memory": None, "memory_per_cpu": None}, {}, {}),
    ({"signal": "TERM", "signal_lead": 30}, {}, {"--signal": "TERM@30"}),
    ({"requeue": False}, {}, {"--requeue": None, "--no-requeue": ""}),
    # GPUs in both forms, with and without a kind.
    (A100, {}, {}),
    (PER_NODE, {}, {}),
    ({}, {"gpus": 1}, {"--gres": "gpu:1"}),
    (A100, {"gpus": 1}, {"--gres": "gpu:a100:1"}),
    (PER_NODE, {"gpus": 1}, {"--gpus-per-node": "1"}),
    ({**PER_NODE, **A100}, {"gpus": 1}, {"--gpus-per-node": "a100:1"}),
    (
        {},
        {"after": ("7", "8_1")},
        {"--dependency": "afterok:7:8_1", "--kill-on-invalid-dep": "yes"},
    ),
    (
        {},
        {"members": 3, "at_once": 2},
        {"--array": "0-2%2", "--output": f"{GROUP}_%a/job.log"},
    ),
    (
        {},
        {"members": 3, "at_once": 9},
        {"--array": "0-2%3", "--output": f"{GROUP}_%a/job.log"},
    ),
    # What is no business of SLURM's.
    (
        {name: OTHERS[name] for name in ("container", "runtime", "python", "max_failures")},
        {},
        {},
    ),
    ({"max_idle": 1, "failure_wait": 0}, {}, {}),
    ({"setup": ("#SBATCH --partition=moon",), "modules": ("cuda",), "binds": ("/a",)}, {}, {}),
]


@pytest.mark.parametrize(("profile", "more", "changes"), CASES)
def test_sbatch_is_asked_for_what_the_profile_says_and_nothing_else(
    profile: Dict[str, Any], more: Dict[str, Any], changes: Dict[str, Any]
) -> None:
    expected = {k: v for k, v in {**PLAIN, **changes}.items() if v is not None}
    assert options(script(profile, **more)) == expected


def test_every_field_of_a_profile_has_its_case() -> None:
    assert {field for profile, _, _ in CASES for field in profile} == set(Profile.model_fields)


def test_nothing_of_a_profile_but_the_python_stands_behind_the_head() -> None:
    plain, other = (script(each).split("\n# setup\n")[1] for each in ({}, OTHERS_OF_ONE_FORM))
    assert plain.partition("# never reached")[0] == other.partition("# never reached")[0]


OTHERS_OF_ONE_FORM = {name: value for name, value in OTHERS.items() if name != "memory_per_cpu"}
ROOTS = [
    "my root",
    'a"b',
    "it's é ü 中",
    "#x",
    "$HOME $(touch executed)`touch executed`",
    "a;touch executed&b|c",
    "d*?[e]<f>(g){h}!~",
]
# What becomes the supervisor; it only says what it was called with.
SUPERVISOR = "import sys; sys.stdout.write('\\0'.join(sys.argv))"


@pytest.mark.parametrize("name", ROOTS)
def test_any_path_arrives_as_it_is_and_nothing_of_it_is_run(name: str, tmp_path: Path) -> None:
    root = tmp_path / name
    start = root / "log" / "submit" / "code" / "0123" / "mapush" / "launch" / "node" / "start.py"
    start.parent.mkdir(parents=True)
    start.write_text(SUPERVISOR, encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    for members in (1, 2):
        text = script({}, str(root), members)
        group = f"{root}/log/submit/{JOB}"
        assert options(text)["--output"] == f"{group}{'_%a' if members > 1 else ''}/job.log"
        spool = tmp_path / "slurm_script"
        spool.write_text(text, encoding="utf-8")
        spool.chmod(0o700)
        done = subprocess.run(
            [str(spool)],
            env={"PATH": "/usr/bin:/bin", "SLURM_JOB_ID": "8", "LC_ALL": "C.UTF-8"},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        spool.unlink()
        assert done.stdout.decode().split("\0") == [str(start), "supervise", "--job", group]
        assert done.returncode == 0
    assert sorted(tmp_path.rglob("*")) == before
