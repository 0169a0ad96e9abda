"""`slurm/train.sh` in a real bash: as sbatch starts it, and as mapush.submit sends it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Mapping

import pytest
from fake_node import ID, FakeNode, said, shown

from mapush.launch.jobs import JobFolder
from tests.support import PROJECT

pytestmark = pytest.mark.slow  # processes by the dozen

SCRIPT = PROJECT / "slurm" / "train.sh"
# Writes down how it was called, and where; ends as the file `end` says. It is train.sh of a task.
TRAINER = """#!/bin/bash
: --exp cuboid
{
    printf '%s\\0' "$MAPUSH_JOB_ID" "$MAPUSH_RESTART_COUNT" "$MAPUSH_GPUS" "$PWD" "$@"
} > "$MAPUSH_ROOT/told"
exit "$(cat "$MAPUSH_ROOT/end")"
"""


@pytest.fixture(name="node")
def fake_node(tmp_path: Path) -> FakeNode:
    return FakeNode(tmp_path / "slurm")


@pytest.fixture(name="project")
def own_project(tmp_path: Path) -> Path:
    """A checkout of which the cuboid's train.sh is made up."""
    project = tmp_path / "my project"
    for part in ("mapush", "job", "slurm", "task"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / part, project / part, ignore=ignored)
    (project / "task" / "cuboid" / "train.sh").write_text(TRAINER)
    (project / "end").write_text("75")
    return project


def run(
    node: FakeNode, project: Path, *arguments: str, **more: str
) -> subprocess.CompletedProcess[str]:
    known = {"SLURM_SUBMIT_DIR": str(project), "PYTHON": sys.executable, **more}
    # SLURM runs a copy from its own directory.
    spool = node.place / "slurm_script"
    shutil.copy(project / "slurm" / "train.sh", spool)
    spool.chmod(0o755)
    return node.run([str(spool), *arguments], node.environment(**known), project)


def told(root: Path) -> List[str]:
    return (root / "told").read_text(encoding="utf-8").split("\0")[:-1]


def folder(root: Path, name: str = f"slurm-{ID}") -> JobFolder:
    return JobFolder(root / "log" / "submit" / name)


def names(root: Path) -> List[str]:
    return sorted(path.name for path in (root / "log" / "submit").iterdir() if path.name != "code")


WRONG = [
    ([], "--exp is missing: sbatch slurm/train.sh --exp cuboid"),
    (["--exp", "moon"], "--exp 'moon': "),
    (["--exp", "../../etc"], "--exp '../../etc': "),
    (["--exp", "cuboid", "--nonsense", "3"], "unknown option --nonsense"),
    (["--exp", "cuboid", "--num_envs", "no"], "--num_envs no"),
    (["--exp", "cuboid", "--train_timestep", "3"], "did you mean --train_timesteps?"),
    (["--exp", "Tblock"], "trains --exp cuboid, not Tblock"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG)
def test_a_wrong_request_ends_at_once_with_its_line_and_stands_in_the_list(
    arguments: List[str], words: str, node: FakeNode, project: Path
) -> None:
    shutil.copy(project / "task" / "cuboid" / "train.sh", project / "task" / "Tblock" / "train.sh")
    done = run(node, project, *arguments)
    assert done.returncode == 2
    own = [line for line in done.stdout.splitlines() if line.startswith("mapush: ")]
    assert len(own) == 2, done.stdout  # where the log is, and why
    assert words in own[1]
    assert node.calls("srun") + node.calls("scontrol requeue") == []
    outcome = folder(project).outcome()
    assert outcome is not None
    assert (outcome.exit_code, words in outcome.message) == (2, True)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"SLURM_JOB_ID": ""}, "is a batch script; send it with: sbatch"),
        pytest.param(
            {"SLURM_SUBMIT_DIR": "/tmp"}, "start.py: is not there on", marks=pytest.mark.slow
        ),
        pytest.param({"SLURM_SUBMIT_DIR": ""}, "start.py: is not there on", marks=pytest.mark.slow),
    ],
)
def test_what_is_no_job_of_mapush_is_refused_in_one_line(
    more: Dict[str, str], words: str, node: FakeNode, project: Path
) -> None:
    done = run(node, project, "--exp", "cuboid", **more)
    assert (done.returncode, len(done.stdout.splitlines())) == (2, 1)
    assert words in done.stdout
    assert node.calls() == []


def test_more_than_one_node_is_refused(node: FakeNode, project: Path) -> None:
    code, words = shown()
    node.answer("show", (code, words.replace("NumNodes=1", "NumNodes=2")))
    done = run(node, project, "--exp", "cuboid")
    assert (done.returncode, "2 nodes: a run trains on one" in done.stdout) == (2, True)


