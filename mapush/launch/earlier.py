"""The request of a job from before job.json: its request.json, read as a request of today."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from pydantic import BaseModel, ConfigDict

from mapush.launch.profile import DEFAULT, load_profile

FILE_NAME = "request.json"
# Of the profile only these stood in the file.
_OF_THE_PROFILE = ("container", "runtime", "binds", "max_failures", "max_idle", "failure_wait")


class _Earlier(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    job_id: str
    exp: str
    arguments: Tuple[str, ...]
    root: str
    code: str
    cluster: str
    gpus: int = 0
    devices: Optional[str] = None
    python: str = ""
    container: str = ""
    runtime: str = "auto"
    binds: Tuple[str, ...] = ()
    max_failures: int = 10
    max_idle: int = 5
    failure_wait: int = 60


def fields_of(path: Path, data: bytes) -> Dict[str, Any]:
    """The fields of a `JobRequest`; what was asked of the cluster is the default profile's.

    Args:
        path: The file, whose time is that of the submission.
        data: Its content.

    Raises:
        OSError: The storage does not tell the time.
        RequestError: The default profile is damaged.
        ValidationError: The file is damaged.
    """
    found = _Earlier.model_validate_json(data)
    changes = {name: getattr(found, name) for name in _OF_THE_PROFILE if getattr(found, name)}
    if found.python:
        changes["python"] = found.python
    submitted = datetime.fromtimestamp(path.stat().st_mtime).astimezone()
    return {
        "job_id": found.job_id,
        "submitted": submitted.isoformat(timespec="seconds"),
        "cluster": found.cluster,
        "exp": found.exp,
        "arguments": found.arguments,
        "root": found.root,
        "code": {"path": found.code},
        "python": found.python or sys.executable,
        "gpus": found.gpus,
        "devices": found.devices,
        "profile": load_profile(DEFAULT, changes),
    }
