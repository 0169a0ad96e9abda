from __future__ import annotations

import os

import pytest

from mapush.cores import usable_cores


@pytest.mark.parametrize(
    ("there", "granted", "expected"),
    [
        (8, "", 8),
        (8, "2", 2),
        (2, "8", 2),
        (8, "0", 8),
        (8, "some", 8),
    ],
)
def test_the_usable_cores_are_those_that_the_process_and_its_job_may_use(
    there: int, granted: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(there)))
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", granted)
    assert usable_cores() == expected
