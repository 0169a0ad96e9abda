"""Runs one case with one real job and judges what came of it."""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import threading
import time
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import torch

from tests.cluster.cases import Case
from tests.cluster.cluster import Cluster
from tests.cluster.training_job import SETTINGS, STEPS, Cost, TrainingJob, processes_of, start
from tests.support import differences, run_train


@dataclasses.dataclass
class Result:
    """What came of a job."""

    state: str
    requeues: int
    costs: List[Cost]
    identical: bool
    """Whether the final weights are those of the run that nobody disturbed, to the bit."""
    problems: List[str]
    """Everything that was promised and is not so; each says enough to understand it."""


class References:
    """Runs that nobody disturbs, made once each, when somebody first wants to compare."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._locks: Dict[Tuple[int, int], threading.Lock] = {}

    def module(self, steps: int = STEPS, seed: int = 1) -> Path:
        """The last module.pt of such a run."""
        root = self._place / f"{steps}-{seed}"
        with self._lock:
            lock = self._locks.setdefault((steps, seed), threading.Lock())
        with lock:
            if not (root / "results").is_dir():
                options = ["--train_timesteps", str(steps), "--seed", str(seed)]
                done = run_train(root, *SETTINGS, *options)
                if done.returncode:
                    raise AssertionError(f"the reference: {done.stderr}")
        (run,) = (path for path in (root / "results").iterdir() if path.is_dir())
        return run / "checkpoints" / f"rl_model_{steps}_steps" / "module.pt"


def play(case: Case, form: str, cluster: Cluster, root: Path, references: References) -> Result:
    """Send a job off, do to it what the case says, and see how it ends.

    Raises:
        AssertionError: If something that is waited for does not come.
    """
    with cluster.pair() as constraint, ended(root):
        job = start(
            cluster,
            form,
            root,
            constraint,
            case.partition,
            steps=case.steps,
            time_limit=case.time_limit,
            signal_lead=case.signal_lead,
        )
        job.await_training()
        costs = []
        for number in range(1, case.times + 1):
            begun = time.time()
            case.attack(job)
            costs.append(job.interruption(number, begun))
            case.aftermath(job)
        state = job.await_end()
        times = max(case.times, len(job.ledger())) if case.or_more else case.times
        reference = references.module(case.steps)
        return alone(job, judge(job, state, costs, case.ledger, reference, times, times))


def judge(
    job: TrainingJob,
    state: str,
    costs: List[Cost],
    ledger: Sequence[str],
    reference: Path,
    interruptions: int,
    requeues: int,
) -> Result:
    """Compare a job that has ended with what was promised.

    Args:
        job: The job.
        state: SLURM's last word on it.
        costs: Of its interruptions, as far as they were measured.
        ledger: What they may be called.
        reference: The last module.pt of an undisturbed run.
        interruptions: How many there should be.
        requeues: How many there should be.
    """
    problems: List[str] = []

    def expect(what: str, found: object, wanted: object) -> None:
        if found != wanted:
            problems.append(f"{what}: {found!r} instead of {wanted!r}")

    found_requeues = job.cluster.restarts(job.id)
    record = job.record()
    names = [str(each["signal"]) for each in job.ledger()]
    expect("state", state, "COMPLETED")
    expect("status in run.yaml", record.get("status"), "complete")
    expect("requeues", found_requeues, requeues)
    expect("interruptions in run.yaml", len(names), interruptions)
    expect("lines of interruptions in log.txt", job.interrupted_lines(), names)
    expect("lines of going on in log.txt", job.going_on_lines(), interruptions)
    expect("live directory left", (job.root / str(record.get("live"))).exists(), False)
    if not set(names) <= set(ledger):
        problems.append(f"the ledger has {names}, and only {list(ledger)} may be there")
    final = job.folder / "run" / "checkpoints" / reference.parent.name / "module.pt"
    identical = final.is_file() and same_weights(final, reference)
    expect("final weights as without interruption", identical, True)
    if problems:
        problems.append(job.describe())
    return Result(state, found_requeues, costs, identical, problems)


def alone(job: TrainingJob, result: Result) -> Result:
    """The result of a job that has its root for itself, where there may be no second run."""
    if len(job.runs()) != 1 or list(job.root.glob("log/MQE/*/*")):
        result.problems.append(f"{job.root}: results {job.runs()}, and live directories are left")
    return result


def same_weights(first: Path, second: Path) -> bool:
    """Whether two module.pt hold the same state, to the bit."""
    states = [torch.load(path, weights_only=True) for path in (first, second)]
    return not differences(*states)


@contextlib.contextmanager
def ended(root: Path):  # noqa: ANN201
    """Leave no process of a root behind, however the block ends."""
    try:
        yield
    except BaseException:
        for pid, _ in processes_of(root):
            subprocess.run(["kill", "-9", str(pid)], check=False, stderr=subprocess.DEVNULL)
        raise
