"""What a job of `sbatch slurm/train.sh` asks for is checked and written as mapush.submit would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List

import pytest
from fake_trainers import experiment

from mapush.errors import MapushError
from mapush.launch.accept import main as accept
from mapush.launch.jobs import JobFolder, submissions
from mapush.submit import main as submit

ASKED = {
    "Partition": "low",
    "Account": "lab42",
    "TimeLimit": "12:00:00",
    "NumCPUs": "4",
    "MinMemoryCPU": "400M",
    "TresPerNode": "gres/gpu:a100:1",
}


@pytest.fixture(name="root", autouse=True)
def own_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    experiment(tmp_path, "exit 0")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def draft(root: Path, *arguments: str, **changes: Any) -> Dict[str, Any]:
    """What a supervisor knows of its job's request."""
    folder = submissions(root) / "slurm-8"
    folder.mkdir(parents=True)
    known: Dict[str, Any] = {
        "arguments": list(arguments),
        "index": None,
        "slurm_id": "8",
        "profile": {"setup": [], "binds": []},
        "python": "/opt/python",
        "code": {"path": str(root)},
        "asked": ASKED,
        "folder": str(folder),
        "root": str(root),
    }
    return {**known, **changes}


def test_the_request_says_all_that_sbatch_was_asked_for(root: Path) -> None:
    profile = {
        "container": "my/image",
        "max_failures": "3",
        "setup": ["export A='1 2'", "ulimit -n 4096"],
        "binds": ["/a:/b:ro"],
    }
    given = draft(root, "--exp", "cuboid", "--seed=7", "--num_envs", "40", profile=profile)
    assert accept([json.dumps(given)]) == 0
    place = JobFolder(Path(given["folder"]))
    request = place.asked()
    assert (request.job_id, request.cluster, request.exp) == ("slurm-8", "slurm", "cuboid")
    assert request.arguments == ("--root", str(root), "--seed=7", "--num_envs", "40")
    assert (request.python, request.gpus) == ("/opt/python", 1)
    found = request.profile
    assert (found.partition, found.account, found.time) == ("low", "lab42", "12:00:00")
    assert (found.cpus, found.memory, found.memory_per_cpu) == (4, None, "400M")
    assert (found.gpu_type, found.container, found.max_failures) == ("a100", "my/image", 3)
    assert (found.setup, found.binds) == (tuple(profile["setup"]), ("/a:/b:ro",))
    assert place.slurm_id() == "8"
    # The job runs a copy of what there was at its first start.
    assert Path(request.code.path) == submissions(root) / "code" / request.code.hash
    assert (Path(request.code.path) / "task" / "cuboid" / "train.sh").is_file()


def test_such_a_job_is_submitted_again_like_any_other(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "bin").mkdir()
    assert accept([json.dumps(draft(root, "--exp", "cuboid", "--seed", "7"))]) == 0
    with pytest.MonkeyPatch.context() as patch:
        for name in ("sbatch", "srun"):
            (root / "bin" / name).write_text("#!/bin/sh\nexit 1\n")
            (root / "bin" / name).chmod(0o755)
        patch.setenv("PATH", f"{root / 'bin'}:/usr/bin:/bin")
        assert submit(["--job-id", "8", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    for line in (
        "partition=low",
        "account=lab42",
        "time=12:00:00",
        "cpus-per-task=4",
        "mem-per-cpu=400M",
    ):
        assert f"#SBATCH --{line}\n" in shown
    assert "#SBATCH --gres=gpu:a100:1\n" in shown
    assert shown.endswith(f" --root {root} --seed 7\n")


@pytest.mark.parametrize(
    ("arguments", "index", "seed"),
    [
        ([], None, ()),
        ([], 3, ("--seed", "3")),
        (["--seed", "7"], 3, ("--seed", "7")),
        (["--seed=7"], 3, ("--seed=7",)),
        ([], 0, ("--seed", "0")),
    ],
)
def test_the_index_in_an_array_is_the_seed_unless_one_is_given(
    arguments: List[str], index: Any, seed: Any, root: Path
) -> None:
    given = draft(root, "--exp", "cuboid", *arguments, index=index)
    assert accept([json.dumps(given)]) == 0
    assert JobFolder(Path(given["folder"])).asked().arguments[2:] == seed


REFUSED: Dict[str, Any] = {
    "no experiment": (["--num_envs", "4"], {}, "--exp is missing"),
    "an unknown one": (["--exp", "sphere"], {}, "--exp 'sphere': no such folder"),
    "a wrong option": (["--exp", "cuboid", "--num_envs", "0"], {}, "--num_envs 0"),
    "an unknown option": (["--exp", "cuboid", "--num-envs", "4"], {}, "did you mean --num_envs?"),
    "a checkpoint": (["--exp", "cuboid", "--checkpoint", "x.pt"], {}, "x.pt: is not there"),
    "a limit": (
        ["--exp", "cuboid"],
        {"profile": {"max_failures": "many"}},
        "--max-failures 'many'",
    ),
}


@pytest.mark.parametrize(("arguments", "changes", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_refused_with_the_line_of_submit(
    arguments: List[str], changes: Dict[str, Any], words: str, root: Path
) -> None:
    with pytest.raises(MapushError) as caught:
        accept([json.dumps(draft(root, *arguments, **changes))])
    assert caught.value.exit_code == 2
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (submissions(root) / "code").exists()


def test_a_refused_job_stands_in_the_list_of_jobs(root: Path) -> None:
    given = draft(root, "--exp", "cuboid", "--num_envs", "0")
    with pytest.raises(MapushError):
        accept([json.dumps(given)])
    place = JobFolder(Path(given["folder"]))
    assert place.asked().arguments[2:] == ("--num_envs", "0")
    assert place.slurm_id() == "8"


def test_a_root_that_no_job_can_work_in_is_refused(root: Path) -> None:
    with pytest.raises(MapushError, match="a path with a colon"):
        accept([json.dumps({**draft(root, "--exp", "cuboid"), "root": str(root / "a:b")})])


def test_a_short_time_limit_is_the_users_own_affair(root: Path) -> None:
    # sbatch was told --signal=USR2@10 as well, which SLURM does not show.
    given = draft(root, "--exp", "cuboid", asked={**ASKED, "TimeLimit": "00:01:00"})
    assert accept([json.dumps(given)]) == 0
    assert JobFolder(Path(given["folder"])).asked().profile.time == "00:01:00"
