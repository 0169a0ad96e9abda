"""Owners of runs as other hosts and jobs would have them."""

from __future__ import annotations

import dataclasses

from mapush.runs.owner import Owner


def owner(job_id: str = "", restart: int = 0, **changes: object) -> Owner:
    """This process as an owner, with some fields changed."""
    return dataclasses.replace(Owner.current(job_id, restart), **changes)


def elsewhere(job_id: str = "", restart: int = 0) -> Owner:
    """An owner on another host, of which only the heartbeat can be known."""
    return owner(job_id, restart, host="node7", pid=4711, namespace="another boot")


def gone(job_id: str = "", restart: int = 0) -> Owner:
    """An owner on this machine that has ended."""
    return owner(job_id, restart, process_start=-1)
