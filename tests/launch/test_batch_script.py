"""What is handed to sbatch, to the letter."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence

import pytest
from fake_slurm import FakeSlurm
from made_jobs import JOB

from mapush.errors import RequestError
from mapush.job.cluster import batch_script
from mapush.job.folder import JobFolder
from mapush.job.profile import Profile
from mapush.job.request import SLURM, JobRequest

GOLDEN = """\
#!/bin/bash

# Parameters
#SBATCH --cpus-per-task=2
#SBATCH --job-name=mapush-cuboid
#SBATCH --mem=8G
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output='/data/my root/log/submit/11-23-18-12-45_cuboid/job.log'
#SBATCH --requeue
#SBATCH --signal=USR2@90
#SBATCH --time=1440

# setup
export MAPUSH_CODE='/data/my root/log/submit/code/0123'
export MAPUSH_ROOT='/data/my root'
export MAPUSH_GPUS=0
export MAPUSH_CONTAINER=''
export MAPUSH_RUNTIME=auto
export MAPUSH_BINDS=''
export PYTHON=/opt/py/bin/python
export PYTHONPATH='/data/my root/log/submit/code/0123'
export PYTHONUNBUFFERED=1
export MAPUSH_MAX_FAILURES=10
export MAPUSH_MAX_IDLE=5
export MAPUSH_FAILURE_WAIT=60
export MAPUSH_REQUEUE=1
cd '/data/my root/log/submit/code/0123' && . '/data/my root/log/submit/code/0123/job/batch.sh' \
|| { echo 'mapush: /data/my root/log/submit/code/0123/job/batch.sh: is not there on' \
"$(hostname); does this node see it?" >&2; exit 2; }
mapush_begin '/data/my root/log/submit/11-23-18-12-45_cuboid'

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output '/data/my root/log/submit/11-23-18-12-45_cuboid/%j_%t_log.out' \
'--output=/data/my root/log/submit/11-23-18-12-45_cuboid/job.log' --open-mode=append \
--kill-on-bad-exit=1 --cpus-per-task=2 /opt/py/bin/python -u -m submitit.core._submit \
'/data/my root/log/submit/11-23-18-12-45_cuboid'


