"""What can be said of a run by looking at its files. Looking writes nothing and needs no torch."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional

from mapush.checkpoint import manifest
from mapush.checkpoint.store import CheckpointEntry, CheckpointStore
from mapush.errors import CheckpointError
from mapush.evaluation import success_rates
from mapush.runs.owner import Living, living
from mapush.runs.record import RunRecord
from mapush.runs.run import RunDirectory

ASIDE = ".bad-"


class Score(NamedTuple):
    """A success rate and where it comes from."""

    rate: float
    origin: str


def part(run: RunDirectory, name: str) -> Path:
    """A file or directory of a run, wherever it is; a run on its way home is in two places."""
    live = run.live / name
    return live if live.exists() else run.results / name


def entries_of(run: RunDirectory) -> List[CheckpointEntry]:
    """The checkpoints of a run in numeric order.

    Raises:
        StorageError: They cannot be listed.
    """
    return CheckpointStore(part(run, "checkpoints")).entries()


def size_of(path: Path) -> int:
    """Bytes of the files in a directory, or of a file; what vanishes meanwhile counts nothing."""
    total = 0
    for directory, _, names in os.walk(path):
        for name in names:
            total += _size(Path(directory) / name)
    return total if path.is_dir() else _size(path)


def scores_of(run: RunDirectory, entries: List[CheckpointEntry]) -> Dict[int, Score]:
    """Success rates by step: of success_rate.txt, else those found during training.

    Raises:
        RequestError: If success_rate.txt is in another form.
    """
    found = {}
    for entry in entries:
        score = _score_in_manifest(entry)
        if score is not None:
            found[entry.step] = score
    for known in success_rates.read_success_rates(part(run, success_rates.FILE_NAME)):
        found[known.step] = Score(known.success_rate, f"{known.episodes} episodes")
    return found


def newest_score(run: RunDirectory, entries: List[CheckpointEntry]) -> Optional[float]:
    """The success rate of the newest checkpoint that was evaluated, without reading all manifests.

    Raises:
        RequestError: If success_rate.txt is in another form.
    """
    tested = success_rates.read_success_rates(part(run, success_rates.FILE_NAME))[-1:]
    for entry in reversed(entries):
        if tested and entry.step <= tested[0].step:
            break
        score = _score_in_manifest(entry)
        if score is not None:
            return score.rate
    return tested[0].success_rate if tested else None


def total_steps(found: RunRecord) -> Optional[int]:
    """The steps a run is to reach, if its record says."""
    settings = found.more.get("settings")
    total = settings.get("train_timesteps") if isinstance(settings, Mapping) else None
    return total if type(total) is int else None


def local_time(directory: Path) -> float:
    """This host's clock; asking the file system's makes a file in the directory."""
    return time.time()


def trainer_of(run: RunDirectory) -> Optional[Living]:
    """The live process that trains a run, judged by this host's clock so that nothing is written.

    Raises:
        StorageError: If the storage does not tell.
    """
    return living(run, now=local_time)


def human_bytes(count: float) -> str:
    """A size in powers of 1000, such as `7.3 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def plain(value: Any) -> str:  # noqa: ANN401
    """A value of a run.yaml on one line; text of others never drives the terminal."""
    text = value if isinstance(value, str) else repr(value)
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _score_in_manifest(entry: CheckpointEntry) -> Optional[Score]:
    try:
        evaluation = manifest.read(entry.manifest).evaluation or {}
    except CheckpointError:
        return None
    rate = evaluation.get("success_rate")
    return None if rate is None else Score(rate, "during training")


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
