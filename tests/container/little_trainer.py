"""Runs in the container: says what it sees on stdout, then every signal, until one ends it.

Arguments: `until NUMBER` ends with exit code 75 at that signal, `exit CODE` at once, and
`kill NUMBER` dies of that signal.
"""

from __future__ import annotations

import getpass
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, Dict, Optional

from mapush.runs.owner import Owner

HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
SECONDS = 30  # a test that fails must not leave it behind


def main() -> int:
    signal.alarm(SECONDS)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in HEARD:
        signal.signal(number, noted)
    say(facts())
    what, number = sys.argv[1], int(sys.argv[2])
    if what == "exit":
        return number
    if what == "kill":
        os.kill(os.getpid(), number)
    while True:
        select.select([reader], [], [])
        for heard in os.read(reader, 64):
            (Path(os.environ["MAPUSH_ROOT"]) / "heard").open("a").write(f"{heard}\n")
            say({"heard": heard})
            if heard == number:
                return 75


def noted(number: int, frame: Optional[FrameType]) -> None:
    """The wake-up descriptor tells the loop."""


def facts() -> Dict[str, Any]:
    root = Path(os.environ["MAPUSH_ROOT"])
    (root / "made").write_text("by the trainer")
    (root / "made here").mkdir(exist_ok=True)
    Path(os.environ["TORCH_EXTENSIONS_DIR"], "lock").open("x").close()
    Path(os.environ["HOME"], ".cache").mkdir()
    clock = Path("/etc/localtime")
    return {
        "environment": dict(os.environ),
        "arguments": sys.argv[3:],
        "directory": str(Path.cwd()),
        "modules": sys.path,
        "code is writable": can_write(Path.cwd()),
        "host": socket.gethostname(),
        "user": getpass.getuser(),
        "hour": time.strftime("%Y-%m-%d %H"),
        "clock": clock.read_bytes().hex() if clock.exists() else None,
        "owner": Owner.current().to_mapping(),
        "binds": {
            text: [sorted(os.listdir(text)), can_write(Path(text))]
            for text in os.environ.get("MAPUSH_TEST_BOUND", "").splitlines()
        },
        "shared memory": os.statvfs("/dev/shm").f_blocks,
    }


def can_write(folder: Path) -> bool:
    try:
        (folder / "written").write_text("")
    except OSError:
        return False
    return True


def say(what: Dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    sys.exit(main())