# teardown
mapush_end "$?"
"""


@pytest.fixture(autouse=True)
def _with_srun_in_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{fake.bin}{os.pathsep}{os.environ['PATH']}")


def script(profile: Profile, root: str = "/data/my root", members: int = 1, **more: Any) -> str:
    of_request = ("gpus", "python", "container", "binds")
    fields = {name: more.pop(name) for name in of_request if name in more}
    names = [JOB] if members == 1 else [f"{JOB}_{index}" for index in range(members)]
    folders = [JobFolder(Path(root) / "log" / "submit" / name) for name in names]
    known = {"python": "/opt/py/bin/python", **fields}
    code = f"{root}/log/submit/code/0123"
    requests = [
        JobRequest(name, "cuboid", ("--root", root), root, code, SLURM, **known) for name in names
    ]
    return batch_script(folders, requests, profile, **more)


def lines(text: str, beginning: str) -> List[str]:
    return [line for line in text.splitlines() if line.startswith(beginning)]


def options(text: str) -> Dict[str, str]:
    """What sbatch reads, by name; a real one was seen to read quotes as a shell does."""
    words = [shlex.split(line[len("#SBATCH ") :]) for line in lines(text, "#SBATCH ")]
    assert all(len(each) == 1 for each in words)
    pairs = [each[0].partition("=") for each in words]
    return {name: value for name, _, value in pairs}


def test_the_default_profile_makes_this_script() -> None:
    assert script(Profile()).rstrip("\n") == GOLDEN.rstrip("\n")


PLAIN = options(GOLDEN)
MEMBERS = "/data/my root/log/submit/11-23-18-12-45_cuboid_%a/job.log"

CASES = [
    ({"partition": "low,high"}, {}, {"--partition": "low,high"}),
    ({"account": "lab 42"}, {}, {"--account": "lab 42"}),
    ({"qos": "scavenger"}, {}, {"--qos": "scavenger"}),
    ({"reservation": "course"}, {}, {"--reservation": "course"}),
    ({"constraint": "a100&[ib|roce]"}, {}, {"--constraint": "a100&[ib|roce]"}),
    ({"nodelist": "n[1-4]"}, {}, {"--nodelist": "n[1-4]"}),
    ({"exclude": "n7"}, {}, {"--exclude": "n7"}),
    ({"time": "1:30:30"}, {}, {"--time": "91"}),
    ({"time": "2-00:00:00"}, {}, {"--time": "2880"}),
    ({"cpus": 16}, {}, {"--cpus-per-task": "16"}),
    ({"memory": "500M"}, {}, {"--mem": "500M"}),
    ({"signal": "TERM", "signal_lead": 30}, {}, {"--signal": "TERM@30"}),
    ({"requeue": False}, {}, {"--requeue": None, "--no-requeue": ""}),
    ({}, {"gpus": 1}, {"--gres": "gpu:1"}),
    ({"gpu_type": "a100"}, {"gpus": 1}, {"--gres": "gpu:a100:1"}),
    ({"gpu_type": "a100"}, {}, {}),
    ({"gpu_request": "gpus-per-node"}, {"gpus": 1}, {"--gpus-per-node": "1"}),
    (
        {"gpu_request": "gpus-per-node", "gpu_type": "h100"},
        {"gpus": 2},
        {"--gpus-per-node": "h100:2", "--ntasks-per-node": "2"},
    ),
    ({}, {"nodes": 3}, {"--nodes": "3"}),
    (
        {},
        {"after": ["7", "8_1"]},
        {"--dependency": "afterok:7:8_1", "--kill-on-invalid-dep": "yes"},
    ),
    (
        {},
        {"members": 3, "at_once": 2},
        {"--array": "0-2%2", "--output": MEMBERS},
    ),
    (
        {},
        {"members": 3, "at_once": 9},
        {"--array": "0-2%3", "--output": MEMBERS},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "more", "changes"), CASES)
def test_sbatch_is_asked_for_what_the_profile_says_and_nothing_else(
    fields: Dict[str, Any], more: Dict[str, Any], changes: Dict[str, Any]
) -> None:
    expected = {k: v for k, v in {**PLAIN, **changes}.items() if v is not None}
    assert options(script(Profile(**fields), **more)) == expected


@pytest.mark.parametrize(
    ("fields", "more", "setting"),
    [
        ({}, {"gpus": 1}, "MAPUSH_GPUS=1"),
        ({"max_failures": 3}, {}, "MAPUSH_MAX_FAILURES=3"),
        ({"max_idle": 2}, {}, "MAPUSH_MAX_IDLE=2"),
        ({"failure_wait": 7}, {}, "MAPUSH_FAILURE_WAIT=7"),
        ({"requeue": False}, {}, "MAPUSH_REQUEUE=0"),
        ({}, {"container": "/a b.sif"}, "MAPUSH_CONTAINER='/a b.sif'"),
        ({}, {"binds": ("/a", "/b c:/d:ro")}, "MAPUSH_BINDS='/a\n/b c:/d:ro'"),
        ({}, {"python": "/my py/python"}, "PYTHON='/my py/python'"),
    ],
)
def test_the_scripts_of_the_job_are_told_what_they_need(
    fields: Dict[str, Any], more: Dict[str, Any], setting: str
) -> None:
    text = script(Profile(**fields), **more)
    assert f"\nexport {setting}\n" in text
    assert_valid(text)


def test_modules_and_lines_of_setup_come_first_and_are_kept_as_they_are() -> None:
    fields = {"modules": ("cuda/12.1", "it's"), "setup": ('export A="b $HOME"', "ulimit -n 4096")}
    text = script(Profile(**fields))
    first = text.split("# setup\n")[1].splitlines()[:5]
    assert first[:4] == [
        "module load cuda/12.1",
        "module load 'it'\"'\"'s'",
        'export A="b $HOME"',
        "ulimit -n 4096",
    ]
    assert first[4].startswith("export MAPUSH_CODE=")


def test_the_steps_of_an_array_write_into_their_own_logs() -> None:
    (srun,) = lines(script(Profile(cpus=5), members=2), "srun ")
    words = shlex.split(srun)
    assert "--output=/data/my root/log/submit/11-23-18-12-45_cuboid_%a/job.log" in words
    assert words[-1] == "/data/my root/log/submit/11-23-18-12-45_cuboid"
    # srun does not take over the cores that sbatch was asked for.
    assert "--cpus-per-task=5" in words


ROOTS = [
    "/data/my root",
    '/a"b',
    "/a'b",
    "/a #b",
    "/é ü 中",
    "/$(touch executed)`touch executed`",
    "/a;b&c|d*?[e]<f>(g){h}!~",
]


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("members", [1, 2])
def test_any_path_arrives_as_it_is_and_none_is_run(root: str, members: int, tmp_path: Path) -> None:
    text = script(Profile(), root=root, members=members)
    assert_valid(text)
    own = f"{root}/log/submit/{JOB}{'_%a' if members > 1 else ''}"
    assert options(text)["--output"] == f"{own}/job.log"
    # With everything that does something left out, and the code not there.
    harmless = text.replace("\nsrun ", "\n: ").replace('mapush_end "$?"', "")
    done = subprocess.run(
        ["bash"], input=harmless, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    missing = f"{root}/log/submit/code/0123/job/batch.sh"
    assert f"mapush: {missing}: is not there on {os.uname().nodename}; does" in done.stderr
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("root", ["/a%b", "/a\\b", "/a\nb", "/a\tb", "/a\udcffb", "/a\u2028b"])
def test_a_path_that_slurm_would_misread_is_refused_naming_the_option(root: str) -> None:
    with pytest.raises(RequestError, match=r"^--root ") as caught:
        script(Profile(), root=root)
    assert "\n" not in str(caught.value)


def assert_valid(text: str) -> None:
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


SCRIPTS: Sequence[str] = ("job/batch.sh", "job/enter.sh", "slurm/train.sh")


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_shell_scripts_are_bash(name: str) -> None:
    path = Path(__file__).resolve().parents[2] / name
    assert_valid(path.read_text(encoding="utf-8"))


def test_the_script_uses_the_python_that_submits_unless_told_otherwise() -> None:
    assert f"\nexport PYTHON={shlex.quote(sys.executable)}\n" in script(Profile(), python="")
