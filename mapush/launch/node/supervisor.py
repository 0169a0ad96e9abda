"""Brings one job to its end: start the trainer, pass signals on, judge its end, start it again.

Started before any line of the user's, with an environment of its own. What it decides rests on the
trainer's exit code, on the run's files, and on what SLURM says where that matters.
"""

import contextlib
import os
import shlex
import socket
from typing import Iterator, List, Optional, Sequence, Tuple, Union

from mapush.errors import EXIT_BAD_REQUEST, EXIT_COMPLETE, EXIT_FAILURE, EXIT_RUN_AGAIN
from mapush.launch.node import slurm, trainer, verdict
from mapush.launch.node.adoption import adopt
from mapush.launch.node.folder import REQUEST, Folder, Outcome
from mapush.launch.node.log import say, speak_into
from mapush.launch.node.run import Run
from mapush.launch.node.scheduler import CANCELLED, OURS, REQUEUED, Here, Slurm
from mapush.launch.node.signals import Signals, end_of
from mapush.launch.node.verdict import Action, Attempt, Policy, Verdict


class Supervisor:
    """The supervisor of one job.

    Args:
        folder: The job's.
        place: What starts the trainer.

    Raises:
        OSError: Its job.json cannot be read.
        KeyError, TypeError, ValueError: It is damaged.
    """

    def __init__(self, folder: Folder, place: Union[Here, Slurm]) -> None:
        self._folder = folder
        self._request = folder.request()
        self._place = place
        self._node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
        self._ended: List[Attempt] = []
        with contextlib.suppress(OSError):
            self._ended = folder.ledger().ended
        policy = self._request["profile"]
        self._policy = Policy(
            policy["max_failures"],
            policy["max_idle"],
            policy["failure_wait"],
            policy["requeue"] and place.may_requeue,
        )

    def run(self) -> int:
        """The job's exit code, once the trainer is not to be started again by this process."""
        while True:
            begin, restart = self._note_start()
            code = self._train(restart)
            outcome = self._settle(code, begin, restart)
            if outcome is not None:
                return outcome

    def _note_start(self) -> Tuple[int, int]:
        """Write the start down; the log's size and how often a trainer was started before."""
        begin, starts = self._folder.log_bytes(), 0
        self._folder.clear_outcome()
        with _tolerated("this start"):
            starts = self._folder.ledger().starts
            self._folder.note("start", node=self._node, slurm=self._place.slurm_id)
        # A full disk may have kept some starts from being written down.
        restart = max(starts, self._place.restarts)
        job = f", SLURM job {self._place.slurm_id}, requeued {self._place.restarts} times"
        where = "{}{}".format(self._node, job if self._place.slurm_id else "")
        say(f"start {restart + 1} on {where}")
        return begin, restart

    def _train(self, restart: int) -> int:
        """Run the trainer to its end; its exit code."""
        request, place = self._request, self._place
        ids = place.slurm_id, place.raw_id
        environment = trainer.environment(
            trainer.put_aside(os.environ), request, self._folder.path, restart, *ids
        )
        if isinstance(place, Here):
            devices = request.get("devices") if request.get("gpus") else ""
            environment.update({} if devices is None else {"CUDA_VISIBLE_DEVICES": devices})
        try:
            child = place.start(trainer.command(request), environment, request["code"]["path"])
        except (OSError, slurm.SlurmError) as error:
            say(f"mapush: the trainer cannot be started: {error}")
            return 126
        return end_of(child, place.signals, place.pass_on)

    def _settle(self, code: int, begin: int, restart: int) -> Optional[int]:
        """Judge the trainer's end and do what follows; None if it is to be started again here."""
        run = Run(self._request["root"], self._folder)
        if code == EXIT_COMPLETE and not run.is_complete:
            # srun says 0 where the node's slurmd was killed under it.
            code = EXIT_FAILURE
        attempt = Attempt(code, run.step)
        self._ended.append(attempt)
        found, if_cancelled = (
            verdict.decide(self._ended, cancelled, self._policy) for cancelled in (False, True)
        )
        # A verdict that does not depend on the scheduler does not wait for it.
        standing = OURS if found == if_cancelled else self._place.standing()
        if standing == REQUEUED:
            # The code says nothing then, so it is no attempt that counts.
            say("the trainer has ended and SLURM has requeued the job")
            return EXIT_RUN_AGAIN
        if standing == CANCELLED:
            found = if_cancelled
        said = self._folder.last_words(begin)
        try:
            self._folder.note("end", code=code, step=attempt.step)
        except OSError as error:
            # The next start will not know of this one, so it must not come at once.
            say(f"the end of the trainer could not be written down: {error}")
            found = found._replace(wait=max(found.wait, self._policy.failure_wait))
        say(f"start {restart + 1}: {found.reason}: {found.action.value}")
        if found.action is Action.RESTART:
            standing = self._place.again(found.wait)
            if standing == OURS:
                return None
            if standing == REQUEUED:
                return found.exit_code
            why = "cancelled, between two starts"
            if standing != CANCELLED:
                why = "SLURM does not answer or does not let the job be requeued"
            say(why)
            found = found._replace(action=Action.GIVE_UP, reason=why)
        cancelled = standing == CANCELLED and found.action is not Action.DONE
        self._end(run, found, "" if found.action is Action.DONE else said, cancelled)
        return found.exit_code

    def _end(self, run: Run, found: Verdict, said: str, cancelled: bool) -> None:
        with _tolerated("the job's end"):
            self._folder.write_outcome(Outcome(found.exit_code, found.reason, said, cancelled))
        if cancelled:
            with _tolerated("that the run is cancelled"):
                run.mark_cancelled()
        if found.action is Action.GIVE_UP and found.exit_code != EXIT_BAD_REQUEST:
            root = shlex.quote(self._request["root"])
            say(f"to resume: python -m mapush.submit --root {root} --job-id {self._folder.job_id}")


def supervise(folder: Folder, place: Union[Here, Slurm]) -> int:
    """Supervise a job to its end, as far as this process is to; its exit code.

    Args:
        folder: The job's.
        place: What starts the trainer.
    """
    speak_into(folder)
    try:
        supervisor = Supervisor(folder, place)
    except OSError as error:
        where = socket.gethostname()
        say(f"mapush: {folder.path}: cannot be read on {where} ({error}); does this node see it?")
        return EXIT_BAD_REQUEST
    except (KeyError, TypeError, ValueError) as error:
        say(f"mapush: {folder.file(REQUEST)}: is damaged ({error!r}); submit again")
        return EXIT_BAD_REQUEST
    return supervisor.run()


def main(words: Sequence[str]) -> int:
    """Supervise a job of SLURM.

    Args:
        words: `--job FOLDER`, which mapush.submit has sent, whose members' folders end with their
            index in an array; or `--project DIRECTORY ARGUMENT...`, of `sbatch slurm/train.sh`.
    """
    place = Slurm(trainer.put_aside(os.environ), Signals())
    how, path = words[0], words[1]
    if how == "--project":
        folder = adopt(path, words[2:], place)
    else:
        folder = Folder(path if place.index is None else f"{path}_{place.index}")
    return supervise(folder, place)


@contextlib.contextmanager
def _tolerated(what: str) -> Iterator[None]:
    """A full disk changes no verdict; it is just what a requeue may outlast."""
    try:
        yield
    except OSError as error:
        say(f"{what} could not be written down: {error}")
