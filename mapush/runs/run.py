"""Where the parts of one run are."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from mapush.files import is_directory, status, storage_errors
from mapush.runs import record
from mapush.runs.record import RunRecord

LEASES = ".lease"


@dataclasses.dataclass(frozen=True)
class RunDirectory:
    """Where one run lives."""

    root: Path
    live: Path
    """Where it trains: `<root>/log/MQE/<task>/<YYYY_MM_DD_HH_MM_SS>`; gone once it is finished."""
    results: Path
    """Where it ends: `<root>/results/<MM-DD-HH>_<exp>`."""

    @property
    def name(self) -> str:
        """The name of the results directory, by which users call the run."""
        return self.results.name

    @property
    def current(self) -> Path:
        """Where its files are: the live directory while there is one, else the results."""
        return self.live if is_directory(self.live) else self.results

    @property
    def checkpoints(self) -> Path:
        """The directory of its checkpoints."""
        return self.current / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        """The directory of its TensorBoard events."""
        return self.current / "tensorboard"

    @property
    def task(self) -> Path:
        """The directory of its own copy of the task."""
        return self.current / "task"

    @property
    def log(self) -> Path:
        """Its log.txt."""
        return self.current / "log.txt"

    @property
    def record_path(self) -> Path:
        """The run.yaml that counts: the live one while there is one."""
        live = self.live / record.FILE_NAME
        return live if status(live) is not None else self.results / record.FILE_NAME

    def read(self) -> RunRecord:
        """Read the run.yaml that counts.

        Raises:
            RequestError: If it is missing or damaged.
            StorageError: If the storage does not tell.
        """
        with storage_errors(self.live):
            place = self.record_path
        return record.read(place)

    def write(self, run_record: RunRecord) -> None:
        """Replace the run.yaml in both directories, so that each tells how the run stands.

        Raises:
            StorageError: If the storage refuses.
        """
        with storage_errors(self.live):
            is_live = is_directory(self.live)
        if is_live:
            record.write(self.live / record.FILE_NAME, run_record)
        record.write(self.results / record.FILE_NAME, run_record)

    def update(self, **changes: Any) -> RunRecord:  # noqa: ANN401
        """Change some fields of the run.yaml, such as `status`, and return the new record.

        Raises:
            RequestError: If the present run.yaml is missing or damaged.
            StorageError: If the storage refuses.
        """
        changed = dataclasses.replace(self.read(), **changes)
        self.write(changed)
        return changed
