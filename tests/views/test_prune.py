"""`prune` deletes what the rules do not keep, and nothing that anybody needs."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, List, Set, Tuple

import pytest
from made_runs import make_run, runs_command, steps_in

from mapush.checkpoint.retention import KeepLast
from mapush.checkpoint.store import CheckpointStore
from mapush.errors import CheckpointError, OwnershipError, RequestError
from mapush.evaluation import checkpoints
from mapush.evaluation.figures import Figures
from mapush.evaluation.success_rates import Entry, write_success_rate
from mapush.runs.__main__ import main
from mapush.runs.directory import RunDirectory
from mapush.runs.finish import finish
from mapush.runs.lease import acquire
from mapush.runs.owner import Owner
from mapush.runs.pins import Pin, in_use
from mapush.runs.record import FAILED, FINISHING, PREEMPTED, RUNNING
from mapush.simulators import SimulatorChoice
from tests.checkpoint.checkpoint_states import state_at
from tests.support import PROJECT

MILLION = 1_000_000
STEPS = (20_000, 40_000, 60_000, 80_000, 100_000)


def prune(run: RunDirectory, keep: str, *options: str) -> None:
    assert main(["prune", run.name, "--keep", keep, "--root", str(run.root), *options]) == 0


def spoil(run: RunDirectory, *steps: int) -> None:
    for step in steps:
        (run.checkpoints / f"rl_model_{step}_steps" / "module.pt").write_bytes(b"spoilt")


def elsewhere() -> Owner:
    """A process on another host, of which only the heartbeat can be known."""
    fields = {**Owner.current().to_mapping(), "host": "node7", "pid": 4711, "namespace": "other"}
    return Owner.from_mapping(fields)


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        ("all", STEPS),
        ("last=2", STEPS[3:]),
        ("first", (20_000, 100_000)),
        ("every=40000,last=1", (40_000, 80_000, 100_000)),
        ("best=1", (60_000, 100_000)),
        ("best=2,first", (20_000, 40_000, 60_000, 100_000)),
    ],
)
def test_what_the_rules_keep_stays_and_the_rest_goes(
    tmp_path: Path, keep: str, left: Tuple[int, ...]
) -> None:
    run = make_run(tmp_path, STEPS, scores={40_000: 0.5, 60_000: 0.75, 80_000: 0.25})
    prune(run, keep)
    assert steps_in(run) == left
    assert {path.name for path in run.checkpoints.iterdir()} == {
        f"rl_model_{step}_steps" for step in left
    }


def test_the_best_is_by_the_evaluation_where_there_is_one(tmp_path: Path) -> None:
    run = make_run(tmp_path, STEPS, scores={40_000: 0.5, 60_000: 0.75})
    for step, rate in ((20_000, 0.6), (60_000, 0.4)):
        figures = Entry(step, rate, 0.1, 0.9, 300, 12.5, {"collision degree": 0.0})
        write_success_rate(run.results / "success_rate.txt", figures)
    prune(run, "best=1")
    assert steps_in(run) == (20_000, 100_000)


@pytest.mark.slow
def test_a_dry_run_says_what_the_deletion_then_says_in_the_past_tense(tmp_path: Path) -> None:
    run = make_run(tmp_path, STEPS, status=PREEMPTED)
    command = ("prune", run.live, "--keep", "last=1,first", "--root", tmp_path)
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    dry = runs_command(*command, "--dry-run")
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    doomed = [run.checkpoints / f"rl_model_{step}_steps" for step in STEPS[1:4]]
    size = sum(path.stat().st_size for each in doomed for path in each.iterdir())
    done = runs_command(*command)
    assert (dry.returncode, done.returncode) == (0, 0), done.stderr
    assert "rl_model_40000..80000_steps (3)" in dry.stdout
    assert f"would delete 3 of 5, would free {size / 1000:.1f} kB, 2 stay" in dry.stdout
    told = dry.stdout.replace("would delete", "deleted").replace("would free", "freed")
    assert told.split() == done.stdout.split()
    assert steps_in(run) == (20_000, 100_000)


@pytest.mark.parametrize("status", [PREEMPTED, FAILED, "complete"])
def test_a_run_without_a_process_is_pruned_where_it_lies(tmp_path: Path, status: str) -> None:
    run = make_run(tmp_path, STEPS, status=status)
    prune(run, "last=1")
    assert steps_in(run) == STEPS[-1:]


@pytest.mark.parametrize("owner", [Owner.current(), elsewhere()])
def test_a_run_that_a_live_process_trains_is_refused_naming_it(
    tmp_path: Path, owner: Owner
) -> None:
    other = make_run(tmp_path, STEPS)
    run = make_run(tmp_path, STEPS, status=RUNNING, hours=1)
    acquire(run, owner)
    with pytest.raises(OwnershipError, match=f"process {owner.pid} on {owner.host}"):
        main(["prune", other.name, run.name, "--keep", "last=1", "--root", str(tmp_path)])
    assert steps_in(run) == steps_in(other) == STEPS


def test_a_process_that_begins_to_train_the_run_stops_the_pruning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, STEPS, status=PREEMPTED)
    retire = CheckpointStore.retire

    def starting(self: CheckpointStore, *arguments: object) -> bool:
        deleted = retire(self, *arguments)
        acquire(run, elsewhere())
        return deleted

    monkeypatch.setattr(CheckpointStore, "retire", starting)
    with pytest.raises(OwnershipError, match="is being trained"):
        prune(run, "last=1")
    assert steps_in(run) == STEPS[1:]
    assert "deleted 1 of 5" in capsys.readouterr().out


def test_a_run_half_moved_home_is_refused_with_the_mend(tmp_path: Path) -> None:
    run = make_run(tmp_path, STEPS, status=FINISHING)
    with pytest.raises(RequestError, match=f"--run {run.name}"):
        prune(run, "last=1")
    assert steps_in(run) == STEPS


@pytest.mark.parametrize(
    ("bad", "left"),
    [
        ((100_000,), (80_000, 100_000)),
        ((100_000, 80_000), (60_000, 100_000)),
        ((100_000, 80_000, 60_000, 40_000), (20_000, 100_000)),
    ],
)
def test_the_newest_valid_one_stays_whatever_the_rules_say(
    tmp_path: Path, bad: Tuple[int, ...], left: Tuple[int, ...]
) -> None:
    run = make_run(tmp_path, STEPS)
    spoil(run, *bad)
    prune(run, "last=1")
    assert steps_in(run) == left


def test_a_run_without_a_valid_checkpoint_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "two words"
    run = make_run(root, STEPS)
    spoil(run, *STEPS)
    with pytest.raises(CheckpointError, match="none of its 5 checkpoints is valid") as caught:
        prune(run, "last=1")
    see = str(caught.value).rpartition(": ")[2]
    words = ["python", "-m", "mapush.runs", "verify", run.name, "--root", str(root)]
    assert shlex.split(see) == words
    assert steps_in(run) == STEPS


def test_set_aside_ones_are_left_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path, STEPS)
    (run.checkpoints / "rl_model_20000_steps").rename(
        run.checkpoints / "rl_model_20000_steps.bad-1"
    )
    prune(run, "last=1")
    assert (run.checkpoints / "rl_model_20000_steps.bad-1").is_dir()


def module_of(run: RunDirectory, step: int) -> str:
    return str(run.checkpoints.resolve() / f"rl_model_{step}_steps" / "module.pt")


@pytest.mark.parametrize(
    ("status", "alive", "own", "stays"),
    [
        (RUNNING, True, (), True),
        (RUNNING, True, (60_000,), True),
        (RUNNING, False, (), True),  # it could only begin from there again
        (PREEMPTED, False, (), True),
        (RUNNING, False, (60_000,), False),
        (PREEMPTED, False, (60_000,), False),
        ("complete", False, (), False),
    ],
)
def test_what_another_run_began_from_stays_while_that_needs_it(
    tmp_path: Path, status: str, alive: bool, own: Tuple[int, ...], stays: bool
) -> None:
    run = make_run(tmp_path, STEPS)
    other = make_run(tmp_path, own, status=status, hours=1, checkpoint=module_of(run, 40_000))
    if alive:
        acquire(other, elsewhere())
    prune(run, "last=1")
    assert steps_in(run) == ((40_000, 100_000) if stays else (100_000,))


def test_what_another_run_began_from_stays_also_after_its_own_run_has_moved_home(
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path, STEPS, status=PREEMPTED)
    make_run(tmp_path, (), status=RUNNING, hours=1, checkpoint=module_of(run, 40_000))
    finish(run)
    prune(run, "last=1")
    assert steps_in(run) == (40_000, 100_000)


HOLD = (
    "import sys, pathlib\n"
    "from mapush.runs.owner import Owner\n"
    "from mapush.runs.pins import Pin\n"
    "pin = Pin(pathlib.Path(sys.argv[1]), Owner.current(), 'evaluation')\n"
    "steps = [int(step) for step in sys.argv[2:]]\n"
    "if steps: pin.narrow(steps)\n"
    "print('held', flush=True)\n"
    "sys.stdin.read()\n"
    "pin.close()\n"
)


@pytest.fixture
def holders() -> Iterator[List[subprocess.Popen]]:
    started: List[subprocess.Popen] = []
    yield started
    for each in started:
        each.kill()
        each.communicate()


def hold(run: RunDirectory, *steps: int) -> subprocess.Popen:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.checkpoints), *map(str, steps)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


@pytest.mark.parametrize("steps", [(), (20_000, 60_000)])
def test_what_another_process_needs_stays_until_that_ends_or_is_killed(
    tmp_path: Path, steps: Tuple[int, ...], holders: List[subprocess.Popen]
) -> None:
    run = make_run(tmp_path, STEPS, status=PREEMPTED)
    holders.append(hold(run, *steps))
    prune(run, "last=1")
    assert steps_in(run) == ((*steps, 100_000) if steps else STEPS)
    holders[0].kill()
    holders[0].wait()
    prune(run, "last=1")
    assert steps_in(run) == (100_000,)


def test_a_trainer_s_own_retention_spares_it_too(
    tmp_path: Path, holders: List[subprocess.Popen]
) -> None:
    run = make_run(tmp_path, STEPS, status=RUNNING)
    holders.append(hold(run, 40_000))
    store = CheckpointStore(run.checkpoints, KeepLast(1), in_use=in_use(run))
    store.save(state_at(120_000))
    assert steps_in(run) == (40_000, 120_000)
    holders[0].communicate("", timeout=60)
    store.save(state_at(140_000))
    assert steps_in(run) == (140_000,)
    assert not (run.checkpoints / ".in-use").exists()


def test_one_that_is_needed_just_when_it_goes_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, STEPS)
    rename, pins = Path.rename, []

    def renaming(self: Path, target: Path) -> Path:
        moved = rename(self, target)
        if self.name == "rl_model_40000_steps":  # hidden; a process looks for it only now
            pins.append(Pin(run.checkpoints, Owner.current(), "evaluation"))
        return moved

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", renaming)
        prune(run, "last=1")
    assert steps_in(run) == STEPS[1:]
    for pin in pins:
        pin.close()
    assert {path.name for path in run.checkpoints.iterdir()} == {
        f"rl_model_{step}_steps" for step in STEPS[1:]
    }


def test_an_evaluation_of_the_run_keeps_what_it_has_not_come_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, STEPS)
    seen: List[Tuple[int, ...]] = []

    class Policy:
        decimation = 1

    def evaluate(*arguments: object) -> Figures:
        prune(run, "last=1")
        seen.append(steps_in(run))
        return Figures(0.5, 12.5, 300, 0.0, 1.0, {})

    # The small states hold no policy; what is tried here is the order of things.
    monkeypatch.setattr(checkpoints, "build_policy", lambda *arguments: Policy())
    monkeypatch.setattr(checkpoints.Evaluator, "evaluate", evaluate)
    checkpoints.evaluate_run(tmp_path, run.name, SimulatorChoice("mujoco"), 300, 0)
    assert seen == [STEPS[number:] if number else STEPS for number in range(len(STEPS))]
    prune(run, "last=1")
    assert steps_in(run) == (100_000,)


# The cleanup that the description of this naming scheme recommends, word for word.
OPTION_1 = "rm -rf rl_model_[1-9]0000000_steps/  # Remove 10M, 20M, ..., 90M"
OPTION_2 = 'find . -name "rl_model_*_steps" | sort | head -n -5 | xargs rm -rf'
MILESTONES = tuple(range(10 * MILLION, 100 * MILLION + 1, 10 * MILLION))
RECENT = tuple(range(100 * MILLION - 80_000, 100 * MILLION, 20_000))


def shell(line: str, run: RunDirectory) -> Set[int]:
    environment = {**os.environ, "LC_ALL": "C"}
    subprocess.run(["bash", "-c", line], cwd=run.checkpoints, env=environment, check=True)
    return set(steps_in(run))


def test_the_recommended_shell_recipes_delete_the_100m_checkpoint_and_prune_does_not(
    tmp_path: Path,
) -> None:
    roots: Dict[str, RunDirectory] = {}
    first = make_run(tmp_path / "first", sorted({*MILESTONES, *RECENT}))
    for name in ("second", "both", "ours"):
        shutil.copytree(first.root, tmp_path / name)
        roots[name] = RunDirectory(
            tmp_path / name,
            tmp_path / name / "log" / "none",
            tmp_path / name / "results" / first.name,
        )
    # "Keep only milestone checkpoints" keeps everything but the milestones.
    assert shell(OPTION_1, first) == {100 * MILLION, *RECENT}
    # "Keep last 5 checkpoints + 100M" sorts names: 100000000 comes before 10000000.
    assert 100 * MILLION not in shell(OPTION_2, roots["second"])
    shell(OPTION_1, roots["both"])
    shell(OPTION_2, roots["both"])
    assert 100 * MILLION in steps_in(roots["both"])  # five are left by the first
    prune(roots["ours"], "last=5,every=10000000")
    assert set(steps_in(roots["ours"])) == {*MILESTONES, *RECENT}
    prune(roots["ours"], "last=5")
    assert set(steps_in(roots["ours"])) == {100 * MILLION, *RECENT}
