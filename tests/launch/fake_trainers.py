"""Small real trainers for tests of what starts them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Callable, Iterator, List, Sequence

REPOSITORY = Path(__file__).resolve().parents[2]

# Says every signal in the fifo `heard` of its working directory; ends with 75 on the last of them.
LISTENER = """
import os, signal, sys
last = getattr(signal, sys.argv[sys.argv.index("--until") + 1])
numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2]
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
signal.alarm(20)  # a test that fails must not leave it behind
heard = open(sys.argv[sys.argv.index("--heard") + 1], "w", buffering=1)
heard.write("ready\\n")
while True:
    number = signal.sigwait(numbers)
    print(signal.Signals(number).name, flush=True)
    heard.write(signal.Signals(number).name + "\\n")
    if number == last:
        sys.exit(75)
"""

# A train.sh that completes its job's run, without training.
COMPLETES = """
"$PYTHON" - <<'END'
import os, pathlib
from datetime import datetime
from mapush.runs.finish import finish
from mapush.runs.listing import find_by_job
from mapush.runs.naming import reserve
from mapush.runs.owner import Owner
root, job = pathlib.Path(os.environ["MAPUSH_ROOT"]), os.environ["MAPUSH_JOB_ID"]
owner = Owner.current(job_id=job)
finish(find_by_job(root, job) or reserve(root, "cuboid", "go1push_mid", datetime.now(), owner))
END
"""


def script(folder: Path, text: str) -> Path:
    """A train.sh of this text."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "train.sh"
    path.write_text(f"#!/usr/bin/env bash\n{text}\n", encoding="utf-8")
    return path


def listening(folder: Path, until: str, heard: Path) -> str:
    """The text of a train.sh that waits for signals, with a program in a folder."""
    program = folder / "listener.py"
    program.write_text(LISTENER, encoding="utf-8")
    os.mkfifo(heard)
    return f'exec "$PYTHON" "{program}" --until {until} --heard "{heard}" "$@"'


def experiment(workplace: Path, text: str, name: str = "cuboid") -> None:
    """A working directory in which `--exp NAME` runs a train.sh of this text."""
    script(workplace / "task" / name, text)
    shutil.copy(REPOSITORY / "task" / name / "config.py", workplace / "task" / name)


def start_submit(
    workplace: Path, *options: str, program: Sequence[str] = ("-m", "mapush.submit")
) -> subprocess.Popen[str]:
    """Start `mapush.submit --exp cuboid` on this machine, in a session of its own.

    Also where sbatch is there, which is then not asked.
    """
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    environment.pop("MAPUSH_ROOT", None)
    return subprocess.Popen(
        [sys.executable, *program, "--exp", "cuboid", "--cluster", "local", *options],
        cwd=workplace,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run_submit(
    workplace: Path, *options: str, program: Sequence[str] = ("-m", "mapush.submit")
) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    with start_submit(workplace, *options, program=program) as process:
        out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@contextlib.contextmanager
def meanwhile(action: Callable[[], None]) -> Iterator[None]:
    """Do something on another thread; it must be over soon after the block."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    yield
    thread.join(timeout=30)
    assert not thread.is_alive(), "it still waits for what does not happen"


def field(output: str, name: str) -> str:
    """What `mapush.submit` prints after a name."""
    found: List[str] = [line for line in output.splitlines() if line.split()[:1] == [name]]
    return found[0].split(maxsplit=1)[1]
