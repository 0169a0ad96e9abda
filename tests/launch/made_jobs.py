"""Jobs as a submission leaves them, and runs as their trainers do, made in moments."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Sequence

import pytest
from fake_trainers import REPOSITORY, script

from mapush.launch.jobs import JobFolder, submissions
from mapush.launch.node.folder import Outcome
from mapush.launch.profile import Profile, load_profile
from mapush.launch.request import CodeCopy, JobRequest
from mapush.runs.directory import RunDirectory
from mapush.runs.finish import finish
from mapush.runs.naming import reserve
from mapush.runs.owner import Owner

JOB = "11-23-18-12-45_cuboid"


def make_code(folder: Path, text: str) -> Path:
    """A snapshot whose cuboid's train.sh has this text; the rest is the repository's own."""
    script(folder / "task" / "cuboid", text)
    for part in ("mapush", "job"):
        (folder / part).symlink_to(REPOSITORY / part)
    return folder


def make_request(root: Path, text: str = "exit 0", *arguments: str, **fields: Any) -> JobRequest:
    """A request for a job of this root; its trainer is a train.sh of this text.

    Args:
        root: Holds `results/` and `log/`.
        text: Of the train.sh.
        arguments: Of the train.sh.
        fields: Of the request or its profile.
    """
    job = fields.pop("job_id", JOB)
    # An underscore first: a job's own name cannot have one there.
    code = root / "log" / "submit" / f"_code-{job}"
    if not code.exists():
        make_code(code, text)
    asked = {name: fields.pop(name) for name in list(fields) if name in Profile.model_fields}
    known: Dict[str, Any] = {
        "submitted": "2026-11-23T18:12:45+01:00",
        "cluster": "local",
        "exp": "cuboid",
        "python": asked.pop("python", sys.executable),
        "profile": load_profile(None, {"failure_wait": 0, **asked}),
        **fields,
    }
    return JobRequest(
        job_id=job, arguments=arguments, root=str(root), code=CodeCopy(path=str(code)), **known
    )


def make_job(root: Path, text: str = "exit 0", *arguments: str, **fields: Any) -> JobFolder:
    """The folder of a job that was sent off."""
    request = make_request(root, text, *arguments, **fields)
    place = JobFolder(submissions(root) / request.job_id)
    place.open(request)
    return place


def make_run(
    root: Path, steps: Sequence[int] = (), complete: bool = False, job_id: str = JOB, hour: int = 18
) -> RunDirectory:
    """A job's run with checkpoints of no content."""
    start = datetime(2026, 11, 23, hour)
    run = reserve(root, "cuboid", "go1push_mid", start, Owner.current(job_id=job_id))
    for step in steps:
        (run.checkpoints / f"rl_model_{step}_steps").mkdir(parents=True)
    if complete:
        finish(run)
    return run


def end_of(place: JobFolder) -> Outcome:
    """How a job ended, which it must have."""
    outcome = place.outcome()
    assert outcome is not None
    return outcome


def said(place: JobFolder) -> str:
    """All that was said in a job's log."""
    return place.output.read_text(encoding="utf-8")


def starts(root: Path) -> int:
    """How often a trainer that writes a line into `starts` was started."""
    path = root / "starts"
    return len(path.read_text(encoding="utf-8").split()) if path.exists() else 0


def scripted(root: Path, ends: Sequence[str], progress: bool) -> str:
    """A train.sh whose n-th start ends in the n-th way, after a newer checkpoint or none.

    One that ends with 0 has completed its run.
    """
    run = make_run(root)
    done = f"sed -i 's/^status: .*/status: complete/' \"{run.results}/run.yaml\"; exit 0"
    ends = [end.replace("exit 0", done) for end in ends]
    cases = "\n".join(f"  {number}) {end} ;;" for number, end in enumerate(ends, 1))
    save = f'mkdir -p "{run.checkpoints}/rl_model_${{number}}000_steps"'
    return (
        f'echo start >> "{root}/starts"; number=$(wc -l < "{root}/starts")\n'
        f"{save if progress else ':'}\ncase $number in\n{cases}\nesac"
    )


@contextlib.contextmanager
def tiny_disk(place: Path, options: str) -> Iterator[Path]:
    """A file system of its own; where that cannot be, the test is skipped."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a tmpfs takes root on Linux")
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def until(condition: Callable[[], object]) -> None:
    """Wait for something that another process or thread does; half a minute at the most."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen within 30 s")


def fill(place: Path) -> None:
    """Take all space and all names that are left on a file system."""
    with contextlib.suppress(OSError), (place / "ballast").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    with contextlib.suppress(OSError):
        for number in range(100_000):
            (place / f"ballast-{number}").touch()
