"""job.json: what a job is to do and to ask for, validated here once and read everywhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Tuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import Literal

from mapush.errors import RequestError, StorageError
from mapush.files import write_atomically
from mapush.launch.node.folder import REQUEST
from mapush.launch.node.trainer import option
from mapush.launch.profile import Profile

LOCAL = "local"
SLURM = "slurm"
_MAX_BYTES = 1_000_000


class CodeCopy(BaseModel):
    """The code that a job runs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    """A directory with `mapush/`, `job/` and `task/`."""
    commit: Optional[str] = None
    """The git commit it was copied from."""
    changed: Optional[bool] = None
    """Whether the tree was changed then."""
    hash: str = ""


class JobRequest(BaseModel):
    """One job. In an array each member has one of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    job_id: str
    """The folder's name, by which the job's trainers find their run."""
    submitted: str
    """ISO time with UTC offset."""
    cluster: Literal["local", "slurm"]
    exp: str
    arguments: Tuple[str, ...]
    """Passed to the task's train.sh as they are."""
    root: str
    """Where `results/` and `log/` are, as an absolute path."""
    code: CodeCopy
    python: str
    """Of the node; in a container the container's own is used."""
    gpus: Optional[int] = Field(None, ge=0, le=1024)
    """Per trainer; None for what SLURM has given to the job."""
    devices: Optional[str] = None
    """`CUDA_VISIBLE_DEVICES` where a job of this machine was submitted; None if it was not set."""
    after: Tuple[str, ...] = ()
    """Jobs that must be complete first: SLURM's ids, or folders of jobs of this machine."""
    slots: str = ""
    """Folder with a file per job of an array that may run at once on this machine."""
    profile: Profile

    @property
    def label(self) -> str:
        """What tells the members of an array apart: experiment and seed."""
        return f"{self.exp} seed {self.seed}" if self.seed else self.exp

    @property
    def seed(self) -> str:
        """The seed as it was given; empty if it was not."""
        return option(self.arguments, "--seed")


def write_request(folder: Path, request: JobRequest) -> None:
    """Write a job's request into its folder.

    Raises:
        StorageError: If the storage refuses.
    """
    write_atomically(folder / REQUEST, request.model_dump_json(indent=1).encode())


def read_request(folder: Path) -> JobRequest:
    """Read a job's request.

    Raises:
        RequestError: If the job was never submitted or its file is damaged.
    """
    path = folder / REQUEST
    try:
        with path.open("rb") as file:
            return JobRequest.model_validate_json(file.read(_MAX_BYTES))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(each) for each in first["loc"])
        reason = f"{where}: {first['msg']}" if where else str(first["msg"])
    except (OSError, StorageError) as error:
        reason = " ".join(str(error).split())
    raise RequestError(f"{path}: cannot be read ({reason[:200]}); submit again")
