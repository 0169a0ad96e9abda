"""job.json: what a job is to do and to ask for, validated here once and read everywhere else."""

from __future__ import annotations

from typing import Optional, Tuple

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import Literal

from mapush.launch.node.trainer import option
from mapush.launch.profile import Profile

LOCAL = "local"
SLURM = "slurm"


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
