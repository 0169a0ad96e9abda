"""How good the checkpoints of a run are: by success_rate.txt, else by what training has found."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

from mapush.checkpoint import manifest
from mapush.checkpoint.store import CheckpointEntry
from mapush.errors import CheckpointError
from mapush.evaluation.success_rates import read_success_rates


class Score(NamedTuple):
    """A success rate and where it comes from."""

    rate: float
    origin: str


def scores_of(entries: List[CheckpointEntry], figures: Path) -> Dict[int, Score]:
    """Success rates by step.

    Args:
        entries: The checkpoints.
        figures: The success_rate.txt of their run.

    Raises:
        RequestError: If success_rate.txt is in another form.
    """
    found = {}
    for entry in entries:
        rate = _in_manifest(entry)
        if rate is not None:
            found[entry.step] = Score(rate, "during training")
    for known in read_success_rates(figures):
        found[known.step] = Score(known.success_rate, f"{known.episodes} episodes")
    return found


def newest_score(entries: List[CheckpointEntry], figures: Path) -> Optional[float]:
    """The success rate of the newest checkpoint that was evaluated, without reading all manifests.

    Raises:
        RequestError: If success_rate.txt is in another form.
    """
    tested = read_success_rates(figures)[-1:]
    for entry in reversed(entries):
        if tested and entry.step <= tested[0].step:
            break
        rate = _in_manifest(entry)
        if rate is not None:
            return rate
    return tested[0].success_rate if tested else None


def _in_manifest(entry: CheckpointEntry) -> Optional[float]:
    try:
        return manifest.read(entry.manifest).success_rate
    except CheckpointError:
        return None
