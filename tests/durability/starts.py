"""Many starts at once: real processes without torch that reserve directories, some killed.

Each of a few workers forks a process per start. It prints nothing: what it got, it is found by.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Dict, List, NoReturn, Set, Tuple

from mapush.runs.directory import RunDirectory
from mapush.runs.listing import find_by_job, runs
from mapush.runs.naming import reserve
from mapush.runs.owner import Owner
from tests.support import PROJECT

START = datetime(2025, 10, 28, 18, 7, 58)


def start_many(
    root: Path, count: int, kill_one_in: int = 0, flock_works: bool = True, workers: int = 8
) -> Tuple[Set[int], float]:
    """Reserve `count` runs in the same hour, from processes of their own.

    Args:
        root: Where.
        count: How many starts.
        kill_one_in: Kill one start in so many at a random moment; 0 for none.
        flock_works: Whether the file system has working locks.
        workers: How many start at a time.

    Returns:
        Which starts were killed, and the seconds that all took.
    """
    # Workers of their own, since forking a process as large as this one takes longer than a start.
    options = [str(root), str(count), str(workers), str(kill_one_in), str(int(flock_works))]
    command = [sys.executable, "-m", "tests.durability.starts", *options]
    started = [
        subprocess.Popen(
            [*command, str(worker)], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for worker in range(workers)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    begun = time.perf_counter()
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
    codes = [process.wait() for process in started]
    seconds = time.perf_counter() - begun
    for process in started:
        assert process.stdout is not None
        process.stdout.close()
    assert codes == [0] * workers
    return {int(path.name) for path in (root / "killed").glob("*")}, seconds


def assert_all_found(root: Path, count: int, killed: Set[int]) -> None:
    """Each start that was not killed has directories of its own and is found by its owner."""
    warnings: List[str] = []
    there = runs(root, warnings.append)
    assert warnings == []
    by_job: Dict[str, List[RunDirectory]] = {}
    for run in there:
        by_job.setdefault(run.read().owner.job_id, []).append(run)
    assert all(len(owned) == 1 for owned in by_job.values()), "an owner has two runs"
    lost = [number for number in range(count) if str(number) not in by_job]
    assert set(lost) <= killed, f"lost: {sorted(set(lost) - killed)}"
    assert len({run.results for run in there}) == len({run.live for run in there}) == len(there)
    for run in there:
        assert run.results.is_dir()
        assert run.live.is_dir()
    for number in range(0, count, max(count // 25, 1)):
        if str(number) in by_job:
            assert find_by_job(root, str(number)) == by_job[str(number)][0]


def _work(root: Path, numbers: range, kill_one_in: int, flock_works: bool) -> None:
    if not flock_works:
        fcntl.flock = _no_locks  # pyright: ignore[reportAttributeAccessIssue]
    draw = random.Random(numbers.start)
    (root / "killed").mkdir(exist_ok=True, parents=True)
    for number in numbers:
        pid = _forked(lambda n=number: _start(root, n))
        if kill_one_in and draw.randrange(kill_one_in) == 0:
            time.sleep(draw.uniform(0, 0.006))  # a start takes about so long
            os.kill(pid, signal.SIGKILL)
            if os.waitpid(pid, 0)[1]:
                (root / "killed" / str(number)).touch()
        else:
            assert os.waitpid(pid, 0)[1] == 0


def _start(root: Path, number: int) -> None:
    reserve(root, "cuboid", "go1push_mid", START, Owner.current(str(number), 0), {"seed": 1})


def _no_locks(*_: object) -> NoReturn:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def _forked(work) -> int:  # noqa: ANN001
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException as error:  # noqa: BLE001 - told by the exit code
        print(repr(error), file=sys.stderr)
    finally:
        os._exit(code)


def _main() -> None:
    root, *numbers = sys.argv[1:]
    count, workers, kill_one_in, flock_works, worker = (int(number) for number in numbers)
    print("ready", flush=True)
    sys.stdin.read()  # until all are ready
    _work(Path(root), range(worker, count, workers), kill_one_in, bool(flock_works))


if __name__ == "__main__":
    _main()
