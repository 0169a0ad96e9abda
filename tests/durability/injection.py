"""System calls of a real process made to kill it or to fail, one at a time, by strace.

The process is forked from this one, so that nothing is imported again, prepares itself, and waits
until strace is attached: only the calls of the operation itself are counted.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, NoReturn, Optional

from mapush.errors import MapushError

Operation = Callable[[], object]
Setup = Callable[[], Operation]

# What Python really calls for open, write, mkdir, rename, link, unlink and the rest.
CALLS = (
    "openat",
    "write",
    "pwrite64",
    "fsync",
    "close",
    "mkdir",
    "rename",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
    "rmdir",
    "ftruncate",
    "utimensat",
)
# Only looked at by an operation: a kill there is a kill at the next of the calls above.
LOOKS = ("newfstatat", "statx", "getdents64", "read")
ERRORS = ("ENOSPC", "EDQUOT", "EIO", "EACCES")

DEFECT = 99
_SECONDS = 60
_CALL = re.compile(r"^\d+ +(\w+)\(", re.MULTILINE)


@dataclass(frozen=True)
class Injection:
    """A fault at one call: the `when`-th of its kind, counted from the start of the operation.

    Attributes:
        call: name of the system call.
        when: which one, in strace's form: `3`, or `3+` for that one and all after it.
        fault: name of an error, or KILL.
    """

    call: str
    when: str
    fault: str

    def __str__(self) -> str:
        return f"{self.call}:{self.when}:{self.fault}"

    @property
    def option(self) -> str:
        """What strace is told."""
        what = "signal=KILL" if self.fault == "KILL" else f"error={self.fault}"
        return f"inject={self.call}:{what}:when={self.when}"


@dataclass(frozen=True)
class Outcome:
    """How the process ended.

    Attributes:
        code: its exit code; negative for a signal.
        said: the line of a refusal, or the traceback of a defect.
    """

    code: int
    said: str

    @property
    def killed(self) -> bool:
        """Whether the injected signal ended it."""
        return self.code == -signal.SIGKILL


@functools.lru_cache(maxsize=None)
def unavailable() -> Optional[str]:
    """Why system calls cannot be tampered with here; None if they can."""
    if sys.platform != "linux" or shutil.which("strace") is None:
        return "strace is not installed"
    try:
        count_calls(lambda: lambda: None)
    except OSError as error:
        return f"strace may not attach to a process here: {error}"
    return None


def count_calls(setup: Setup) -> Dict[str, int]:
    """How often an operation makes each call when nothing disturbs it."""
    with tempfile.NamedTemporaryFile("r", prefix="calls-") as trace:
        outcome = _traced(setup, ["-o", trace.name, "-e", f"trace={','.join((*CALLS, *LOOKS))}"])
        if outcome.code:
            raise AssertionError(f"fails undisturbed: {outcome.said}")
        return dict(Counter(_CALL.findall(trace.read())))


def attack(setup: Setup, injection: Injection, path: Optional[Path] = None) -> Outcome:
    """Run an operation with a fault in it; with a path, only calls on that are counted."""
    options = ["-o", os.devnull, "-e", f"trace={injection.call}", "-e", injection.option]
    return _traced(setup, options if path is None else [*options, "-P", str(path)])


def kills(calls: Dict[str, int]) -> List[Injection]:
    """A kill at every call that could change something, and one past the last of each kind."""
    return [
        Injection(call, str(when), "KILL")
        for call in CALLS
        if call in calls
        for when in range(1, calls[call] + 2)
    ]


def faults(calls: Dict[str, int]) -> List[Injection]:
    """Every error at every call, once, and every error from there on for good."""
    return [
        Injection(call, f"{when}{on}", error)
        for call in (*CALLS, *LOOKS)
        for when in range(1, calls.get(call, 0) + 1)
        for error in ERRORS
        for on in ("", "+")
    ]


def _traced(setup: Setup, options: List[str]) -> Outcome:
    """Fork a process, attach strace when it is ready, let it run to its end."""
    ready, told = os.pipe()
    gate, go = os.pipe()
    heard, report = os.pipe()
    pid = os.fork()
    if pid == 0:
        _victim(setup, told, gate, report)
    with contextlib.ExitStack() as closing:
        for descriptor in (ready, go, heard):
            closing.callback(os.close, descriptor)
        for descriptor in (told, gate, report):
            os.close(descriptor)
        closing.callback(_reap, pid)
        if os.read(ready, 1):
            _strace(pid, options, go)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return Outcome(code, _read_all(heard))


def _strace(pid: int, options: List[str], go: int) -> None:
    command = ["strace", "-f", "-p", str(pid), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        if "attached" not in said:
            raise PermissionError(said.strip())
        os.write(go, b"1")
        try:
            tracer.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"hangs under {' '.join(options)}") from None


def _victim(setup: Setup, ready: int, gate: int, report: int) -> NoReturn:
    """The forked process: prepare, wait for strace, work, and say by other calls how it went."""
    code, said = 0, ""
    try:
        signal.alarm(2 * _SECONDS)  # never outlives the test that started it
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        operation = setup()
        os.write(ready, b"1")
        # Waiting by select leaves the count of reads to the operation.
        if select.select([gate], [], [])[0]:
            operation()
    except MapushError as error:
        code, said = error.exit_code, str(error)
    except BaseException:  # noqa: BLE001 - told to the test, which fails with it
        code, said = DEFECT, traceback.format_exc()
    finally:
        os.writev(report, [said.encode()[-60_000:]])
        os._exit(code)
    raise AssertionError


def _read_all(descriptor: int) -> str:
    parts: List[bytes] = []
    while True:
        part = os.read(descriptor, 65536)
        if not part:
            return b"".join(parts).decode()
        parts.append(part)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError, ProcessLookupError):
        if os.waitpid(pid, os.WNOHANG) == (0, 0):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
