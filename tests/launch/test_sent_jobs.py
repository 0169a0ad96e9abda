"""Jobs from the command that sends them to their end: the script that sbatch got, run by bash."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import List

import pytest
from fake_node import ID, FakeNode, said, shown
from fake_trainers import experiment
from login_node import LoginNode

from mapush.launch.jobs import JobFolder, known_jobs
from mapush.submit import main as submit

SEND = ["--exp", "cuboid", "--cluster", "slurm"]
# Ends with 75 the first time, as a preempted trainer does, and completes its run the second time.
TRAINER = """
exec "$PYTHON" - "$@" <<'END'
import os, pathlib, sys
from datetime import datetime
from mapush.runs.finish import finish
from mapush.runs.listing import find_by_job
from mapush.runs.naming import reserve
from mapush.runs.owner import Owner
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
# Writes down what it was called with.
TOLD = 'printf "%s\\0" "$@" > "$MAPUSH_ROOT/told"; exit 75'


class Cluster:
    """A login node, whose sbatch keeps the script, and a node that runs it."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.login = LoginNode(place / "login", monkeypatch)
        self.login.answers(f"Submitted batch job {ID}", queued=ID)
        self.node = FakeNode(place / "node")
        self._place = place

    def start(self, restarts: int = 0, index: str = "") -> int:
        """Start the job as slurmd does, from a copy of the script; its exit code."""
        array = f"ArrayJobId={ID} ArrayTaskId={index} " if index else ""
        self.node.restarted()
        self.node.answer("show", shown(restarts=restarts, array=array))
        self.node.answer("requeued", shown("COMPLETING", restarts + 1, array=array))
        script = self._place / "slurm_script"
        shutil.copy(self.login.place / "script", script)
        script.chmod(0o700)
        done = self.node.run([str(script)], self.node.environment(), self._place)
        text = self.login.script()
        (word,) = shlex.split(re.findall(r"^#SBATCH (--output=.*)", text, re.MULTILINE)[0])
        output = Path(word.partition("=")[2].replace("%a", index))
        with output.open("a", encoding="utf-8") as log:
            log.write(done.stdout)
        return done.returncode


@pytest.fixture(name="cluster")
def made_up_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return Cluster(tmp_path, monkeypatch)


def lines(place: JobFolder, beginning: str) -> List[str]:
    return [line for line in said(place).splitlines() if line.startswith(beginning)]


@pytest.mark.slow
def test_a_job_that_was_sent_off_is_requeued_and_completes(cluster: Cluster) -> None:
    experiment(Path(), TRAINER)
    assert submit(SEND) == 0
    # What the tree is then changed to is nothing to the job.
    experiment(Path(), "exit 2")
    assert cluster.start() == 75
    assert cluster.node.calls("scontrol requeue") == [f"scontrol requeue {ID}"]
    (place,) = known_jobs(Path())
    assert place.outcome() is None
    assert cluster.start(restarts=1) == 0, said(place)
    assert cluster.node.calls("scontrol requeue") == []
    outcome = place.outcome()
    assert outcome is not None
    assert (outcome.exit_code, outcome.reason) == (0, "the trainer is done")
    assert lines(place, "restart") == ["restart 0 True", "restart 1 True"]
    assert len(list(Path("results").glob("*_cuboid"))) == 1
    assert place.ledger().starts == 2


@pytest.mark.parametrize("code", [2, 75])
def test_a_job_without_requeue_ends_with_the_trainers_own_code(code: int, cluster: Cluster) -> None:
    experiment(Path(), f"echo 'mapush: so it is' >&2; exit {code}")
    assert submit([*SEND, "--requeue", "no"]) == 0
    assert cluster.start() == code
    assert cluster.node.calls("scontrol requeue") == []
    outcome = known_jobs(Path())[0].outcome()
    assert outcome is not None
    assert outcome.exit_code == code
    assert "so it is" in outcome.message


ODD = 'it\'s "my" $HOME $(touch executed)`touch executed`;&|*?[x] é'


@pytest.mark.parametrize("index", ["", "1"], ids=["one", "array"])
def test_a_root_and_arguments_of_any_letters_reach_the_trainer_as_they_are(
    index: str, cluster: Cluster, tmp_path: Path
) -> None:
    experiment(Path(), TOLD)
    root = tmp_path / ODD
    checkpoint = root / "a\nb" / "module.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    seeds = ["--seeds", "6", "7"] if index else ["--seed", "7"]
    assert submit([*SEND, "--root", str(root), *seeds, "--checkpoint", str(checkpoint)]) == 0
    assert cluster.start(index=index) == 75
    told = (root / "told").read_text(encoding="utf-8").split("\0")[:-1]
    assert told[:2] == ["--root", str(root)]
    assert sorted([told[2:4], told[4:]]) == [["--checkpoint", str(checkpoint)], ["--seed", "7"]]
    requeued = f"{ID}_{index}" if index else ID
    assert cluster.node.calls("scontrol requeue") == [f"scontrol requeue {requeued}"]
    assert not list(tmp_path.rglob("executed"))
    place = known_jobs(root)[int(index or 0)]
    assert place.ledger().starts == 1
    assert place.slurm_id() == requeued


def test_the_job_runs_in_the_python_that_sent_it_with_the_users_own_lines_first(
    cluster: Cluster,
) -> None:
    experiment(Path(), 'echo "ran: $PYTHON $A"; exit 2')
    assert submit([*SEND, "--setup", "echo set up", "export A='1 2'"]) == 0
    assert cluster.start() == 2
    (place,) = known_jobs(Path())
    text = said(place)
    assert f"ran: {sys.executable} 1 2\n" in text
    assert text.index("set up\n") < text.index("ran: ")
