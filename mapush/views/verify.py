"""Prints what of a run is sound."""

from __future__ import annotations

from pathlib import Path
from typing import List, Sequence

from rich.console import Console

from mapush.errors import EXIT_COMPLETE, EXIT_FAILURE
from mapush.evaluation.success_rates import FILE_NAME, read_success_rates
from mapush.runs.directory import RunDirectory
from mapush.runs.verification import Check, Finding, locate, verify
from mapush.tasks import load_task
from mapush.views import tables

_CHECKS = (
    Check("task/config.py", "task", load_task, is_needed=True),
    Check(FILE_NAME, FILE_NAME, read_success_rates),
)


def verify_runs(root: Path, names: Sequence[str]) -> int:
    """Check runs and print a line about each thing in them.

    Returns:
        The exit code: 1 if anything is damaged.

    Raises:
        RequestError: A run is unknown.
        StorageError: A directory cannot be listed.
    """
    out = tables.screen()
    damaged = [_show(run, out) for run in [locate(root, name) for name in names]]
    return EXIT_FAILURE if any(damaged) else EXIT_COMPLETE


def _show(run: RunDirectory, out: Console) -> bool:
    """Print what is found as it is found; whether anything is damaged."""
    out.print(str(run.results))
    findings: List[Finding] = []
    for finding in verify(run, _CHECKS):
        findings.append(finding)
        mark = "DAMAGED: " if finding.is_damaged else ""
        size = "" if finding.size is None else f", {tables.human_bytes(finding.size)}"
        out.print(f"  {finding.what:<28}  {mark}{finding.says}{size}")
    count = sum(finding.is_damaged for finding in findings)
    out.print(f"  {f'{count} damaged' if count else 'all good'}")
    return count > 0
