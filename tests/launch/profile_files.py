"""Profiles as tests write and read them: a value for every field, and one-line refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import pytest

from mapush.errors import RequestError
from mapush.launch.profile import Profile, load_profile

DEFAULTS: Dict[str, Any] = {
    "partition": None,
    "account": None,
    "qos": None,
    "reservation": None,
    "constraint": None,
    "nodelist": None,
    "exclude": None,
    "time": "1-00:00:00",
    "cpus": 2,
    "memory": None,
    "memory_per_cpu": None,
    "gpu_request": "gres",
    "gpu_type": None,
    "container": None,
    "runtime": "auto",
    "binds": (),
    "modules": (),
    "setup": (),
    "python": None,
    "requeue": True,
    "signal": "USR2",
    "signal_lead": 90,
    "max_failures": 10,
    "max_idle": 5,
    "failure_wait": 60,
}
# A value for each that is not its default.
OTHERS: Dict[str, Any] = {
    "partition": "preempt,low",
    "account": "lab42",
    "qos": "scavenger",
    "reservation": "course_1",
    "constraint": "a100&ib",
    "nodelist": "n[1-4]",
    "exclude": "n7",
    "time": "12:00:00",
    "cpus": 8,
    "memory": "500M",
    "memory_per_cpu": "400M",
    "gpu_request": "gpus-per-node",
    "gpu_type": "a100",
    "container": "/images/a b.sif",
    "runtime": "podman",
    "binds": ["/scratch", "/data:/data:ro"],
    "modules": ["cuda/12.1"],
    "setup": ['export TMPDIR="/scratch/$USER"'],
    "python": "/opt/py 3/bin/python",
    "requeue": False,
    "signal": "TERM",
    "signal_lead": 30,
    "max_failures": 0,
    "max_idle": 1,
    "failure_wait": 0,
}


def write(folder: Path, text: str, name: str = "mine") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def make_profiles(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of profiles of the working directory, with an empty default."""
    folder = workplace / "job" / "profiles"
    folder.mkdir(parents=True)
    (folder / "default.yaml").write_text("", encoding="utf-8")
    monkeypatch.chdir(workplace)
    return folder


def plain(profile: Profile) -> Dict[str, Any]:
    values = profile.model_dump()
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def refusal(name: str, changes: Dict[str, Any]) -> str:
    with pytest.raises(RequestError) as caught:
        load_profile(name, changes)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    return message
