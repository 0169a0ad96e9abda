"""The worlds of `worlds.py`, made once each, when the first test asks for them."""

from __future__ import annotations

import contextlib
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Callable, Dict, Iterator

import pytest
import tiny_image
import worlds
from worlds import WORLDS, World


@pytest.fixture(scope="session")
def _base() -> Iterator[Path]:
    # pytest's own folders are closed to the user without rights, and podman takes no long paths.
    folder = Path(tempfile.mkdtemp(prefix="mapush-", dir="/tmp"))
    folder.chmod(0o755)
    shutil.copy(worlds.PROJECT / "job/enter.sh", folder)
    yield folder
    # Podman leaves its store mounted on itself.
    subprocess.run(
        ["umount", "-q", "-l", str(folder / "images/overlay")],
        check=False,
        stderr=subprocess.DEVNULL,
    )
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _made_worlds(_base: Path) -> Iterator[Callable[[str], World]]:
    made: Dict[str, World] = {}
    with contextlib.ExitStack() as ends:

        def world(name: str) -> World:
            if name not in made:
                made[name] = make(name)
            return made[name]

        def root() -> Path:
            if platform.machine() != "x86_64":
                pytest.skip("the tiny image is made for x86_64")
            path = _base / "root"
            return path if path.exists() else tiny_image.make_root(path)

        def make(name: str) -> World:
            runtime, _, user = name.partition(" of a ")
            if user:
                built = ends.enter_context(worlds.as_user(world(runtime)))
                if runtime == "podman":
                    worlds.load_image(built, root())
                return built
            if runtime == "apptainer":
                return ends.enter_context(worlds.apptainer(_base, root()))
            built = ends.enter_context(
                {"podman": worlds.podman, "docker": worlds.docker}[runtime](_base)
            )
            worlds.load_image(built, root())
            return built

        yield world


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest, _made_worlds: Callable[[str], World]) -> World:
    """A runtime, an image and a caller."""
    return _made_worlds(request.param)
