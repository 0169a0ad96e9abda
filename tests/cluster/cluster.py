"""A real SLURM cluster of its own, by `cluster.sh`, and what tests ask of it and do to it."""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Tuple, TypeVar

from tests.support import PROJECT

# Read before a test's own environment is cleared. Set where a missing SLURM is a failure, as in CI.
REQUIRED = os.environ.get("MAPUSH_REQUIRE_CLUSTER") == "1"
SCRIPT = Path(__file__).with_name("cluster.sh")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "scancel")
PACKAGES = "slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge"
RUNNING = ("RUNNING",)
WAITING = ("PENDING", "COMPLETING", "CONFIGURING", "REQUEUED", "SUSPENDED")

_FIELD = re.compile(r"(\w+)=(\S*)")
_POLL = 0.2  # seconds; every look at SLURM costs a process
_Value = TypeVar("_Value")


class Overdue(AssertionError):
    """Something that was waited for did not happen."""


def unavailable() -> str:
    """Why there can be no cluster here; empty if there can."""
    paths = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    missing = [name for name in PROGRAMS if shutil.which(name, path=paths) is None]
    return f"{', '.join(missing)} not found; apt-get install {PACKAGES}" if missing else ""


def wait_for(what: str, get: Callable[[], _Value], seconds: float) -> _Value:
    """Ask again and again until the answer is true.

    Raises:
        Overdue: If it is not within that time.
    """
    deadline = time.monotonic() + seconds
    while True:
        value = get()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Overdue(f"{what}: not within {seconds:.0f} s")
        time.sleep(_POLL)


class Cluster:
    """One running cluster; a context manager. Every two nodes bear a feature of their own."""

    def __init__(self, user_signal: bool, nodes: int = 8, **settings: object) -> None:
        """Describe a cluster.

        Args:
            user_signal: Whether a preempted job gets its own --signal first, not SIGTERM.
            nodes: How many; an even number.
            settings: Further ones of cluster.sh, such as `requeue_delay=5`.
        """
        self.name = "user-signal" if user_signal else "stock"
        self.is_up = False
        # A socket's path must be short, which pytest's directories are not.
        self.place = Path(tempfile.mkdtemp(prefix="mapush-slurm-"))
        given = {"user_signal": int(user_signal), "nodes": nodes, "owner": os.getpid(), **settings}
        self._settings = {
            "CLUSTER_ROOT": str(self.place),
            "CLUSTER_PORT": str(_free_ports(nodes + 1)),
            **{f"CLUSTER_{name.upper()}": str(value) for name, value in given.items()},
        }
        self.environment: Dict[str, str] = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "MAPUSH_"))},
            "SLURM_CONF": str(self.place / "etc" / "slurm.conf"),
            "PATH": os.pathsep.join(
                [
                    str(self.place / "bin"),
                    str(Path(sys.executable).parent),
                    os.environ.get("PATH", os.defpath),
                    "/usr/sbin",
                ]
            ),
            "PYTHON": sys.executable,
        }
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(1, nodes // 2 + 1):
            self._free.put(number)

    def __enter__(self) -> Cluster:
        atexit.register(self.stop)
        try:
            self._script("up")
            self.is_up = True
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        atexit.unregister(self.stop)

    def stop(self) -> None:
        """End everything that runs on it and the cluster, however it stands; also a second time."""
        self.is_up = False
        subprocess.run([str(SCRIPT), "down"], env={**os.environ, **self._settings}, check=False)
        shutil.rmtree(self.place, ignore_errors=True)

    @contextlib.contextmanager
    def pair(self) -> Iterator[str]:
        """The feature of two nodes that nobody else uses meanwhile; they come back healthy."""
        number = self._free.get()
        nodes = [f"n{2 * number - 1}", f"n{2 * number}"]
        try:
            yield f"case{number}"
        finally:
            with contextlib.suppress(Overdue):
                self._clear(nodes)
            self._free.put(number)

    def run(self, *command: str, check: bool = True, **environment: str) -> str:
        """What a command prints in the project's directory, as a user of this cluster."""
        done = subprocess.run(
            command,
            cwd=PROJECT,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if check and done.returncode:
            said = f"{done.stdout}{done.stderr}"
            raise AssertionError(f"{' '.join(command)}: exit code {done.returncode}: {said}")
        return done.stdout

    def show(self, job: str) -> Dict[str, str]:
        """`scontrol show job` of one job; {} if SLURM does not know it."""
        answer = self.run("scontrol", "-o", "show", "job", job, check=False)
        return dict(_FIELD.findall(answer.splitlines()[0])) if answer.strip() else {}

    def state(self, job: str) -> str:
        """How a job stands."""
        return self.show(job).get("JobState", "UNKNOWN")

    def restarts(self, job: str) -> int:
        """How often a job was requeued."""
        return int(self.show(job).get("Restarts", "0"))

    def take(self, node: str) -> str:
        """Have a job of the high partition take a whole node for 2 s, whatever runs there."""
        return self.run(
            *("sbatch", "--parsable", "--partition=high", f"--nodelist={node}", "--exclusive"),
            *("--time=1", "--output=/dev/null", "--wrap=sleep 2"),
        ).strip()

    def kill_slurmd(self, node: str) -> None:
        """End a node's slurmd without a word."""
        os.kill(int((self.place / "run" / f"{node}.pid").read_text()), 9)

    def revive(self, node: str) -> None:
        """Start a node's slurmd where it has ended, and use the node again."""
        self._script("node", node)

    def signalled(self, job: str, since: float) -> Optional[Tuple[float, int]]:
        """When SLURM first signalled a job after some moment, and which signal that was.

        Times are seconds since the epoch; SLURM writes milliseconds. SIGCONT is not counted.
        """
        number = re.escape(job)
        pattern = re.compile(
            rf"^\[(\S+)\] job_signal: (\d+) of \w+ JobId=(?:{number}|{number}\(\d+\)) ",
            re.MULTILINE,
        )
        text = (self.place / "log" / "slurmctld.log").read_text(errors="replace")
        for stamp, signal in pattern.findall(text):
            moment = datetime.fromisoformat(stamp).timestamp()
            if moment >= since - 0.002 and int(signal) not in (0, 18):
                return moment, int(signal)
        return None

    def _clear(self, nodes: List[str]) -> None:
        names = ",".join(nodes)
        self.run("scancel", f"--nodelist={names}", check=False)
        for node in nodes:
            self.revive(node)
        self.run("scancel", f"--nodelist={names}", check=False)
        wait_for(f"{names} free", lambda: self._are_free(names), 60)

    def _are_free(self, names: str) -> bool:
        return not self.run("squeue", "--noheader", f"--nodelist={names}").strip()

    def _script(self, *arguments: str) -> None:
        done = subprocess.run(
            [str(SCRIPT), *arguments],
            env={**os.environ, **self._settings},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            log = self.place / "log" / "slurmctld.log"
            tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise AssertionError(f"cluster.sh {' '.join(arguments)}: {done.stderr}\n{tail}")


def _free_ports(count: int) -> int:
    """The first of so many ports in a row on which nothing listens now."""
    for first in range(20000 + os.getpid() % 100 * 100, 60000, 100):
        with contextlib.ExitStack() as held:
            try:
                for port in range(first, first + count):
                    held.enter_context(_listener(port))
            except OSError:
                continue
            return first
    raise AssertionError("no free ports on this machine")


def _listener(port: int) -> socket.socket:
    listener = socket.socket()
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.close()
        raise
    return listener
