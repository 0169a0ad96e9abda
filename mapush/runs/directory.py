"""Where one run lives and where its parts are.

A run trains in its live directory and ends in its results directory; the run.yaml in the results
directory points at the live one until `finish` has moved everything.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, List

from mapush.checkpoint.store import CheckpointEntry, CheckpointStore
from mapush.errors import RequestError
from mapush.files import is_directory, status, storage_errors
from mapush.runs import metrics, record
from mapush.runs.record import RunRecord

CHECKPOINTS = "checkpoints"


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

    def part(self, name: str) -> Path:
        """A file or directory of the run where it is now; one that is being finished is in two."""
        live = self.live / name
        return live if live.exists() else self.results / name

    def entries(self) -> List[CheckpointEntry]:
        """The checkpoints in numeric order, for whoever only looks.

        Raises:
            StorageError: If they cannot be listed.
        """
        return CheckpointStore(self.part(CHECKPOINTS)).entries()

    @property
    def checkpoints(self) -> Path:
        """The directory of its checkpoints."""
        return self.current / CHECKPOINTS

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
    def metrics(self) -> Path:
        """Its metrics.jsonl."""
        return self.current / metrics.FILE_NAME

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
            path = self.record_path
        return record.read(path)

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


def run_at(root: Path, directory: Path) -> RunDirectory:
    """The run whose results or live directory is `directory`, under `root` or wherever it lies.

    Raises:
        RequestError: If its run.yaml is missing, damaged or that of another run.
        StorageError: If the storage does not tell.
    """
    found = record.read(directory / record.FILE_NAME)
    resolved = directory.resolve()
    for base in (root, *resolved.parents):
        run = RunDirectory(base, base / found.live, base / found.results)
        if resolved in (run.live.resolve(), run.results.resolve()):
            claimed = run.read()
            if (claimed.live, claimed.results) != (found.live, found.results):
                if found.status == record.COMPLETE:
                    # A run that began after it had been moved has got the name of its live one.
                    return RunDirectory(base, resolved / found.live, resolved)
                raise RequestError(
                    f"{directory / record.FILE_NAME}: names {found.live}, which is the live "
                    f"directory of {claimed.results}; fix it by hand or move the run away"
                )
            return run
    # A copy of a finished run: the original's live directory is none of its business.
    return RunDirectory(resolved.parent, resolved / found.live, resolved)
