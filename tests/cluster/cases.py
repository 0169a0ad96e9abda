"""What can happen to a job on a cluster, one case each: how it is done and what must come of it."""

from __future__ import annotations

import dataclasses
import os
import signal
from typing import Callable, Dict, Sequence, Tuple

from tests.cluster.cluster import Overdue, wait_for
from tests.cluster.training_job import (
    FORMS,
    STEPS,
    TrainingJob,
    ancestors,
    is_alive,
    process_state,
    processes_of,
)

USER_SIGNAL, STOCK = "user-signal", "stock"
BOTH = (USER_SIGNAL, STOCK)
_REVEILLE_SECONDS = 90.0  # SLURM looks at time limits every 30 s

Attack = Callable[[TrainingJob], None]


@dataclasses.dataclass(frozen=True)
class Case:
    """One thing that happens to a running job, once or several times in a row."""

    name: str
    attack: Attack
    ledger: Tuple[str, ...]
    """What the ledger may call it."""
    partition: str = "low"
    forms: Tuple[str, ...] = FORMS
    clusters: Tuple[str, ...] = (USER_SIGNAL,)
    times: int = 1
    or_more: bool = False
    """Whether it may happen again by itself, which a slow machine cannot prevent."""
    steps: int = STEPS
    time_limit: int = 0
    signal_lead: int = 0
    aftermath: Attack = lambda job: None
    """Done once the training continues."""


def preempt(job: TrainingJob) -> None:
    """A job of a higher partition takes the node."""
    job.cluster.take(job.node())


def requeue(job: TrainingJob) -> None:
    """A person requeues it."""
    job.cluster.run("scontrol", "requeue", job.id)


def send(*options: str) -> Attack:
    """A person signals it."""

    def attack(job: TrainingJob) -> None:
        job.cluster.run("scancel", *options, job.id)

    return attack


def set_down(job: TrainingJob) -> None:
    """An administrator, or SLURM itself, gives the node up."""
    job.cluster.run("scontrol", "update", f"NodeName={job.node()}", "State=DOWN", "Reason=test")


def kill_trainer(job: TrainingJob) -> None:
    """The kernel kills the trainer, as when memory runs out."""
    os.kill(job.trainer(), signal.SIGKILL)


def kill_srun(job: TrainingJob) -> None:
    """The srun of the batch script dies; its step lives on."""
    found = processes_of(job.root)
    for pid, command in found:
        # An srun forks another one off, which ends with it.
        if _is_srun(command) and not _is_srun(ancestors(pid)[1][1]):
            os.kill(pid, signal.SIGKILL)
            return
    raise AssertionError(f"no srun among {found}")


def await_time_limit(job: TrainingJob) -> None:
    """Keep the trainer from being done before the limit: stopped until SLURM wakes it."""
    trainer = job.trainer()
    os.kill(trainer, signal.SIGSTOP)
    wait_for("the time limit's signal", lambda: not _is_stopped(trainer), _REVEILLE_SECONDS)


class LostNode:
    """Node failures: slurmd dies, and the old trainer lives on beside the restarted job."""

    def __init__(self, wakes_with_the_job: bool) -> None:
        """Describe one; the old trainer hangs meanwhile so that it does not finish the run.

        Args:
            wakes_with_the_job: Whether it comes to as the job is started again, or only when the
                new trainer trains already.
        """
        self._early = wakes_with_the_job
        self._old: Dict[str, Tuple[str, int]] = {}

    def attack(self, job: TrainingJob) -> None:
        """Kill slurmd and wait until SLURM has noticed."""
        node, trainer = job.node(), job.trainer()
        self._old[job.id] = (node, trainer)
        job.cluster.kill_slurmd(node)
        os.kill(trainer, signal.SIGSTOP)
        try:
            wait_for("SLURM to give the node up", lambda: job.cluster.restarts(job.id) == 1, 90)
            if self._early:
                wait_for("a new start", lambda: job.cluster.state(job.id) == "RUNNING", 60)
        except Overdue:
            self.wake(job)
            raise
        if self._early:
            self.wake(job)

    def wake(self, job: TrainingJob) -> None:
        """The old trainer goes on where it was."""
        _, trainer = self._old[job.id]
        if _is_stopped(trainer):
            os.kill(trainer, signal.SIGCONT)

    def aftermath(self, job: TrainingJob) -> None:
        """Wake the old trainer, see it end, and bring the node back."""
        node, trainer = self._old[job.id]
        self.wake(job)
        wait_for("the old trainer's end", lambda: not is_alive(trainer), 30)
        job.cluster.revive(node)


def _lost_node(name: str, early: bool, ledger: Sequence[str]) -> Case:
    lost = LostNode(early)
    # The old trainer, once awake, must not be done before the new one has started.
    steps = 2 * LONG if early else STEPS
    ends = tuple(ledger)
    return Case(name, lost.attack, ends, steps=steps, aftermath=lost.aftermath, clusters=(STOCK,))


# From its submission until the preempting job is looked at, a second or two go by.
LONG = 2 * STEPS
PREEMPTED = ("SIGTERM", "SIGUSR2")
# Those that take longest come first: a pool is then done sooner.
CASES = (
    Case("preempted 5 times", preempt, PREEMPTED, times=5, steps=2 * LONG, clusters=(STOCK,)),
    Case("time limit", await_time_limit, ("SIGUSR2",), time_limit=1, signal_lead=10, or_more=True),
    _lost_node("slurmd killed, trainer wakes at the restart", True, ["killed", "SIGTERM"]),
    _lost_node("slurmd killed, trainer wakes later", False, ["killed"]),
    Case("preempted, GraceTime 8", preempt, PREEMPTED, clusters=BOTH, steps=LONG),
    Case("preempted, GraceTime 0", preempt, PREEMPTED, "lowng", clusters=BOTH, steps=LONG),
    Case("preempted by CANCEL, GraceTime 8", preempt, PREEMPTED, "lowcancel", steps=LONG),
    Case(
        "preempted by CANCEL, GraceTime 0",
        preempt,
        PREEMPTED,
        "lowcancelng",
        clusters=(STOCK,),
        steps=LONG,
    ),
    Case("scontrol requeue", requeue, ("SIGTERM",)),
    Case("scancel --signal=USR1", send("--signal=USR1"), ("SIGUSR1",)),
    Case("scancel --signal=TERM", send("--signal=TERM"), ("SIGTERM",), clusters=(STOCK,)),
    Case("scancel --batch --signal=USR1", send("--batch", "--signal=USR1"), ("SIGUSR1",)),
    Case("scancel --full --signal=USR1", send("--full", "--signal=USR1"), ("SIGUSR1",)),
    Case(
        "scancel --full --signal=TERM",
        send("--full", "--signal=TERM"),
        ("SIGTERM", "killed"),
        clusters=(STOCK,),
    ),
    Case("node DOWN", set_down, ("SIGTERM",), clusters=(STOCK,)),
    Case("trainer killed", kill_trainer, ("killed",)),
    Case("srun killed", kill_srun, ("killed", "SIGTERM", "SIGUSR2"), clusters=(STOCK,)),
)


def _is_srun(command: str) -> bool:
    return command.split()[0].rpartition("/")[2] == "srun"


def _is_stopped(pid: int) -> bool:
    return process_state(pid) == "T"
