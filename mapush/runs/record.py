"""run.yaml: what a run is and how it stands; written as a whole, read without trust."""

from __future__ import annotations

import dataclasses
import re
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

import yaml
from pydantic import AfterValidator, FiniteFloat
from typing_extensions import Annotated, Literal

from mapush.errors import RequestError, StorageError
from mapush.files import is_transient, read_fields, read_file, write_atomically
from mapush.runs.owner import Owner

FILE_NAME = "run.yaml"


def _shaped(pattern: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError("is no directory of log/MQE/ or results/ in the root")
        return text

    return check


RUNNING = "running"
PREEMPTED = "preempted"  # stopped early with a durable checkpoint; resumes when started again
CANCELLED = "cancelled"  # the same, by someone who ended its job
FINISHING = "finishing"  # on the way from the live directory to the results
COMPLETE = "complete"
FAILED = "failed"
STATUSES = (RUNNING, PREEMPTED, CANCELLED, FINISHING, COMPLETE, FAILED)

# libyaml's writes several times as fast. Its parser nests without limit, so reading is left to
# Python's.
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_MAX_BYTES = 1_000_000
_FIX = "fix it by hand or move the run away"

# The shape is fixed, so a path that leaves the root cannot even be written down.
_PART = r"/(?!\.\.?(/|$))[^/\0]+"
_Results = Annotated[str, AfterValidator(_shaped("results" + _PART))]
_Live = Annotated[str, AfterValidator(_shaped("log/MQE" + 2 * _PART))]


@dataclasses.dataclass(frozen=True)
class Interruption:
    """One time a run was stopped early, and what that cost."""

    time: str
    """ISO time with UTC offset, in milliseconds; for a killed process, of its last sign of life."""
    signal: str
    """Name of the signal, such as SIGTERM; `killed` without one, `failed` for a fault."""
    step: int
    """Environment steps of the checkpoint that was left."""
    steps_lost: int
    """Environment steps done after that checkpoint."""
    seconds_lost: FiniteFloat
    """Time those took, in seconds."""
    host: str
    """The node, as SLURM calls it, else the host's name."""
    seconds_away: Optional[FiniteFloat] = None
    """Seconds from the interruption until a process trained again; None while none has."""
    restart: Optional[int] = None
    """Restart count of the interrupted process; None in records of an earlier version."""
    in_log: bool = True
    """Whether log.txt has its line, which a process that is killed leaves to the next one."""

    @property
    def is_pending(self) -> bool:
        """Whether no process has trained since, as far as is known of it."""
        return self.seconds_away is None and self.restart is not None


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """The content of a run.yaml."""

    exp: str
    task: str
    status: Literal["running", "preempted", "cancelled", "finishing", "complete", "failed"]
    """One of `STATUSES`."""
    owner: Owner
    started: str
    """ISO time with UTC offset."""
    live: _Live
    """The live directory, relative to the root."""
    results: _Results
    """The results directory, relative to the root."""
    command: Tuple[str, ...] = ()
    seed: Optional[int] = None
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    interruptions: Tuple[Interruption, ...] = ()
    more: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Fields that are kept as they are."""

    @property
    def total_steps(self) -> Optional[int]:
        """The environment steps that the run is to reach, if its settings say."""
        settings = self.more.get("settings")
        total = settings.get("train_timesteps") if isinstance(settings, Mapping) else None
        return total if type(total) is int else None


def read(path: Path) -> RunRecord:
    """Read a run.yaml.

    Raises:
        RequestError: If it is missing, damaged, or names a directory outside the root.
        StorageError: If the storage does not tell.
    """
    try:
        data = read_file(path, _MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise RequestError(f"{path}: has more than {_MAX_BYTES:,} bytes; {_FIX}")
        fields = yaml.safe_load(data)
    except (OSError, RecursionError, ValueError, yaml.YAMLError) as error:
        if is_transient(error):
            raise StorageError(
                f"{path}: cannot be read ({error}); check the file system and start again"
            ) from error
        reason = " ".join(str(error).split())
        raise RequestError(f"{path}: cannot be read ({reason:.200}); {_FIX}") from error
    if not isinstance(fields, dict):
        raise RequestError(f"{path}: is a {type(fields).__name__}, not a mapping; {_FIX}")
    known = {field.name for field in dataclasses.fields(RunRecord)} - {"more"}
    try:
        found = read_fields(RunRecord, {name: fields.get(name) for name in known})
    except ValueError as error:
        raise RequestError(f"{path}: {error}; {_FIX}") from error
    more = {name: value for name, value in fields.items() if name not in known}
    return dataclasses.replace(found, more=more)


def write(path: Path, record: RunRecord) -> None:
    """Replace a run.yaml atomically.

    Raises:
        StorageError: If the storage refuses.
    """
    fields: Dict[str, Any] = {
        field.name: getattr(record, field.name)
        for field in dataclasses.fields(record)
        if field.name != "more"
    }
    fields["owner"] = record.owner.to_mapping()
    fields["command"] = list(record.command)
    fields["versions"] = dict(record.versions)
    fields["interruptions"] = [dataclasses.asdict(each) for each in record.interruptions]
    fields = {**fields, **{name: record.more[name] for name in record.more if name not in fields}}
    text = yaml.dump(fields, Dumper=_DUMPER, sort_keys=False, allow_unicode=True)
    write_atomically(path, text.encode("utf-8"))


def seconds_away(notes: Sequence[Interruption]) -> float:
    """Seconds that a run was away in all.

    One that was interrupted again before it trained is away once, not twice.
    """
    total, reached = 0.0, None
    for note in notes:
        if note.seconds_away is None:
            continue
        begin = _seconds_of(note.time)
        if begin is None or reached is None:
            total += note.seconds_away
        else:
            total += max(begin + note.seconds_away - max(begin, reached), 0.0)
        if begin is not None:
            reached = max(reached or 0.0, begin + note.seconds_away)
    return total


def _seconds_of(text: str) -> Optional[float]:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