def test_a_job_runs_its_task_with_all_arguments_as_they_are(node: FakeNode, project: Path) -> None:
    odd = ["--exp_name", "two_words", "--seed=7", "--train_timesteps", "10M"]
    done = run(node, project, "--exp", "cuboid", *odd)
    assert done.returncode == 75, done.stdout
    place = folder(project)
    assert done.stdout == f"mapush: the log of this job is {place.output}\n"
    code = place.asked().code.path
    assert told(project) == [place.job_id, "0", "1", code, "--root", str(project), *odd]
    assert node.calls("scontrol requeue") == [f"scontrol requeue {ID}"]
    assert place.ledger().starts == 1
    assert place.slurm_id() == ID
    (srun,) = node.calls("srun")
    options = "--jobid=8 --nodes=1 --ntasks=1 --export=ALL --kill-on-bad-exit=1 --cpus-per-task=2"
    assert srun.startswith(f"srun {options} ")


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
    given: List[str], more: Mapping[str, str], expected: str, node: FakeNode, project: Path
) -> None:
    root = project / expected
    root.mkdir(exist_ok=True)
    (root / "end").write_text("75")
    words = [word.format(project=project) for word in given]
    environment = {name: value.format(project=project) for name, value in more.items()}
    run(node, project, "--exp=cuboid", *words, **environment)
    assert told(root)[4:6] == ["--root", str(root)]
    assert folder(root).ledger().starts == 1


def test_a_restart_finds_its_own_folder_and_code_whatever_became_of_the_tree(
    node: FakeNode, project: Path
) -> None:
    run(node, project, "--exp", "cuboid")
    (project / "task" / "cuboid" / "train.sh").write_text("exit 2")
    node.restarted()
    node.answer("show", shown(restarts=1))
    done = run(node, project, "--exp", "cuboid")
    assert done.returncode == 75
    assert told(project)[:2] == [folder(project).job_id, "1"]
    assert folder(project).ledger().starts == 2
    assert names(project) == [f"slurm-{ID}"]


@pytest.mark.slow
def test_a_number_that_comes_round_again_is_another_job(node: FakeNode, project: Path) -> None:
    jobs = []
    for _ in range(3):
        node.restarted()
        run(node, project, "--exp", "cuboid")
        jobs.append(told(project)[0])
    assert jobs == [f"slurm-{ID}", f"slurm-{ID}.001", f"slurm-{ID}.002"]
    # By time, which a copy of a whole root does not keep.
    os.utime(folder(project, jobs[0]).place, (1, 1))
    node.restarted()
    node.answer("show", shown(restarts=1))
    run(node, project, "--exp", "cuboid")
    assert told(project)[:2] == [f"slurm-{ID}.002", "1"]
    assert [folder(project, name).ledger().starts for name in jobs] == [1, 1, 2]


FOREIGN = {
    "SLURM_ARRAY_JOB_ID": "2",
    "SLURM_ARRAY_TASK_ID": "7",
    "SLURM_RESTART_COUNT": "4",
    "SLURM_MEM_PER_CPU": "500",
    "SLURM_EXPORT_ENV": "NONE",
    "SLURM_TIME_FORMAT": "relative",
    "SLURM_NTASKS": "16",
    "SLURM_JOB_NUM_NODES": "8",
    "MAPUSH_JOB_ID": "another",
    "MAPUSH_JOB_OF": "2",
    "MAPUSH_RESTART_COUNT": "3",
    "MAPUSH_CONTAINER": "/another/job's.sif",
}


def test_what_another_job_has_in_the_environment_changes_nothing(
    node: FakeNode, project: Path
) -> None:
    done = run(node, project, "--exp", "cuboid", **FOREIGN)
    assert done.returncode == 75, done.stdout + said(folder(project))
    assert told(project)[:2] == [f"slurm-{ID}", "0"]
    assert "--seed" not in told(project)
    assert "MAPUSH_ variables are not taken over" in done.stdout
    assert {line.partition("=")[0] for line in node.seen_by("srun")} == {"SLURM_CONF"}


@pytest.mark.parametrize(
    ("given", "seed"),
    [([], ["--seed", "3"]), (["--seed", "9"], ["--seed", "9"]), (["--seed=9"], ["--seed=9"])],
)
def test_a_member_of_an_array_has_its_index_as_seed_unless_told_otherwise(
    given: List[str], seed: List[str], node: FakeNode, project: Path
) -> None:
    array = "ArrayJobId=5 ArrayTaskId=3 "
    node.answer("show", shown(array=array))
    node.answer("requeued", shown("COMPLETING", 1, array=array))
    run(node, project, "--exp", "cuboid", *given)
    assert told(project)[0] == "slurm-5_3"
    assert told(project)[6:] == seed
    assert node.calls("scontrol requeue") == ["scontrol requeue 5_3"]


def test_what_sbatch_took_from_the_environment_is_told(node: FakeNode, project: Path) -> None:
    done = run(node, project, "--exp", "cuboid", SBATCH_NO_REQUEUE="1", SBATCH_QOS="x")
    assert "sbatch has taken from the environment: SBATCH_NO_REQUEUE=1, SBATCH_QOS=x" in done.stdout


