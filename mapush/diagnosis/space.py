"""Whether what a run will write fits."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import List

from mapush.checkpoint.retention import parse
from mapush.diagnosis.finding import LOSS, NOTE, OK, WARNING, Finding
from mapush.diagnosis.operations import Filling
from mapush.diagnosis.question import Question
from mapush.files import free_bytes
from mapush.learner.recipe import Recipe
from mapush.training.settings import Settings
from mapush.training.space import Space, estimate

SECTION = "storage"
TRIED_BYTES = 200_000_000
"""At most so many bytes are written to see whether a quota lets them."""
TRIED_SECONDS = 20.0

# A module.pt as measured: what does not depend on anything, the networks' input and output layers
# and their square one with Adam's two moments each, and an episode in flight for each environment.
_PLAIN_BYTES = 45_000
_PER_WIDTH = 450
_PER_WIDTH_SQUARED = 24
_PER_ENVIRONMENT = 680
_FILES_OF_A_RUN = 50
_FILES_OF_A_CHECKPOINT = 3


def checkpoint_bytes(num_envs: int, hidden_size: int) -> int:
    """About what a `module.pt` takes, without building the networks."""
    weights = _PER_WIDTH * hidden_size + _PER_WIDTH_SQUARED * hidden_size * hidden_size
    return _PLAIN_BYTES + weights + _PER_ENVIRONMENT * num_envs


def space_of_a_run(settings: Settings, recipe: Recipe) -> Space:
    """What one run from its start to its last step writes.

    Raises:
        RequestError: If `--keep` is wrong.
    """
    return estimate(
        0,
        settings.train_timesteps,
        settings.num_envs * recipe.hold * recipe.decisions,
        settings.save_freq,
        checkpoint_bytes(settings.num_envs, recipe.hidden_size),
        parse(settings.keep),
    )


def judge_space(place: Path, question: Question) -> List[Finding]:
    """Compare what is free with what is needed, bytes and files.

    Raises:
        OSError: If the storage does not tell.
    """
    needed = question.space.needed * question.runs
    free = free_bytes(place)
    runs = f"{question.runs} runs of" if question.runs > 1 else "one run of"
    what = (
        f"{place}: {_shown(free)} free, {_shown(needed)} needed for {runs} "
        f"{question.space.checkpoints:,} checkpoints, {question.space.kept:,} of them kept"
    )
    mend = "free some space, keep less with --keep, or another directory with --root"
    found = []
    if free < needed:
        found.append(_finding("space", LOSS, what, "the run stops when the disk is full", mend))
    elif free < 2 * needed:
        cost = "others who write there can fill it"
        found.append(_finding("space", NOTE, what, cost, mend))
    else:
        found.append(_finding("space", OK, what))
    statistics = os.statvfs(place)
    kept = question.space.kept + 2
    files = question.runs * (_FILES_OF_A_RUN + _FILES_OF_A_CHECKPOINT * kept)
    # Some file systems have no such limit and show 0 of 0.
    if statistics.f_files and statistics.f_favail < files:
        what = f"{place}: {statistics.f_favail:,} more files fit (inodes), {files:,} needed"
        cost = "the run stops when none is left"
        found.append(_finding("files", LOSS, what, cost, "delete files, or another --root"))
    return found


def judge_filling(place: Path, filling: Filling, needed: int) -> Finding:
    """Judge a trial of writing what is needed, or as much of it as was tried."""
    written = _shown(filling.written)
    refusal = filling.refusal
    if refusal is not None:
        full = refusal.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = os.strerror(refusal.errno or 0)
        what = f"{place}: after {written} of {_shown(needed)}: {reason}"
        cost = "the run stops when nothing more can be written" if full else "a run cannot write"
        mend = "free some space or ask for more quota" if full else "check the storage"
        return _finding("quota", LOSS, what, cost, mend)
    speed = filling.written / 1e6 / max(filling.seconds, 1e-6)
    what = f"{place}: {written} of {_shown(needed)} written at a go, {speed:,.0f} MB/s"
    if filling.written < min(needed, TRIED_BYTES):
        return _finding("quota", WARNING, what, "saving may hold training up", "faster storage")
    if filling.written < needed:
        what += "; whether a quota lets the rest was not tried"
        return _finding("quota", NOTE, what)
    return _finding("quota", OK, what)


def _shown(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


def _finding(name: str, level: str, what: str, cost: str = "", mend: str = "") -> Finding:
    return Finding(SECTION, name, level, what, cost, mend)
