"""run.yaml: what a run is and how it stands; written as a whole, read without trust."""

from __future__ import annotations

import dataclasses
from pathlib import Path, PurePosixPath
from typing import Any, Dict, List, Mapping, Optional, Tuple

import yaml

from mapush.errors import RequestError, StorageError
from mapush.files import is_transient, read_file, write_atomically
from mapush.runs.owner import Owner

FILE_NAME = "run.yaml"

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
    seconds_lost: float
    """Time those took, in seconds."""
    host: str
    """The node, as SLURM calls it, else the host's name."""
    seconds_away: Optional[float] = None
    """Seconds from the interruption until a process trained again; None while none has."""
    restart: Optional[int] = None
    """Restart count of the interrupted process; None in records of an earlier version."""

    @property
    def is_pending(self) -> bool:
        """Whether no process has trained since, as far as is known of it."""
        return self.seconds_away is None and self.restart is not None


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """The content of a run.yaml."""

    exp: str
    task: str
    status: str
    """One of `STATUSES`."""
    owner: Owner
    started: str
    """ISO time with UTC offset."""
    live: str
    """The live directory, relative to the root."""
    results: str
    """The results directory, relative to the root."""
    command: Tuple[str, ...] = ()
    seed: Optional[int] = None
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    interruptions: Tuple[Interruption, ...] = ()
    more: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Fields that are kept as they are."""


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
    try:
        return _from_mapping(fields)
    except (TypeError, ValueError) as error:
        raise RequestError(f"{path}: {error}; {_FIX}") from error


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


def _from_mapping(fields: Dict[str, Any]) -> RunRecord:
    status = _get(fields, "status", str)
    if status not in STATUSES:
        raise ValueError(f"status is {status[:40]!r}, none of {', '.join(STATUSES)}")
    command = _get(fields, "command", list)
    versions = _get(fields, "versions", dict)
    if not all(isinstance(each, str) for each in (*command, *versions, *versions.values())):
        raise ValueError("command or versions hold something that is no text")
    known = {field.name for field in dataclasses.fields(RunRecord)}
    return RunRecord(
        exp=_get(fields, "exp", str),
        task=_get(fields, "task", str),
        status=status,
        owner=Owner.from_mapping(_get(fields, "owner", dict)),
        started=_get(fields, "started", str),
        live=_inside(_get(fields, "live", str), ("log", "MQE"), 4),
        results=_inside(_get(fields, "results", str), ("results",), 2),
        command=tuple(command),
        seed=None if fields.get("seed") is None else _get(fields, "seed", int),
        versions=versions,
        interruptions=_interruptions(_get(fields, "interruptions", list)),
        more={name: value for name, value in fields.items() if name not in known},
    )


def _get(fields: Mapping[str, Any], name: str, kind: type) -> Any:  # noqa: ANN401
    value = fields.get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{name} is {str(value)[:40]!r}, no {kind.__name__}")
    return value


def _inside(text: str, top: Tuple[str, ...], depth: int) -> str:
    # The shape is fixed, so a path that leaves the root cannot even be written down.
    parts = PurePosixPath(text).parts
    if parts[: len(top)] != top or len(parts) != depth or ".." in parts or "\0" in text:
        raise ValueError(f"{text[:80]!r} is no directory of {'/'.join(top)}/ in the root")
    return text


def _interruptions(items: List[Any]) -> Tuple[Interruption, ...]:
    found = []
    for item in items:
        if not isinstance(item, dict):
            raise ValueError(f"an interruption is a {type(item).__name__}")
        lost, away = item.get("seconds_lost"), item.get("seconds_away")
        if type(lost) not in (int, float):
            raise ValueError(f"interruptions.seconds_lost is {str(lost)[:40]!r}")
        if type(away) not in (int, float, type(None)):
            raise ValueError(f"interruptions.seconds_away is {str(away)[:40]!r}")
        found.append(
            Interruption(
                time=_get(item, "time", str),
                signal=_get(item, "signal", str),
                step=_get(item, "step", int),
                steps_lost=_get(item, "steps_lost", int),
                seconds_lost=_seconds(lost),
                host=_get(item, "host", str),
                seconds_away=None if away is None else _seconds(away),
                restart=None if item.get("restart") is None else _get(item, "restart", int),
            )
        )
    return tuple(found)


def _seconds(value: Any) -> float:  # noqa: ANN401
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"an interruption's seconds are {str(value)[:40]}...") from None
