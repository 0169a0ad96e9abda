"""Every test starts outside any job, on one torch thread, as training does."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, List

import pytest

# A shell's background job is started with SIGINT ignored, and every child would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


TESTS = Path(__file__).parent
SLOW = ("cluster", "container", "durability")
# Of those, files that mark their slow tests themselves.
MARKED_INSIDE = ("container/test_enter_commands.py", "durability/test_names.py")


# Folders whose tests share a cluster or images, so that one process runs them: the longest first.
TOGETHER = ("container", "cluster")


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by marker
def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    for item in items:
        path = item.path.relative_to(TESTS)
        if path.parts[0] in SLOW and path.as_posix() not in MARKED_INSIDE:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: _turn(item.path.relative_to(TESTS).parts[0]))


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        """A process at a time for a file, or for a folder of `TOGETHER`."""

        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            folder = path.split("/")[1]
            return folder if folder in TOGETHER else path

    return ByFile(config, log)


def _turn(folder: str) -> int:
    return TOGETHER.index(folder) if folder in TOGETHER else len(TOGETHER)


@pytest.fixture(autouse=True)
def _outside_any_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("SLURM_", "MAPUSH_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True, scope="session")
def _one_torch_thread() -> None:
    import torch

    torch.set_num_threads(1)
