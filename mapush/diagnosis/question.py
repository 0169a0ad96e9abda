"""What a diagnosis is about: the job as it would be sent off."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from mapush.diagnosis.gpu import Wanted
from mapush.job.profile import Profile
from mapush.training.space import Space


@dataclasses.dataclass(frozen=True)
class Question:
    """One kind of job, and where it would run."""

    root: Path
    """Where results/ and log/ are or would be, as an absolute path."""
    profile: Profile
    cluster: str
    """`slurm` or `local`."""
    gpus: int
    simulator: str
    space: Space
    """What one run will write."""
    checkpoint_bytes: int
    runs: int = 1
    """How many such runs."""
    on_node: bool = False
    """Whether a small job may be run on a compute node."""
    node_seconds: float = 60.0
    """How long that may wait for a node."""

    @property
    def place(self) -> Path:
        """The root, or where it would be made: the nearest directory that is there."""
        for path in (self.root, *self.root.parents):
            if path.is_dir():
                return path
        return Path("/")

    @property
    def python(self) -> str:
        """The Python that runs the trainer where no container does."""
        return self.profile.python or sys.executable

    @property
    def code(self) -> Path:
        """The project's directory, which a job would get a copy of."""
        return Path(__file__).resolve().parents[2]

    def gpus_wanted(self, is_here: bool) -> Wanted:
        """What it asks for, to be looked for where jobs run or elsewhere."""
        return Wanted(self.gpus, self.simulator, is_here, bool(self.profile.container))
