"""What a supervisor says, which goes into the job's log."""

import contextlib
import os
import time

from mapush.launch.node.folder import LOG, Folder


def say(line: str) -> None:
    """Write a line with its time, or one that begins with `mapush: ` as it is.

    The log may lie on a full disk, and the line may hold a path in any encoding.
    """
    if not line.startswith("mapush: "):
        line = time.strftime("[%m/%d/%y %H:%M:%S] job: ") + line
    with contextlib.suppress(OSError):
        os.write(1, (line + "\n").encode("utf-8", "backslashreplace"))


def speak_into(folder: Folder) -> None:
    """Send all that is said from now on, children included, to the job's log, where that opens."""
    with contextlib.suppress(OSError):
        log = os.open(folder.file(LOG), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
