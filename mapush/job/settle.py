"""`python -m mapush.job.settle`: what the end of a trainer means for its job on a cluster.

`job/batch.sh` asks this after each end and does what the first word on stdout says: `done`,
`requeue` or `stop`; the job's exit code and the seconds to wait before the next start follow. Where
there is a container this runs inside it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import List, Optional

from mapush.arguments import Parser
from mapush.errors import EXIT_COMPLETE, EXIT_FAILURE, MapushError, exit_with
from mapush.job import attempts
from mapush.job.folder import JobFolder
from mapush.job.journal import is_complete, last_words, newest_step, note
from mapush.job.request import Outcome
from mapush.job.requeue import Action, Attempt, Policy, Verdict, decide

WORDS = {Action.DONE: "done", Action.RESTART: "requeue", Action.GIVE_UP: "stop"}


def main(arguments: Optional[List[str]] = None) -> int:
    """Judge, write it down, print the word."""
    parser = Parser(prog="mapush.job.settle", description="Judge the end of a job's trainer.")
    parser.add_argument("--folder", type=Path, required=True, help="the job's folder")
    parser.add_argument("--root", type=Path, required=True, help="where results/ is")
    parser.add_argument("--code", type=int, required=True, help="the trainer's exit code")
    parser.add_argument("--cancelled", action="store_true", help="someone has ended the job")
    parser.add_argument("--no-requeue", action="store_true", help="an interrupted job ends")
    parser.add_argument("--max-failures", type=int, default=Policy.failures)
    parser.add_argument("--max-idle", type=int, default=Policy.idle)
    parser.add_argument("--failure-wait", type=int, default=round(Policy.failure_wait))
    options = parser.parse_args(arguments)
    place = JobFolder(options.folder)
    policy = Policy(options.max_failures, options.max_idle, options.failure_wait)
    verdict = settle(
        place, options.root, options.code, policy, options.cancelled, options.no_requeue
    )
    print(WORDS[verdict.action], verdict.exit_code, round(verdict.wait))  # noqa: T201
    return 0


def settle(
    place: JobFolder,
    root: Path,
    code: int,
    policy: Policy,
    cancelled: bool = False,
    no_requeue: bool = False,
) -> Verdict:
    """Judge the end of a trainer and write it down, as far as the storage takes it.

    Args:
        place: The job's folder.
        root: Where `results/` is.
        code: The trainer's exit code as a shell gives it.
        policy: The limits.
        cancelled: Whether someone has ended the job.
        no_requeue: Whether the job ends although it could go on.
    """
    ledger = attempts.read(place.attempts)
    if code == EXIT_COMPLETE and not is_complete(root, place.job_id):
        # srun says 0 where the node's slurmd was killed under it.
        code = EXIT_FAILURE
    attempt = Attempt(code, newest_step(root, place.job_id))
    verdict = decide([*ledger.ended, attempt], 0, cancelled, policy)
    if no_requeue and verdict.action is Action.RESTART:
        verdict = Verdict(Action.GIVE_UP, verdict.exit_code, f"{verdict.reason}; requeue is off")
    try:
        attempts.append_end(place.attempts, attempt)
        # Before our own word on it is the log's last.
        said = last_words(place.output, ledger.log_bytes)
        note(place.output, ledger.starts, verdict)
        if verdict.action is not Action.RESTART:
            message = "" if verdict.action is Action.DONE else said
            place.write_outcome(Outcome(verdict.exit_code, verdict.reason, message))
    except MapushError as error:
        # The verdict stands; a full disk is just what a requeue may outlast.
        print(f"mapush: {error}", file=sys.stderr)  # noqa: T201
    return verdict


if __name__ == "__main__":
    exit_with(main)
