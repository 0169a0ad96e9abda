"""`sbatch slurm/train.sh`, the job without the launcher, with SLURM's commands made up."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, List

import pytest
from fake_slurm import ID, FakeSlurm, shown
from fake_trainers import REPOSITORY, experiment
from made_jobs import fill, tiny_disk

from mapush.job import attempts
from mapush.job.folder import JobFolder

# Writes down how it was called, and where; ends as the file `end` says.
TRAINER = """
{
    printf '%s\\0' "$MAPUSH_JOB_ID" "$MAPUSH_RESTART_COUNT" "$MAPUSH_GPUS" "$PWD" "$@"
} > "$MAPUSH_ROOT/told"
exit "$(cat "$MAPUSH_ROOT/end")"
"""


@pytest.fixture(name="fake")
def fake_slurm(tmp_path: Path) -> FakeSlurm:
    return FakeSlurm(tmp_path / "slurm")


@pytest.fixture(name="project")
def own_project(tmp_path: Path) -> Path:
    """A checkout of which the cuboid's train.sh is made up."""
    project = tmp_path / "my project"
    project.mkdir()
    for part in ("mapush", "job", "slurm"):
        (project / part).symlink_to(REPOSITORY / part)
    experiment(project, TRAINER)
    (project / "end").write_text("75")
    return project


def run(
    fake: FakeSlurm, project: Path, *arguments: str, **more: Any
) -> subprocess.CompletedProcess[str]:
    environment = fake.environment(**{"SLURM_SUBMIT_DIR": str(project), **more})
    # SLURM runs a copy from a place of its own.
    spool = fake.place / "slurm_script"
    shutil.copy(REPOSITORY / "slurm" / "train.sh", spool)
    return fake.run(["bash", str(spool), *arguments], environment)


def told(root: Path) -> List[str]:
    return (root / "told").read_text(encoding="utf-8").split("\0")[:-1]


def folder(root: Path, name: str = f"slurm-{ID}") -> JobFolder:
    return JobFolder(root / "log" / "submit" / name)


@pytest.mark.parametrize(
    ("arguments", "more", "words"),
    [
        ([], {}, "--exp is missing: sbatch slurm/train.sh --exp cuboid"),
        (["--exp"], {}, "--exp: needs a value"),
        (["--exp", "cuboid", "--root"], {}, "--root: needs a value"),
        (["--exp", "moon"], {}, "--exp 'moon': there is no such task; there are: cuboid/"),
        (["--exp="], {}, "--exp is missing"),
        (["--exp", "../../etc"], {}, "there is no such task"),
        (["--exp", "cuboid"], {"SLURM_JOB_ID": ""}, "is a batch script; send it with: sbatch"),
        (["--exp", "cuboid"], {"SLURM_SUBMIT_DIR": "/tmp"}, "/tmp: is not mapush's directory; run"),
        (["--exp", "cuboid"], {"SLURM_SUBMIT_DIR": ""}, "is not mapush's directory"),
        (["--exp", "cuboid", "--root", "end"], {}, "cannot be made on"),
    ],
)
def test_a_wrong_job_is_refused_in_one_line_and_nothing_is_made(
    arguments: List[str], more: Any, words: str, fake: FakeSlurm, project: Path
) -> None:
    before = sorted(path.name for path in project.iterdir())
    done = run(fake, project, *arguments, **more)
    assert done.returncode == 2
    own = [line for line in done.stderr.splitlines() if line.startswith("mapush: ")]
    assert len(own) == 1
    assert words in own[0]
    assert sorted(path.name for path in project.iterdir()) == before
    assert fake.calls("srun") + fake.calls("scontrol") == []


def test_a_job_runs_its_task_with_all_arguments_as_they_are(fake: FakeSlurm, project: Path) -> None:
    odd = ["--a", "two words", 'it\'s "$HOME"', "*", "", "two\nlines", "é", "\\"]
    done = run(fake, project, "--seed", "7", "--exp", "cuboid", *odd)
    assert done.returncode == 75, done.stderr
    place = folder(project)
    assert done.stdout == f"mapush: the log of this job is {place.output}\n"
    assert told(project) == [
        *(place.job_id, "0", "0", str(place.path / "code")),
        *("--root", str(project), "--seed", "7", *odd),
    ]
    assert fake.calls("scontrol requeue") == [f"scontrol requeue {ID}"]
    assert attempts.read(place.attempts).starts == 1
    (srun,) = fake.calls("srun")
    assert srun.startswith("srun --kill-on-bad-exit=1 --cpus-per-task=1 bash ")


@pytest.mark.parametrize(
    ("given", "more", "expected"),
    [
        ([], {}, ""),
        (["--root", "out here"], {}, "out here"),
        (["--root=out here"], {}, "out here"),
        ([], {"MAPUSH_ROOT": "{project}/elsewhere"}, "elsewhere"),
        (["--root", "{project}/wins"], {"MAPUSH_ROOT": "/nowhere"}, "wins"),
    ],
)
def test_results_and_log_go_where_they_are_asked_for(
    given: List[str], more: Any, expected: str, fake: FakeSlurm, project: Path
) -> None:
    root = project / expected
    root.mkdir(exist_ok=True)
    (root / "end").write_text("75")
    words = [word.format(project=project) for word in given]
    environment = {name: value.format(project=project) for name, value in more.items()}
    run(fake, project, "--exp=cuboid", *words, **environment)
    assert told(root)[4:6] == ["--root", str(root)]
    assert folder(root).attempts.is_file()


