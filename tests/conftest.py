"""Every test starts outside any job, on one torch thread, as training does."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import List

import pytest

# A shell's background job is started with SIGINT ignored, and every child would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


TESTS = Path(__file__).parent
SLOW = ("cluster", "container", "durability")
# Of those, files that mark their slow tests themselves.
MARKED_INSIDE = ("container/test_enter_commands.py", "durability/test_names.py")


# Folders whose tests share a cluster or an image, so that one process runs them, the longest first;
# elsewhere that holds for a file.
TOGETHER = ("container", "cluster")


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by marker
def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    def turn(item: pytest.Item) -> int:
        folder = item.path.relative_to(TESTS).parts[0]
        return TOGETHER.index(folder) if folder in TOGETHER else len(TOGETHER)

    for item in items:
        path = item.path.relative_to(TESTS)
        if path.parts[0] in SLOW and path.as_posix() not in MARKED_INSIDE:
            item.add_marker(pytest.mark.slow)
        group = path.parts[0] if path.parts[0] in TOGETHER else path.as_posix()
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=turn)


@pytest.fixture(autouse=True)
def _outside_any_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("SLURM_", "MAPUSH_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True, scope="session")
def _one_torch_thread() -> None:
    import torch

    torch.set_num_threads(1)
