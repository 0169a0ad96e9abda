"""Isaac Gym's double, fresh for each test: as if the test were a process of its own."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest

from mapush.robots import assets
from mapush.simulators.isaacgym import imports, simulator
from tests.container import robot_double
from tests.support import PROJECT

DOUBLE = Path(robot_double.__file__).parent / "isaacgym_double"


def forget_isaacgym(patch: pytest.MonkeyPatch) -> None:
    """What only a new process could do."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "isaacgym"]:
        patch.delitem(sys.modules, name)
    patch.setattr(imports, "_failure", {})
    patch.setattr(simulator, "_worlds", [])
    patch.setattr(simulator, "_in_use", [])


@pytest.fixture(scope="session")
def robot_assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("assets")
    robot_double.make(directory)
    return directory


@pytest.fixture
def gym(robot_assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The double's gymapi, imported before torch as the commands do it."""
    forget_isaacgym(monkeypatch)
    monkeypatch.syspath_prepend(str(DOUBLE))
    monkeypatch.setenv(assets.VARIABLE, str(robot_assets))
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "extensions"))
    monkeypatch.setattr(assets, "FILES", assets.FILES)  # which the double replaces
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "torch")
        imports.load_before_torch()
    yield imports.gymapi()
    for name in [name for name in sys.modules if name.partition(".")[0] == "isaacgym"]:
        del sys.modules[name]


@pytest.fixture
def environment(robot_assets: Path, tmp_path: Path) -> Dict[str, str]:
    """Variables with which a command of its own process finds the double."""
    return {
        **os.environ,
        "PYTHONPATH": f"{DOUBLE}{os.pathsep}{PROJECT}",
        "MAPUSH_ASSETS": str(robot_assets),
        "MAPUSH_JOB_ID": "job-1",
        "TORCH_EXTENSIONS_DIR": str(tmp_path / "extensions"),
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder whose task `short` is cuboid with episodes of 50 control steps."""
    folder = tmp_path / "project"
    shutil.copytree(PROJECT / "task" / "cuboid", folder / "task" / "short")
    config = folder / "task" / "short" / "config.py"
    text = config.read_text(encoding="utf-8").replace('name="cuboid"', 'name="short"')
    text = text.replace(
        "    robots=Robots(count=2),",
        "    robots=Robots(count=2),\n    termination=Termination(control_steps=50),",
    )
    config.write_text(text, encoding="utf-8")
    return folder
