"""What kind of file system a directory lies on, and what that means for a run."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import FrozenSet, List, Optional

from mapush.diagnosis.finding import LOSS, NOTE, OK, WARNING, Finding
from mapush.diagnosis.question import Question
from mapush.job.request import SLURM

SECTION = "storage"
_ESCAPED = re.compile(r"\\([0-7]{3})")
_MEMORY = ("tmpfs", "ramfs", "devtmpfs", "hugetlbfs")
_LAYERS = ("overlay", "aufs", "fuse.fuse-overlayfs")
_SHARED = (
    *("nfs", "nfs4", "lustre", "gpfs", "ceph", "fuse.ceph", "beegfs", "fhgfs", "wekafs", "panfs"),
    *(
        "afs",
        "orangefs",
        "pvfs2",
        "glusterfs",
        "fuse.glusterfs",
        "cifs",
        "smb3",
        "smbfs",
        "quobyte",
    ),
    *("fuse.quobyte", "fuse.juicefs", "juicefs", "daosfs", "fuse.daos", "vast"),
)
_OWN = ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "reiserfs")


@dataclasses.dataclass(frozen=True)
class Mount:
    """A mounted file system."""

    point: str
    kind: str
    options: FrozenSet[str] = frozenset()


def find_mount(path: Path, mountinfo: str) -> Optional[Mount]:
    """The file system that a directory lies on.

    Args:
        path: The directory, with no symbolic link in it.
        mountinfo: Content of `/proc/self/mountinfo`.
    """
    best: Optional[Mount] = None
    for line in mountinfo.splitlines():
        left, mark, right = line.partition(" - ")
        before, after = left.split(" "), right.split(" ")
        if not mark or len(before) < 6 or len(after) < 2:
            continue
        point = _ESCAPED.sub(lambda match: chr(int(match[1], 8)), before[4])
        inside = point == "/" or str(path) == point or str(path).startswith(f"{point}/")
        # Of two mounts on the same place the later one is seen.
        if inside and (best is None or len(point) >= len(best.point)):
            more = after[2] if len(after) > 2 else ""
            options = frozenset(filter(None, [*before[5].split(","), *more.split(",")]))
            best = Mount(point, after[0], options)
    return best


def judge_mount(
    mount: Optional[Mount], path: Path, question: Question, is_on_node: Optional[bool] = None
) -> List[Finding]:
    """Judge a file system by its kind alone.

    Args:
        mount: See `find_mount`.
        path: The directory.
        question: The job.
        is_on_node: Whether a compute node was seen to have the same one; None if not tried.
    """
    if mount is None:
        return [_finding(NOTE, f"{path}: its kind is not shown on this system")]
    kind, options = mount.kind, mount.options
    where = f"{path}: {kind}, mounted at {mount.point}"
    elsewhere = "another directory with --root"
    if kind in _MEMORY:
        cost = "everything is gone when the machine restarts, and no other node sees it"
        return [_finding(LOSS, f"{where}, is memory", cost, elsewhere)]
    if kind in _LAYERS:
        cost = "everything is gone when the container is removed"
        return [_finding(WARNING, f"{where}, is a container's own layer", cost, elsewhere)]
    found = []
    if kind in ("nfs", "nfs4") and options & {"soft", "softerr"}:
        cost = "a slow server becomes an input/output error in the middle of a checkpoint"
        found.append(_finding(WARNING, f"{where}, soft", cost, "have it mounted hard"))
    if kind == "fuse.sshfs":
        cost = "a lost connection stops the run, and renames may not be atomic"
        found.append(_finding(WARNING, where, cost, elsewhere))
    if str(path).startswith(("/tmp/", "/var/tmp/")) or str(path) in ("/tmp", "/var/tmp"):
        cost = "many systems empty it at a restart or after some days"
        found.append(_finding(WARNING, f"{path}: lies in a directory for temporary files", cost))
    if question.cluster == SLURM and kind in _OWN and not is_on_node:
        cost = "if compute nodes do not see it, no job starts"
        mend = "--on-node looks from a compute node; or a shared directory with --root"
        found.append(_finding(WARNING, f"{where}, is this machine's own", cost, mend))
    if not found:
        known = kind in _SHARED or kind in _OWN
        found.append(_finding(OK if known else NOTE, where + ("" if known else ", not known here")))
    return found


def mount_of(path: Path) -> Optional[Mount]:
    """The file system that a directory lies on now; None where the system does not tell."""
    try:
        return find_mount(Path(os.path.realpath(path)), Path("/proc/self/mountinfo").read_text())
    except OSError:
        return None


def _finding(level: str, what: str, cost: str = "", mend: str = "") -> Finding:
    return Finding(SECTION, "file system", level, what, cost, mend)
