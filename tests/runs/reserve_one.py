"""Reserve one run and print its directories; started by the tests as a process of its own."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import filelock

from mapush.runs.naming import reserve
from mapush.runs.owner import Owner


def refuse(*_: object, **__: object) -> None:
    raise NotImplementedError("flock")


def main() -> None:
    root, job, start, locks = sys.argv[1:]
    if locks == "broken":
        filelock.FileLock.acquire = refuse
    # All begin at once: the parent closes the pipe when every process is ready.
    print("ready", flush=True)
    sys.stdin.read()
    moment = datetime.fromisoformat(start)
    run = reserve(Path(root), "cuboid", "go1push_mid", moment, Owner.current(job), {"seed": 1})
    print(run.results, run.live, "torch" in sys.modules, sep="\t")


if __name__ == "__main__":
    main()
