"""Every test starts outside any job, on one torch thread, as training does."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, List, Tuple

import pytest

# A shell's background job is started with SIGINT ignored, and every child would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


TESTS = Path(__file__).parent
SLOW = ("cluster", "container", "durability")
# Of those, files that mark their slow tests themselves.
MARKED_INSIDE = ("container/test_enter_commands.py", "durability/test_names.py")


# Files and folders that share a cluster or an image, so that one process runs them: the longest
# first. Elsewhere that holds for a file.
IMAGES = "container/image"
TOGETHER = (
    (f"{IMAGES}/test_apptainer_image.py", f"{IMAGES}/test_image_on_cluster.py"),
    ("cluster",),
    (f"{IMAGES}/test_isaacgym_image.py",),
    (f"{IMAGES}/test_image.py",),
    ("container/test_enter_container.py",),
)


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by marker
def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    for item in items:
        path = item.path.relative_to(TESTS)
        if path.parts[0] in SLOW and path.as_posix() not in MARKED_INSIDE:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: _group(item.path.relative_to(TESTS).as_posix())[0])


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        """A process at a time for a group."""

        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid.partition("::")[0].partition("/")[2])[1]

    return ByGroup(config, log)


def _group(path: str) -> Tuple[int, str]:
    """Which group a file under `tests/` belongs to, and when that begins."""
    for turn, group in enumerate(TOGETHER):
        if path.startswith(group):
            return turn, group[0]
    return len(TOGETHER), path


@pytest.fixture(autouse=True)
def _outside_any_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("SLURM_", "MAPUSH_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True, scope="session")
def _one_torch_thread() -> None:
    import torch

    torch.set_num_threads(1)
