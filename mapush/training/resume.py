"""What training resumes from: the newest valid checkpoint, put into learner and environment."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from mapush.checkpoint import manifest
from mapush.checkpoint.store import CheckpointStore
from mapush.environment.base import Environment
from mapush.errors import CheckpointError
from mapush.learners.base import Learner
from mapush.runs.directory import RunDirectory
from mapush.runs.lease import Lease
from mapush.tasks.change import SET
from mapush.training.plan import Plan, Source


def newest_valid(run: RunDirectory, lease: Lease, warnings: List[str]) -> Optional[Source]:
    """The newest checkpoint of a run that really loads; None if it has never had one.

    Args:
        run: The run.
        lease: Of this process.
        warnings: Gets a line for each bad one on the way.

    Raises:
        CheckpointError: It has had some, and none is valid.
    """
    store = CheckpointStore(run.checkpoints, guard=lease.check, warn=warnings.append)
    newest = store.newest_valid()
    if newest is not None:
        evaluated = manifest.read(newest[0].manifest).evaluation is not None
        return Source(newest[0].module, newest[1], evaluated)
    if store.has_traces():
        raise CheckpointError(
            f"{run.checkpoints}: none of its checkpoints is valid and a run is never started over "
            "by itself; restore one from a copy, or start a new run "
            f"({'; '.join(warnings) or 'all were set aside before'})"
        )
    return None


def restore(plan: Plan, source: Source, learner: Learner, environment: Environment) -> List[str]:
    """Bring a learner and an environment to a checkpoint.

    Returns:
        What a person should know of it.

    Raises:
        CheckpointError: It does not fit.
    """
    notes: List[str] = []
    if source.is_published:
        learner.load_weights(source.state)
        notes.append(
            f"{source.path}: has no optimiser or generator state that can be resumed from, so "
            "these begin anew"
        )
    else:
        learner.load_state_dict(source.state)
        now = plan.config.learner.learner
        before = source.state["config"].get("learner", now)
        if before != now:
            notes.append(
                f"{source.path}: was trained with --learner {before}, this run has "
                f"{now}: weights, optimiser and generators continue in its arithmetic"
            )
    reason = _misfit(plan, source)
    if reason:
        notes.append(f"{source.path}: {reason}, so the episodes begin anew")
    else:
        _restore_episodes(environment, source)
    return notes


def _misfit(plan: Plan, source: Source) -> str:
    """Why a checkpoint's episodes cannot be resumed under this plan; empty if they can."""
    if source.is_published:
        return "holds no episodes in flight"
    config: Dict[str, Any] = source.state["config"]
    own = plan.values
    for name in ("exp", "sim", "num_envs"):
        before, now = config.get(name), own[name]
        if before != now:
            return f"was trained with --{name} {before}, this run has {now}"
    return "was trained with other --set" if config.get(SET) != own.get(SET) else ""


def _restore_episodes(environment: Environment, source: Source) -> None:
    try:
        environment.load_state_dict(source.state["environment_state"])
    except (KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{source.path}: its environment_state does not fit this task ({error}); "
            "resume with the task and versions that wrote it"
        ) from None
