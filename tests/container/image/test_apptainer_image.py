"""The image as one file, built and run by a user without rights: killed, and gone on with."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import List

import building
import pytest
import small_training
from worlds import World

from tests.support import SMALL


@pytest.fixture
def root(walker: World, request: pytest.FixtureRequest) -> Path:
    """A results root of the user's."""
    folder = walker.folder / request.node.name.replace("[", "-").replace("]", "")
    folder.mkdir()
    return building.own(walker, folder)


def command(walker: World, sif: Path, root: Path, *options: str) -> List[str]:
    """A small training as the manual has it; the image's file system is read-only."""
    bound = ["--cleanenv", "--env=MAPUSH_JOB_ID=job-1", "--bind", f"{root}:/out"]
    return [*walker.prefix, "apptainer", "run", *bound, str(sif), *SMALL, *options]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_whose_container_is_stopped_goes_on_in_a_new_one_to_the_bit(
    number: signal.Signals, walker: World, sif: Path, root: Path, uninterrupted: Path
) -> None:
    words = command(walker, sif, root)
    with small_training.watched(words, building.surroundings(walker)) as victim:
        small_training.wait_for_step(victim, root, 1200)
        os.kill(victim.pid, number)
        code = victim.wait(small_training.SECONDS)
        assert code == (-number if number == signal.SIGKILL else 75)
    again = building.run(words, env=building.surroundings(walker))
    assert again.returncode == 0, again.stderr
    assert "resum" in again.stdout
    small_training.assert_same_run(root, uninterrupted)
    assert {path.stat().st_uid for path in root.rglob("*")} == {walker.uid}


def test_without_a_bind_it_says_that_the_results_would_be_lost(walker: World, sif: Path) -> None:
    words = [*walker.prefix, "apptainer", "run", "--no-mount=home,cwd", str(sif), "--exp", "cuboid"]
    done = building.run(words, env=building.surroundings(walker))
    assert done.returncode == 2
    assert "mapush: /out: nothing of the host is mounted there" in done.stderr


def test_without_the_archive_the_build_says_where_to_get_it(walker: World, sif: Path) -> None:
    words = [
        "make",
        "-C",
        str(sif.parent),
        "sif",
        "ARGS=--fakeroot --build-arg BOOTSTRAP=docker-archive",
    ]
    base = f"BASE_IMAGE={walker.folder}/base-image.tar"
    environment = building.surroundings(walker)
    del environment["APPTAINER_USERNS"]
    done = building.run([*walker.prefix, *words, base], env=environment)
    assert done.returncode != 0
    assert "https://developer.nvidia.com/isaac-gym" in done.stdout + done.stderr
