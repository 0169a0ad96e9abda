"""What a run will write, worked out before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mapush.checkpoint.retention import CheckpointInfo, Policy
from mapush.errors import StorageError
from mapush.files import free_bytes

# An update's entry in log.txt and its points in TensorBoard, with room to spare.
_LOG_BYTES = 2_000
_SCALAR_BYTES = 3_000
_MANIFEST_BYTES = 1_000


@dataclass(frozen=True)
class Space:
    """Bytes that a run needs.

    Attributes:
        written: by all its checkpoints, most of them deleted again by retention.
        needed: at once, at the most: the checkpoints that are kept, one being written, the logs.
        checkpoints: how many are written.
        kept: how many are kept at the end.
    """

    written: int
    needed: int
    checkpoints: int
    kept: int

    def __str__(self) -> str:
        return (
            f"{self.checkpoints:,} checkpoints, {self.kept:,} of them kept: writes about "
            f"{self.written / 1e6:,.0f} MB and needs {self.needed / 1e6:,.0f} MB"
        )


def estimate(
    first_step: int,
    last_step: int,
    steps_per_update: int,
    save_freq: int,
    checkpoint_bytes: int,
    policy: Policy,
) -> Space:
    """Work out what training from `first_step` to `last_step` writes and needs.

    Args:
        first_step: environment steps done.
        last_step: environment steps to reach.
        steps_per_update: of one rollout.
        save_freq: environment steps between checkpoints.
        checkpoint_bytes: size of one `module.pt`.
        policy: which checkpoints are kept.
    """
    updates = max(-(-(last_step - first_step) // steps_per_update), 0)
    every = max(save_freq // steps_per_update, 1)
    count = -(-updates // every)
    spacing = every * steps_per_update
    # Retention is asked about a thinned row of steps: a run of 10^9 steps has 50,000 of them.
    shown = min(count, 20_000)
    steps = [first_step + spacing * (1 + index * count // shown) for index in range(shown)]
    kept = len(policy.keep([CheckpointInfo(step) for step in steps]))
    kept = count if kept == shown else kept
    size = checkpoint_bytes + _MANIFEST_BYTES
    logs = updates * (_LOG_BYTES + _SCALAR_BYTES)
    return Space(count * size, (kept + 2) * size + logs, count, kept)


def require(space: Space, place: Path) -> None:
    """Make sure that a file system has the space a run needs.

    Raises:
        StorageError: it has not; both figures are in the message.
    """
    free = free_bytes(place)
    if free < space.needed:
        raise StorageError(
            f"{place}: the disk has {free:,} bytes free and this run needs {space.needed:,} "
            f"({space.kept:,} checkpoints kept at a time); free some space, keep less with --keep, "
            "or choose another directory with --root"
        )
