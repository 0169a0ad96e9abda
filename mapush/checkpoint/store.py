"""The checkpoints of one run: save, list, find the newest that really loads, keep what counts.

Only the process that owns the run may call what writes. `guard` is asked right before anything
appears, is renamed or is deleted, so that a process that has lost its run changes nothing.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import logging
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from mapush.checkpoint import manifest, publish, retention
from mapush.checkpoint.archive import read_bytes
from mapush.checkpoint.names import ASIDE, STEM, directory_name, step_of
from mapush.errors import CheckpointError, StorageError
from mapush.files import (
    TRANSIENT,
    fsync_directory,
    is_directory,
    list_directory,
    remove,
    set_aside,
    storage_errors,
    write_atomically,
)

MODULE = "module.pt"

# Faults of the moment: the checkpoint may be good, so it is neither set aside nor passed over.
_PASSING = {errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, *TRANSIENT}
# Bad sectors say so for good; for a moment it is any fault of a server.
_PASSING -= {errno.EIO}
# What lies there is no checkpoint, or (None) its content is not.
_DAMAGE = {None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP}


@dataclasses.dataclass(frozen=True)
class CheckpointEntry:
    """A checkpoint directory, not yet looked into."""

    step: int
    """Environment steps by its name."""
    path: Path
    """The directory."""

    @property
    def module(self) -> Path:
        """Its module.pt."""
        return self.path / MODULE

    @property
    def manifest(self) -> Path:
        """Its manifest.json."""
        return self.path / manifest.FILE_NAME


def nothing() -> None:
    """A guard for a directory that nobody else writes."""


def nobody(step: int) -> bool:
    """The answer where nobody else uses the checkpoints."""
    return False


def nobody_told(error: CheckpointError) -> None:
    """For damage that is found again where it counts."""


class CheckpointStore:
    """The checkpoint directory of one run.

    Args:
        directory: The run's `checkpoints/`; created by the first save.
        policy: Which checkpoints to keep after each save.
        guard: Called right before anything is published, renamed or deleted; raises to stop it.
        warn: Takes one line about something a person should know.
        in_use: Whether another process needs the checkpoint of a step, which is then not deleted.
    """

    def __init__(
        self,
        directory: Path,
        policy: retention.Policy = retention.DEFAULT,
        guard: Callable[[], None] = nothing,
        warn: Callable[[str], None] = logging.getLogger("mapush").warning,
        in_use: Callable[[int], bool] = nobody,
    ) -> None:
        self.directory = directory
        self._policy = policy
        self._guard = guard
        self._warn = warn
        self._in_use = in_use
        self._pinned: Set[int] = set()
        self._scores: Dict[int, Optional[float]] = {}
        self._cleaned = False

    def entries(self) -> List[CheckpointEntry]:
        """The published checkpoints in numeric order, oldest first; none is looked into.

        Raises:
            StorageError: If the directory cannot be listed.
        """
        try:
            names = list_directory(self.directory)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(
                f"{self.directory}: cannot be listed ({error.strerror}); check its permissions"
            ) from error
        steps = [(step_of(name), name) for name in names]
        found = [CheckpointEntry(s, self.directory / name) for s, name in steps if s is not None]
        return sorted(found, key=lambda entry: entry.step)

    def has_traces(self) -> bool:
        """Whether a checkpoint has ever been here: one that was set aside counts too."""
        return any(path.name.startswith(STEM) for path in self.directory.glob("*"))

    def pin(self, step: int) -> None:
        """Keep the checkpoint of this step for as long as this process lives."""
        self._pinned.add(step)

    def save(
        self, state: Mapping[str, Any], evaluation: Optional[Mapping[str, float]] = None
    ) -> Path:
        """Publish a checkpoint durably, then delete what retention does not keep.

        A valid checkpoint of the same step stays as it is and only takes over the evaluation.

        Args:
            state: The fields of a module.pt; `training_step` gives the name.
            evaluation: Figures for the manifest; `success_rate` is the score for retention.

        Returns:
            The checkpoint's directory.

        Raises:
            StorageError: If the disk is full or refuses. Nothing is deleted to make room.
            CheckpointError: If the state cannot be saved.
        """
        from mapush.checkpoint import module

        step = state["training_step"]
        entry = CheckpointEntry(step, self.directory / directory_name(step))
        with storage_errors(entry.path):
            self._clean()
            if not self._stays(entry):
                data = module.dumps(state)
                described = manifest.describe(
                    data, step, state["epoch"], state["config"], evaluation
                )
                files = {MODULE: data, manifest.FILE_NAME: manifest.dumps(described)}
                publish.publish(entry.path, files, self._guard)
                self._scores[step] = described.success_rate
            elif evaluation is not None:
                self.record_evaluation(step, evaluation)
            self._apply_retention(step)
        return entry.path

    def record_evaluation(self, step: int, evaluation: Mapping[str, float]) -> None:
        """Put figures that were found later into the manifest of a checkpoint.

        Raises:
            CheckpointError: If there is no such checkpoint or its manifest is damaged.
            StorageError: If the storage refuses.
        """
        entry = CheckpointEntry(step, self.directory / directory_name(step))
        known = manifest.read(entry.manifest)
        described = dataclasses.replace(known, evaluation=dict(evaluation))
        self._guard()
        write_atomically(entry.manifest, manifest.dumps(described))
        self._scores[step] = described.success_rate

    def newest_valid(self) -> Optional[Tuple[CheckpointEntry, Dict[str, Any]]]:
        """Load the newest checkpoint that really loads and is what its manifest says, and pin it.

        Bad ones on the way are renamed to `<name>.bad-<k>` with a warning.

        Returns:
            The checkpoint and its state, or None if there is no valid one.

        Raises:
            StorageError: If a checkpoint may be good but cannot be read just now.
        """
        unreadable: List[Tuple[CheckpointEntry, str]] = []
        with storage_errors(self.directory):
            self._clean()
            for entry in reversed(self.entries()):
                try:
                    state = load_entry(entry)
                except CheckpointError as error:
                    fault = _fault(error)
                    if fault in _PASSING:
                        raise StorageError(str(error)) from error
                    if fault in _DAMAGE:
                        self._set_aside(entry, str(error))
                    else:
                        # Its sectors are bad if an older one can be read, else all of the storage.
                        unreadable.append((entry, str(error)))
                    continue
                for bad, reason in unreadable:
                    # The fault may have been over by the time that the older one was read.
                    again = load_newest([bad])
                    if again is not None:
                        entry, state = again
                        break
                    self._set_aside(bad, reason)
                self.pin(entry.step)
                return entry, state
        if unreadable:
            raise StorageError(unreadable[0][1])
        return None

    def retire(self, entry: CheckpointEntry) -> bool:
        """Delete a checkpoint, unless another process needs it by now; whether it is deleted.

        Raises:
            StorageError: If the storage refuses.
        """
        if self._in_use(entry.step):
            return False
        self._guard()
        deleted = publish.retire(entry.path, lambda: self._in_use(entry.step))
        if deleted:
            self._scores.pop(entry.step, None)
        return deleted

    def _clean(self) -> None:
        """Remove, once, what writers that were killed have left."""
        if self._cleaned or not is_directory(self.directory):
            self._cleaned = True
            return
        for path in publish.leftovers(self.directory):
            self._guard()
            try:
                remove(path)
            except OSError as error:
                # In nobody's way: no reason to go without new checkpoints.
                self._warn(f"{path}: a leftover could not be removed ({error.strerror})")
        self._cleaned = True

    def _stays(self, entry: CheckpointEntry) -> bool:
        """Whether a good checkpoint is there already; a bad one is set aside."""
        if not entry.path.exists() and not entry.path.is_symlink():
            return False
        try:
            described = manifest.read(entry.manifest)
            digest = hashlib.sha256(read_bytes(entry.module)).hexdigest()
        except CheckpointError as error:
            if _fault(error) in _PASSING:
                raise StorageError(str(error)) from error
            self._set_aside(entry, str(error))
            return False
        if digest == described.sha256 and described.step == entry.step:
            # The save that put it there may have failed just before this.
            fsync_directory(self.directory)
            return True
        self._set_aside(entry, f"{entry.module}: is not what its manifest says")
        return False

    def _set_aside(self, entry: CheckpointEntry, reason: str) -> None:
        self._guard()
        with storage_errors(entry.path):
            aside = set_aside(entry.path, ASIDE)
        self._scores.pop(entry.step, None)
        self._warn(f"set a damaged checkpoint aside as {aside.name}: {reason}")

    def _apply_retention(self, saved: int) -> None:
        entries = self.entries()
        try:
            infos = [retention.CheckpointInfo(entry.step, self._score(entry)) for entry in entries]
        except StorageError as error:
            self._warn(f"old checkpoints are all kept for now: {error}")
            return
        # The one just saved is known to be whole; without it there might be no valid one left.
        kept = self._policy.keep(infos) | set(self._pinned) | {saved}
        kept |= retention.KeepFinal().keep(infos)
        for entry in entries:
            if entry.step in kept:
                continue
            try:
                self.retire(entry)
            except StorageError as error:
                self._warn(f"an old checkpoint could not be deleted: {error}")

    def _score(self, entry: CheckpointEntry) -> Optional[float]:
        if entry.step not in self._scores:
            try:
                self._scores[entry.step] = manifest.read(entry.manifest).success_rate
            except CheckpointError as error:
                if _fault(error) not in _DAMAGE:
                    raise StorageError(str(error)) from error  # it may be the best one
                self._scores[entry.step] = None
                self._warn(f"a checkpoint counts as not evaluated: {error}")
        return self._scores[entry.step]


def load_entry(entry: CheckpointEntry) -> Dict[str, Any]:
    """Load a checkpoint of a store, which must have a manifest and agree with it and its name.

    Raises:
        CheckpointError: If it is damaged in any way.
    """
    from mapush.checkpoint import module

    described = manifest.read(entry.manifest)
    state = module.load(entry.module, expected=described)
    steps = {"name": entry.step, "manifest": described.step, "module.pt": state["training_step"]}
    if len(set(steps.values())) > 1:
        quoted = ", ".join(f"{step} by its {where}" for where, step in steps.items())
        raise CheckpointError(f"{entry.path}: is a checkpoint of {quoted}; restore it from a copy")
    true = {"epoch": state["epoch"], "config_hash": manifest.digest(state["config"])}
    for name, value in true.items():
        told = getattr(described, name)
        if told != value:
            raise CheckpointError(
                f"{entry.manifest}: {name} is {told} and that of {MODULE} is {value}; "
                "restore it from a copy"
            )
    return state


def load_newest(
    entries: Sequence[CheckpointEntry], passed_over: Callable[[CheckpointError], None] = nobody_told
) -> Optional[Tuple[CheckpointEntry, Dict[str, Any]]]:
    """The newest of some checkpoints that loads, with what it holds; nothing is set aside.

    Args:
        entries: In numeric order.
        passed_over: Takes what is wrong with newer ones.
    """
    for entry in reversed(entries):
        try:
            return entry, load_entry(entry)
        except CheckpointError as error:
            passed_over(error)
    return None


def damage(entry: CheckpointEntry) -> Optional[str]:
    """What is wrong with a checkpoint; None if it loads and is what its manifest and name say."""
    found: List[str] = []
    load_newest([entry], lambda error: found.append(str(error)))
    return found[0] if found else None


def _fault(error: CheckpointError) -> Optional[int]:
    """The error number of the storage that made a checkpoint unreadable; None for its content."""
    return error.__cause__.errno if isinstance(error.__cause__, OSError) else None
