"""The file systems of the results: of what kind they are, and what was tried on them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import List, Tuple

from mapush.checkpoint.retention import parse
from mapush.doctor.ask import ask
from mapush.doctor.finding import LOSS, OK, WARNING, Finding
from mapush.doctor.question import Question
from mapush.doctor.trials import SECTION
from mapush.launch.profile import PROJECT
from mapush.launch.request import SLURM
from mapush.learners.config import PPOConfig
from mapush.training.config import Config
from mapush.training.disk_space import Space, estimate

_SECONDS = 120.0  # for all trials; a dead file server never answers
_MEMORY = ("tmpfs", "ramfs", "devtmpfs", "hugetlbfs")
_LAYERS = ("overlay", "aufs", "fuse.fuse-overlayfs")
_OWN = ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "reiserfs")
_NOT_ATOMIC = ("fuse.gcsfuse", "fuse.goofys", "fuse.rclone", "fuse.s3fs", "fuse.sshfs")
_EMPTIED = (Path("/tmp"), Path("/var/tmp"))
_ELSEWHERE = "another directory with --root"

# A module.pt as measured: what does not depend on anything, the networks' input and output layers
# and their square one with Adam's two moments each, and an episode in flight for each environment.
_PLAIN_BYTES = 38_000
_PER_WIDTH = 450
_PER_WIDTH_SQUARED = 24
_PER_ENVIRONMENT = 680


def checkpoint_bytes(num_envs: int, hidden_size: int) -> int:
    """About what a `module.pt` takes, without building the networks."""
    weights = _PER_WIDTH * hidden_size + _PER_WIDTH_SQUARED * hidden_size * hidden_size
    return _PLAIN_BYTES + weights + _PER_ENVIRONMENT * num_envs


def space_of_a_run(settings: Config, recipe: PPOConfig) -> Space:
    """What one run from its start to its last step writes.

    Raises:
        RequestError: If `--keep` is wrong.
    """
    return estimate(
        0,
        settings.run.train_timesteps,
        settings.environment.num_envs * recipe.decimation * recipe.rollout_steps,
        settings.checkpointing.save_freq,
        checkpoint_bytes(settings.environment.num_envs, recipe.hidden_size),
        parse(settings.checkpointing.keep),
    )


def file_systems_of(question: Question) -> List[Path]:
    """The root, and what in it lies on a file system of its own.

    Raises:
        OSError: If the root does not tell.
    """
    root = question.nearest
    found = {root.stat().st_dev: root}
    for path in (root / "log", root / "results"):
        if path.is_dir():
            found.setdefault(path.stat().st_dev, path)
    return list(found.values())


def try_storage(question: Question) -> Tuple[List[Finding], float]:
    """Try everything at the root, and where log/ or results/ lie on other file systems.

    Returns:
        What was found, and the seconds of the slowest checkpoint; 0 if none could be written.
    """
    found: List[Finding] = []
    if question.nearest != question.root:
        what = f"{question.root}: is not there yet and will be made"
        found.append(Finding(SECTION, "root", OK, what))
    settings, recipe = question.settings, question.recipe
    size = checkpoint_bytes(settings.environment.num_envs, recipe.hidden_size)
    needed = space_of_a_run(settings, recipe).needed * question.runs
    for directory in file_systems_of(question):
        words = ["-m", "mapush.doctor.trials", str(directory), str(size), str(needed)]
        answer = ask([sys.executable, *words], _SECONDS, directory=str(PROJECT))
        lines = [line for line in answer.out.splitlines() if line.startswith("[")]
        found += [Finding(*json.loads(line)) for line in lines]
        if not answer.is_good:
            what = f"{directory}: {answer.complaint}"
            found.append(Finding(SECTION, "root", LOSS, what, "a run hangs or ends", _ELSEWHERE))
    return found, max((each.seconds for each in found), default=0.0)


def judge_kinds(question: Question, seen_on_node: bool) -> List[Finding]:
    """Judge the file systems by their kinds alone.

    Args:
        question: The job.
        seen_on_node: Whether a compute node was seen to have the root.
    """
    found = []
    for directory in file_systems_of(question):
        answer = ask(["findmnt", "-no", "FSTYPE,OPTIONS", "-T", str(directory)])
        kind, _, options = answer.out.strip().partition(" ")
        is_own = question.cluster == SLURM and not seen_on_node
        found.append(judge_kind(directory, kind, options.strip(), is_own))
    return found


def judge_kind(path: Path, kind: str, options: str, nodes_must_see_it: bool) -> Finding:
    """Judge one file system.

    Args:
        path: The directory.
        kind: As `mount` calls it; empty if the system does not tell.
        options: With commas.
        nodes_must_see_it: Whether compute nodes must see it, and were not seen to.
    """
    level, what, cost, fix = OK, f"{path}: {kind or 'of unknown kind'}", "", _ELSEWHERE
    if kind in _MEMORY:
        level, what = LOSS, f"{what}, is memory"
        cost = "everything is gone when the machine restarts, and no other node sees it"
    elif kind in _LAYERS:
        level, what = WARNING, f"{what}, is a container's own layer"
        cost = "everything is gone when the container is removed"
    elif kind.startswith("nfs") and {"soft", "softerr"} & set(options.split(",")):
        level, what, fix = WARNING, f"{what}, soft", "have it mounted hard"
        cost = "a slow server becomes an input/output error in the middle of a checkpoint"
    elif kind in _NOT_ATOMIC:
        level = WARNING
        cost = "a kill or a lost connection may leave a checkpoint that is not whole"
    elif kind in _OWN and nodes_must_see_it:
        level, what = WARNING, f"{what}, is this machine's own"
        cost = "if compute nodes do not see it, no job starts"
        fix = "--on-node looks from a compute node; or a shared directory with --root"
    elif any(each in (path, *path.parents) for each in _EMPTIED):
        level, what = WARNING, f"{what}, is for temporary files"
        cost = "many systems empty it at a restart or after some days"
    return Finding(SECTION, "file system", level, what, cost, fix if cost else "")
