"""What starts a job's trainer and starts it again: SLURM, or this process where there is none."""

import contextlib
import os
import signal
import sys
import time
from typing import Any, Dict, List, Mapping, Optional

from mapush.launch.node import slurm
from mapush.launch.node.log import say
from mapush.launch.node.signals import STOPPING, Child, Signals, start
from mapush.launch.node.verdict import signal_name

OURS, REQUEUED, CANCELLED, SILENT = "ours", "requeued", "cancelled", "silent"
"""How an interrupted job stands: to be requeued by us, requeued by somebody, ended by somebody, or
SLURM has not said so."""

_WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "CONFIGURING")
_TRIES = 90
_PAUSE = 10.0
"""Seconds between two tries: 15 minutes in all, longer than any grace time before a preemption."""
_QUICK_TRIES, _QUICK_PAUSE = 10, 0.2  # first: KILL may follow within seconds

# Becomes the child shell, in the user's environment.
START = os.path.join(os.path.dirname(os.path.abspath(__file__)), "start.py")
STEP = (sys.executable, "-I", "-S", "-B", START, "step")


class Here:
    """No scheduler: the trainer is a child of the supervisor and is started again by it."""

    slurm_id = raw_id = ""
    restarts, may_requeue = 0, True

    def __init__(self, signals: Signals) -> None:
        self.signals = signals

    def start(self, words: List[str], environment: Dict[str, str], directory: str) -> Child:
        """Start the trainer."""
        return start([*STEP, *words], environment, directory)

    def pass_on(self, number: int, child: Child) -> None:
        """A signal has come: to the trainer."""
        child.send_signal(number)

    def standing(self) -> str:
        """Whether somebody has asked for the job's end."""
        return CANCELLED if set(self.signals.seen) & set(STOPPING) else OURS

    def again(self, wait: float) -> str:
        """Wait until the next start is due; how the job stands then."""
        self.signals.sleep(wait, until=STOPPING)
        return self.standing()