def test_what_the_job_asked_sbatch_for_is_kept_for_a_resubmission(
    node: FakeNode, project: Path
) -> None:
    code, words = shown(limit="12:00:00")
    asked = words.replace("Account=(null)", "Account=lab42")
    node.answer("show", (code, asked + "   TresPerNode=gres:gpu:a100:1\n"))
    run(node, project, "--exp", "cuboid")
    request = folder(project).asked()
    profile = request.profile
    assert (profile.account, profile.time, profile.memory) == ("lab42", "12:00:00", "8G")
    assert request.gpus == 1


def test_lines_of_setup_run_first_whatever_they_leave_unset(node: FakeNode, project: Path) -> None:
    setup = 'echo "set up $OF_NO_KIND"\nexport MAPUSH_SETUP_RAN="yes"; ulimit -n 512'
    text = '# --exp cuboid\necho "ran: $MAPUSH_SETUP_RAN, files: $(ulimit -n)"; exit 2'
    (project / "task" / "cuboid" / "train.sh").write_text(text)
    run(node, project, "--exp", "cuboid", MAPUSH_SETUP=setup)
    output = said(folder(project))
    assert "set up \n" in output
    assert "ran: yes, files: 512\n" in output


@pytest.mark.slow
def test_no_start_up_file_or_function_comes_before_the_supervisor(
    node: FakeNode, project: Path
) -> None:
    startup = project / "startup"
    startup.write_text('echo read >> "$HOME/read"; exit 3', encoding="utf-8")
    odd = {
        "BASH_ENV": str(startup),
        "SHELLOPTS": "errexit:noclobber",
        "BASH_FUNC_exec%%": "() { echo stolen; }",
        "PYTHONHOME": "/nowhere",
        "PYTHONPATH": "/nowhere",
        "LC_ALL": "xx_YY",
        "TMPDIR": "/nowhere",
        "LD_PRELOAD": "",
    }
    done = run(node, project, "--exp", "moon", **odd)
    assert done.returncode == 2, done.stdout
    spool = [str(node.place / "slurm_script"), "--exp", "cuboid"]
    plain = node.environment(SLURM_SUBMIT_DIR="/tmp", BASH_ENV=odd["BASH_ENV"])
    assert "start.py: is not there" in node.run(spool, plain, project).stdout


def test_a_node_without_a_usable_python_is_one_line(node: FakeNode, project: Path) -> None:
    bare = project / "bare"
    bare.mkdir()
    text = SCRIPT.read_text(encoding="utf-8")
    text = re.sub(
        r"/usr/(bin|libexec|local/bin)/(python3|platform-python)", "/nowhere/python3", text
    )
    spool = node.place / "script"
    spool.write_text(text, encoding="utf-8")
    spool.chmod(0o755)
    old = project / "old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    environment = node.environment(PATH=str(bare), PYTHON=str(old), SLURM_SUBMIT_DIR=str(project))
    done = node.run([str(spool), "--exp", "cuboid"], environment, project)
    assert (done.returncode, len(done.stdout.splitlines())) == (2, 1)
    assert "mapush: no Python 3.6 or newer on " in done.stdout


def test_every_shell_script_is_bash_of_2012() -> None:
    # Here-strings and here-documents need room for a temporary file before bash 5.1.
    newer = {
        "here-string": r"<<<",
        "here-document": r"<<-?['\"\\A-Za-z_]",
        "mapfile -d": r"(mapfile|readarray) -d",
        "@Q": r"\$\{\w+@[A-Za-z]\}",
        "nameref": r"(declare|local) -n",
        "wait -n": r"\bwait -n",
        "EPOCHSECONDS": r"EPOCHSECONDS|EPOCHREALTIME|BASH_ARGV0|SRANDOM",
    }
    scripts = [SCRIPT, *(PROJECT / "job").glob("*.sh")]
    found = [
        f"{path.name}:{number}: {name}"
        for path in scripts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for name, pattern in newer.items()
        if re.search(pattern, line.partition(" # ")[0])
    ]
    assert found == []


def test_what_decides_is_python_of_2016_without_other_packages() -> None:
    program = (
        "import sys\nimport mapush.launch.node.supervisor\n"
        "print(sorted(name for name in sys.modules if name.startswith('mapush')))"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path[:0] = [{str(PROJECT)!r}]\n{program}",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    modules = json.loads(done.stdout.replace("'", '"'))
    allowed = re.compile(r"mapush(\.errors|\.checkpoint(\.names)?|\.launch(\.node(\.\w+)?)?)?")
    assert [name for name in modules if not allowed.fullmatch(name)] == []
    vermin = [
        str(Path(sys.executable).with_name("vermin")),
        "-q",
        "-t=3.6-",
        "--no-tips",
        "--violations",
    ]
    places = [str(PROJECT / name.replace(".", "/")) for name in modules]
    files = [f"{p}.py" if Path(f"{p}.py").exists() else f"{p}/__init__.py" for p in places]
    checked = subprocess.run([*vermin, *files], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")
