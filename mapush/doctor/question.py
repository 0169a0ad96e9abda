"""What a diagnosis is about: the job as it would be sent off."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any, Dict

from mapush.launch.profile import PROJECT, Profile
from mapush.launch.request import LOCAL, SLURM, CodeCopy, JobRequest
from mapush.learners.config import PPOConfig
from mapush.simulators import simulator_kind
from mapush.training.config import Config

# What a trainer imports: modules with their packages, and those of a simulator or learner.
_MODULES = {
    **{
        name: name
        for name in (
            *("filelock", "numpy", "pydantic", "rich"),
            *("tenacity", "tensorboard", "torch"),
        )
    },
    "yaml": "pyyaml",
}
_OF_LEARNERS = {"openrl": {"openrl": "openrl"}}


@dataclasses.dataclass(frozen=True)
class Question:
    """One kind of job, and where it would run."""

    root: Path
    """Where results/ and log/ are or would be, as an absolute path."""
    profile: Profile
    cluster: str
    """`slurm` or `local`."""
    gpus: int
    settings: Config
    recipe: PPOConfig
    runs: int = 1
    """How many such runs are to fit."""
    on_node: bool = False
    """Whether a small job may be run on a compute node."""
    node_seconds: float = 60.0
    """How long that may wait for a node."""

    @property
    def nearest(self) -> Path:
        """The root, or where it would be made: the nearest directory that is there."""
        for path in (self.root, *self.root.parents):
            if path.is_dir():
                return path
        return Path("/")

    def wanted(self, gpus: int) -> Dict[str, Any]:
        """What is asked of a trainer's Python that is to see so many GPUs; see `probe`."""
        simulator = simulator_kind(self.settings.simulator.sim)
        return {
            "modules": {**_MODULES, **_more_modules(self.settings)},
            "check": simulator.check,
            "envs": self.settings.environment.num_envs,
            "gpus": gpus,
            "uses_gpu": simulator.uses_gpu,
            "needs_gpu": simulator.needs_gpu,
            "python": list(simulator.python),
        }

    def request(self, gpus: int, code: Path = PROJECT) -> JobRequest:
        """The job as `mapush.submit` would write it down.

        Args:
            gpus: How many it has; none where it is only looked at from a login node.
            code: The copy of the code that it runs.
        """
        return JobRequest(
            job_id="doctor",
            submitted="",
            cluster=LOCAL if self.cluster == LOCAL else SLURM,
            exp="doctor",
            arguments=(),
            root=str(self.nearest),
            code=CodeCopy(path=str(code)),
            python=self.profile.python or sys.executable,
            gpus=gpus,
            profile=self.profile,
        )


def _more_modules(settings: Config) -> Dict[str, str]:
    """What a simulator and a learner import besides."""
    simulator, learner = settings.simulator.sim, settings.learner.learner
    return {**simulator_kind(simulator).modules, **_OF_LEARNERS.get(learner, {})}