class Slurm:
    """SLURM: the trainer is a step of srun, and a restart is a requeue.

    Args:
        environment: The job's, as the batch script found it.
        signals: Of this process.
    """

    def __init__(self, environment: Mapping[str, str], signals: Signals) -> None:
        self.environment = environment
        self.signals = signals
        self._requeued = False
        self.raw_id = environment["SLURM_JOB_ID"]
        array, index = (environment.get("SLURM_ARRAY_" + name) for name in ("JOB_ID", "TASK_ID"))
        self.slurm_id = f"{array}_{index}" if array and index else self.raw_id
        restarts = environment.get("SLURM_RESTART_COUNT", "")
        self.restarts = int(restarts) if restarts.isdigit() else 0
        self.nodes, self.may_requeue = 1, True
        self.asked: Mapping[str, str] = {}
        self._is_known = False
        try:
            self._ask(_QUICK_TRIES)
        except slurm.SlurmError as error:
            # They may be another job's; it is asked again before anything is done to the job.
            say(f"{error}; what the environment says of the job is believed")

    @property
    def index(self) -> Optional[int]:
        """The job's index in its array."""
        index = self.slurm_id.partition("_")[2]
        return int(index) if index else None

    def start(self, words: List[str], environment: Dict[str, str], directory: str) -> Child:
        """Start the trainer as a step with everything that the job has.

        srun is told by options what it would else take from SLURM's variables, which may be those
        of the job that this one was submitted from.

        Raises:
            slurm.NoCommand: srun is not there.
        """
        srun = slurm.find("srun", environment)
        if srun is None:
            raise slurm.NoCommand("srun: not found in PATH ({})".format(environment.get("PATH")))
        options = ["--jobid=" + self.raw_id, "--nodes=1", "--ntasks=1", "--export=ALL"]
        options += ["--kill-on-bad-exit=1"]
        cpus = self.environment.get("SLURM_CPUS_ON_NODE", "")
        if cpus.isdigit():
            options.append("--cpus-per-task=" + cpus)
        return start([srun, *options, *STEP, *words], slurm.clean(environment), directory)

    def pass_on(self, number: int, child: Child) -> None:
        """A signal has come to the batch script alone, or SLURM ends the job.

        While the job runs, the signal is handed on to the step. If it is the end of the job, the
        requeue comes first: KILL follows TERM by 5 s, and the step's end may take longer.
        """
        try:
            found = self._ask(1)
            if found.state == "RUNNING":
                self._call("scancel", "--signal=" + signal_name(number)[3:], found.id)
                return
        except slurm.SlurmError:
            child.send_signal(number)
            return
        if number == signal.SIGTERM and self._judge(found) == OURS and self.may_requeue:
            self.again(0.0, tries=1)

    def standing(self) -> str:
        """Whether the job is to be requeued, has been, or was ended by somebody."""
        if self._requeued:
            return REQUEUED
        try:
            return self._judge(self._ask(_TRIES))
        except slurm.SlurmError as error:
            say(str(error))
            return SILENT

    def again(self, wait: float, tries: int = _TRIES) -> str:
        """Requeue the job, for a start so many seconds later.

        Returns:
            `REQUEUED`; `OURS` if the trainer is to be started again in place, since this node
            cannot requeue; `CANCELLED`; or `SILENT` if SLURM has not done it in 15 minutes.
        """
        for tried in range(tries):
            try:
                found = self._ask(1)
                standing = REQUEUED if self._requeued else self._judge(found)
                if standing != OURS:
                    by = {REQUEUED: "requeued by SLURM", CANCELLED: "cancelled, so not requeued"}
                    say(by[standing])
                    return standing
                self._call("scontrol", "requeue", found.id, seconds=60.0)
            except slurm.NoCommand as error:
                say(str(error))
                if signal.SIGTERM in self.signals.seen:
                    return SILENT  # SLURM ends the job; why cannot be asked
                say("the trainer is started again in place")
                self.signals.sleep(wait)
                return OURS
            except slurm.SlurmError as error:
                # A job that ends here stays ended. If SLURM is about to preempt it, SLURM requeues
                # it by itself as long as the job stays.
                say(f"{error}; trying again")
                if tried + 1 < tries:
                    self.signals.sleep(_PAUSE)
                continue
            self._requeued = True
            say("requeued")
            if wait:
                # SLURM takes a time only once the job is requeued, and before it waits by itself.
                begin = f"StartTime=now+{wait:.0f}"
                with contextlib.suppress(slurm.SlurmError):
                    self._call("scontrol", "update", "JobId=" + found.id, begin)
            return REQUEUED
        return SILENT

    def _judge(self, found: slurm.Job) -> str:
        if found.restarts > self.restarts or found.state in _WAITING:
            return REQUEUED
        now = time.time()
        has_timed_out = found.start and found.limit and now - found.start >= found.limit
        if found.state in ("RUNNING", "SUSPENDED", "STOPPED") or has_timed_out:
            return OURS
        if found.preempted is not None and found.preempted == found.end:
            # A partition that cancels what it preempts. Anybody's scancel looks the same but for
            # this, and a requeue would bring that job back.
            return OURS
        return CANCELLED

    def _ask(self, tries: int) -> slurm.Job:
        tried = 0
        while True:
            tried += 1
            try:
                found = slurm.job(self.raw_id, self.environment)
                if found.state == slurm.GONE:
                    raise slurm.SlurmError(f"SLURM does not know job {self.raw_id}")
                if not self._is_known and found.state == "RUNNING":
                    # SLURM is believed instead of the environment.
                    self._is_known = True
                    self.slurm_id, self.restarts = found.id, found.restarts
                    self.nodes, self.may_requeue = found.node_count, found.may_requeue
                    self.asked = found.fields
                return found
            except slurm.NoCommand:
                raise  # it will not come by waiting
            except slurm.SlurmError as error:
                if tried >= tries:
                    raise
                if tried >= _QUICK_TRIES:
                    say(f"{error}; asking again")
            self.signals.sleep(_QUICK_PAUSE if tried < _QUICK_TRIES else _PAUSE)

    def _call(self, command: str, *arguments: str, **options: Any) -> None:
        slurm.call(command, *arguments, environment=self.environment, **options)
