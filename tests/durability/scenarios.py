"""What a run does to its files, each as an operation to attack and a judge of what is left.

A judge does what the next start does by itself, and fails an assertion where anything is lost.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import OrderedDict
from datetime import datetime
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest
import torch

from mapush.checkpoint import retention
from mapush.checkpoint.store import CheckpointStore, load_entry
from mapush.errors import LostRunError, StorageError
from mapush.files import storage_errors
from mapush.runs import record
from mapush.runs.directory import RunDirectory
from mapush.runs.finish import finish
from mapush.runs.lease import LEASES, Lease, acquire, file_system_time
from mapush.runs.listing import find_by_job, runs
from mapush.runs.naming import reserve
from mapush.runs.owner import Owner
from mapush.training.interruption import SignalFlag
from mapush.training.request import Request
from mapush.training.trainer import train
from tests.durability.injection import CALLS, DEFECT, LOOKS, Operation, Outcome
from tests.support import SMALL, differences

START = datetime(2025, 10, 28, 18, 7, 58)
JOB = "7"
OLD, NEW, NEXT = 40_000, 60_000, 80_000


class Scenario:
    """One operation of a run.

    Args:
        template: Where the state before it is made, once.
    """

    name: str
    calls: Tuple[str, ...] = (*CALLS, *LOOKS)
    """The system calls that are attacked."""
    share_of_faults = 41
    """Of all calls x errors x once or for good, the tests try one in so many; the benchmark all."""
    refusals: Tuple[int, ...] = (2,)
    """Exit codes of a fault that is said in one line."""

    def __init__(self, template: Path) -> None:
        self.template = template
        self.make(template)

    def make(self, root: Path) -> None:
        """Make the state before the operation."""
        raise NotImplementedError

    def prepare(self, root: Path) -> Operation:
        """Get ready, in the process that will be attacked, and return the operation."""
        raise NotImplementedError

    def judge(self, root: Path, outcome: Outcome) -> None:
        """Start again, and fail if anything is lost."""
        raise NotImplementedError

    def copy(self, root: Path) -> Path:
        """The state before the operation, anew."""
        return Path(shutil.copytree(self.template, root, symlinks=True))

    def assert_explained(self, outcome: Outcome) -> None:
        """A fault of the storage is said in one line; it is never a defect."""
        assert outcome.killed or outcome.code in (0, *self.refusals), outcome.said
        assert outcome.code != DEFECT
        if outcome.code in self.refusals:
            assert outcome.said
            assert "\n" not in outcome.said


def state_at(step: int) -> Dict[str, Any]:
    """A state of about the size of a real one, different at every step."""
    draw = torch.Generator().manual_seed(step)
    weights = OrderedDict((f"w{number}", torch.randn(64, 64, generator=draw)) for number in "abcd")
    return {
        "format": "mapush-1",
        "actor_network": weights,
        "critic_network": OrderedDict(weights),
        "value_normalizer": {"running_mean": torch.tensor([0.5])},
        "optimizer_state": {"state": {0: {"exp_avg": torch.randn(64, 64, generator=draw)}}},
        "training_step": step,
        "epoch": step // 20_000,
        "network_architecture": {"hidden_sizes": [64, 64]},
        "rng": {"torch": draw.get_state()},
        "environment_state": {"qpos": torch.zeros(200, 30, dtype=torch.float64)},
        "config": {"exp": "cuboid"},
    }


def this_process() -> Owner:
    """This process as job 7."""
    return Owner.current(JOB, 0)


def the_run(root: Path) -> RunDirectory:
    """The run of job 7, found as a restarted job finds it."""
    warnings: List[str] = []
    found = find_by_job(root, JOB, warnings.append)
    assert found is not None
    assert warnings == []
    return found


def goes_on(root: Path, outcome: Optional[Outcome] = None) -> Tuple[RunDirectory, Lease]:
    """What the next start does first; the process that was attacked is dead by now.

    A killed one is known to be dead. One whose /proc could not be read is not, until its
    heartbeat is old.
    """
    run = the_run(root)
    if outcome is None or outcome.killed:
        return run, acquire(run, this_process())
    return run, acquire(run, this_process(), lambda place: file_system_time(place) + 100)


def new_run(root: Path) -> RunDirectory:
    return reserve(root, "cuboid", "go1push_mid", START, Owner.current(JOB, 0), {"seed": 1})


def hidden(directory: Path) -> List[str]:
    return sorted(path.name for path in directory.rglob(".*") if path.name.endswith(".tmp"))


class Save(Scenario):
    """A save by the owner of a run: publish, then retire what retention does not keep."""

    name = "a save"

    def make(self, root: Path) -> None:
        store = CheckpointStore(new_run(root).checkpoints)
        for step in (20_000, OLD):
            store.save(state_at(step), {"success_rate": 0.5})

    def prepare(self, root: Path) -> Operation:
        run, ownership = goes_on(root)
        store = CheckpointStore(run.checkpoints, retention.KeepLast(2), ownership.check)

        def save() -> None:
            try:
                store.save(state_at(NEW))
            except StorageError:
                # The next boundary, as the loop would; faults that have passed must not last.
                with contextlib.suppress(StorageError):
                    store.save(state_at(NEXT))
                raise

        return save

    def judge(self, root: Path, outcome: Outcome) -> None:
        self.assert_explained(outcome)
        warnings: List[str] = []
        run, ownership = goes_on(root, outcome)
        for entry in CheckpointStore(run.checkpoints).entries():
            load_entry(entry)
        store = CheckpointStore(
            run.checkpoints, retention.KeepLast(2), ownership.check, warnings.append
        )
        newest = store.newest_valid()
        assert newest is not None
        step = newest[0].step
        assert step in ((OLD, NEW) if outcome.killed else (OLD, NEW, NEXT))
        if outcome.code == 0:
            assert step == NEW
        assert differences(newest[1], state_at(step)) == []
        assert warnings == []
        store.save(state_at(NEXT))
        names = sorted(path.name for path in run.checkpoints.iterdir())
        kept = [entry.path.name for entry in store.entries()]
        assert kept[-1] == f"rl_model_{NEXT}_steps"
        assert names == sorted(kept), "leftovers"


class GoOn(Scenario):
    """The begin of a restart: take the run over, clean up, set a damaged checkpoint aside."""

    name = "a restart"

    def make(self, root: Path) -> None:
        run = new_run(root)
        store = CheckpointStore(run.checkpoints)
        for step in (OLD, NEW):
            store.save(state_at(step))
        module = run.checkpoints / f"rl_model_{NEW}_steps" / "module.pt"
        module.write_bytes(module.read_bytes()[:-1000])
        half = run.checkpoints / f".rl_model_{NEXT}_steps.0123abcd.tmp"
        half.mkdir()
        (half / "module.pt").write_bytes(b"half")

    def prepare(self, root: Path) -> Operation:
        def go_on() -> None:
            with storage_errors(root):
                run, ownership = goes_on(root)
                found = CheckpointStore(run.checkpoints, guard=ownership.check).newest_valid()
            assert found is not None
            assert found[0].step == OLD

        return go_on

    def judge(self, root: Path, outcome: Outcome) -> None:
        self.assert_explained(outcome)
        run, ownership = goes_on(root, outcome)
        store = CheckpointStore(run.checkpoints, guard=ownership.check, warn=lambda _: None)
        newest = store.newest_valid()
        assert newest is not None
        assert differences(newest[1], state_at(OLD)) == []
        names = sorted(path.name for path in run.checkpoints.iterdir())
        assert names == [f"rl_model_{OLD}_steps", f"rl_model_{NEW}_steps.bad-1"]


class Takeover(Scenario):
    """The run of an owner that has gone silent is taken over."""

    name = "a takeover"

    def make(self, root: Path) -> None:
        run = new_run(root)
        acquire(run, this_process())
        lease = run.live / LEASES / "000001"
        lease.write_text(lease.read_text().replace(this_process().host, "node7"))
        os.utime(lease, (0, 0))

    def prepare(self, root: Path) -> Operation:
        def take_over() -> None:
            with storage_errors(root):
                goes_on(root)

        return take_over

    def judge(self, root: Path, outcome: Outcome) -> None:
        self.assert_explained(outcome)
        before = Lease(the_run(root), this_process(), 1)
        run, ownership = goes_on(root, outcome)
        ownership.check()
        with pytest.raises(LostRunError):
            before.check()
        leases = [name for name in os.listdir(run.live / LEASES) if name[0] != "."]
        assert leases == [f"{ownership.generation:06d}"]


class Reserve(Scenario):
    """A start takes its two directories, where another run has the name already."""

    name = "a reservation"

    def make(self, root: Path) -> None:
        reserve(root, "cuboid", "go1push_mid", START, Owner.current("other", 0))

    def prepare(self, root: Path) -> Operation:
        return lambda: acquire(new_run(root), this_process())

    def judge(self, root: Path, outcome: Outcome) -> None:
        self.assert_explained(outcome)
        warnings: List[str] = []
        there = root / "results" / "10-28-18_cuboid" / record.FILE_NAME
        before = self.template / "results" / "10-28-18_cuboid" / record.FILE_NAME
        assert there.read_bytes() == before.read_bytes()
        run = find_by_job(root, JOB, warnings.append)
        if outcome.code == 0:
            assert run is not None
        if run is None:
            new_run(root)
        run, ownership = goes_on(root, outcome)
        ownership.check()
        assert run.update(status=record.PREEMPTED).owner.job_id == JOB
        assert len(runs(root, warnings.append)) == 2
        assert warnings == []
        finish(run)
        assert hidden(run.results) == []
        assert not run.live.exists()


class Record(Scenario):
    """A run notes in both its records how it stands, and lets go of its lease."""

    name = "a record"

    def make(self, root: Path) -> None:
        new_run(root)

    def prepare(self, root: Path) -> Operation:
        run, ownership = goes_on(root)

        def stop() -> None:
            run.update(status=record.PREEMPTED, seed=2)
            ownership.release()

        return stop

    def judge(self, root: Path, outcome: Outcome) -> None:
        self.assert_explained(outcome)
        run, _ = goes_on(root, outcome)
        for place in (run.live, run.results):
            found = record.read(place / record.FILE_NAME)
            assert (found.status, found.seed) in ((record.RUNNING, 1), (record.PREEMPTED, 2))
        finish(run)
        assert hidden(run.results) == []


class Finish(Scenario):
    """The final move of a real run; judged by the trainer itself, started again."""

    name = "a final move"

    def make(self, root: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mapush.training.standing.finish", _stopped)
            patch.setenv("MAPUSH_JOB_ID", JOB)
            with contextlib.suppress(LostRunError):
                train_main(self.command(root))
        shutil.rmtree(the_run(root).live / LEASES)
        self.content = self._content(the_run(root).live)

    def command(self, root: Path) -> List[str]:
        options = "--train_timesteps 800 --eval_freq 0 --final_envs 0".split()
        return [*SMALL, *options, "--root", str(root)]

    def prepare(self, root: Path) -> Operation:
        run, ownership = goes_on(root)
        return lambda: finish(run, ownership.check)

    def judge(self, root: Path, outcome: Outcome) -> None:
        self.assert_explained(outcome)
        run = the_run(root)
        if (run.live / LEASES).is_dir():
            for lease in (run.live / LEASES).glob("0*"):
                os.utime(lease, (0, 0))  # as above, of a process whose death cannot be seen
        with contextlib.redirect_stdout(None):
            assert train(Request(root, run=run.name), SignalFlag()) == 0
        assert run.read().status == record.COMPLETE
        assert not run.live.exists()
        assert hidden(run.results) == []
        found = self._content(run.results)
        assert found == self.content

    def _content(self, directory: Path) -> Dict[str, bytes]:
        """Checkpoints and the task; a trainer that is started again adds to the logs."""
        return {
            path.relative_to(directory).as_posix(): path.read_bytes()
            for path in sorted(directory.rglob("*"))
            if path.is_file() and path.parent.name not in (directory.name, "tensorboard", LEASES)
        }


class FinishByTrainer(Finish):
    """The same move by the trainer, which goes on with a run that is trained to its end."""

    name = "a trainer's end"
    calls = ("rename", "mkdir", "rmdir", "unlink", "link")
    share_of_faults = 7
    refusals = (1,)  # the run was begun, so it is to be tried again

    def prepare(self, root: Path) -> Operation:
        os.environ["MAPUSH_JOB_ID"] = JOB
        return lambda: train_main(self.command(root))


def _stopped(*_: object) -> None:
    raise LostRunError("stopped before the final move")


def train_main(arguments: List[str]) -> int:
    from mapush.train import main

    with contextlib.redirect_stdout(None):
        return main(arguments)


SCENARIOS = (Save, GoOn, Takeover, Reserve, Record, Finish, FinishByTrainer)