def test_a_restart_finds_its_own_folder_and_code_whatever_became_of_the_tree(
    fake: FakeSlurm, project: Path
) -> None:
    run(fake, project, "--exp", "cuboid")
    experiment(project, "exit 2")
    fake.restarted()
    fake.answer("show", shown(restarts=1))
    done = run(fake, project, "--exp", "cuboid", restarts=1)
    assert done.returncode == 75
    assert told(project)[:2] == [folder(project).job_id, "1"]
    assert fake.calls("scontrol requeue") == [f"scontrol requeue {ID}"]
    assert attempts.read(folder(project).attempts).starts == 2
    assert [path.name for path in (project / "log" / "submit").iterdir()] == [f"slurm-{ID}"]


def test_a_number_that_comes_round_again_is_another_job(fake: FakeSlurm, project: Path) -> None:
    names = []
    for _ in range(3):
        fake.restarted()
        run(fake, project, "--exp", "cuboid")
        names.append(told(project)[0])
    assert names == [f"slurm-{ID}", f"slurm-{ID}.001", f"slurm-{ID}.002"]
    # Each has been started once; a restart belongs to the newest.
    fake.restarted()
    fake.answer("show", shown(restarts=1))
    run(fake, project, "--exp", "cuboid", restarts=1)
    assert told(project)[:2] == [f"slurm-{ID}.002", "1"]
    starts = [attempts.read(folder(project, name).attempts).starts for name in names]
    assert starts == [1, 1, 2]


@pytest.mark.parametrize(
    ("given", "seed"),
    [([], ["--seed", "3"]), (["--seed", "9"], ["--seed", "9"]), (["--seed=9"], ["--seed=9"])],
)
def test_a_member_of_an_array_has_its_index_as_seed_unless_told_otherwise(
    given: List[str], seed: List[str], fake: FakeSlurm, project: Path
) -> None:
    run(fake, project, "--exp", "cuboid", *given, array="5_3", SLURM_JOB_ID="5")
    assert told(project)[0] == "slurm-5_3"
    assert told(project)[6:] == seed
    assert fake.calls("scontrol requeue") == ["scontrol requeue 5_3"]


def test_members_of_an_array_have_folders_of_their_own(fake: FakeSlurm, project: Path) -> None:
    for index in (1, 2):
        fake.restarted()
        run(fake, project, "--exp", "cuboid", array=f"5_{index}", SLURM_JOB_ID=str(4 + index))
    fake.restarted()
    fake.answer("show", shown(restarts=1))
    run(fake, project, "--exp", "cuboid", array="5_1", SLURM_JOB_ID="5", restarts=1)
    assert told(project)[:2] == ["slurm-5_1", "1"]
    submitted = sorted(path.name for path in (project / "log" / "submit").iterdir())
    assert submitted == ["slurm-5_1", "slurm-5_2"]


@pytest.mark.parametrize(
    ("tasks", "gpus", "each"),
    [("1", "", "0"), ("1", "1", "1"), ("2(x3)", "4", "2"), ("", "1", "1")],
)
def test_the_gpus_of_a_node_are_shared_among_its_trainers(
    tasks: str, gpus: str, each: str, fake: FakeSlurm, project: Path
) -> None:
    given = {"SLURM_NTASKS_PER_NODE": tasks, "SLURM_GPUS_ON_NODE": gpus}
    run(fake, project, "--exp", "cuboid", **given)
    assert told(project)[2] == each


def test_lines_of_setup_run_first_whatever_they_leave_unset(fake: FakeSlurm, project: Path) -> None:
    setup = 'echo "set up $OF_NO_KIND"; export MAPUSH_SETUP_RAN="yes"; ulimit -n 512'
    experiment(project, 'echo "ran: $MAPUSH_SETUP_RAN, files: $(ulimit -n)"; exit 2')
    run(fake, project, "--exp", "cuboid", MAPUSH_SETUP=setup)
    said = folder(project).output.read_text(encoding="utf-8")
    assert "set up \n" in said
    assert "ran: yes, files: 512\n" in said


def test_the_end_of_a_job_is_its_exit_code(fake: FakeSlurm, project: Path) -> None:
    (project / "end").write_text("2")
    done = run(fake, project, "--exp", "cuboid")
    assert done.returncode == 2
    assert fake.calls("scontrol requeue") == []
    outcome = folder(project).outcome()
    assert outcome is not None
    assert outcome.exit_code == 2


def test_a_full_disk_before_the_first_start_leaves_no_half_job(
    fake: FakeSlurm, project: Path, tmp_path: Path
) -> None:
    with tiny_disk(tmp_path / "small", "size=1m") as root:
        (root / "log" / "submit").mkdir(parents=True)
        fill(root)
        done = run(fake, project, "--exp", "cuboid", "--root", str(root))
        assert done.returncode == 2
        assert "is the disk full?" in done.stderr
        assert list((root / "log" / "submit").iterdir()) == []
