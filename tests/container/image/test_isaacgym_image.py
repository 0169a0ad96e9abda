"""The image with Isaac Gym and OpenRL, built by podman; the archive holds the strict double."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path
from typing import List, Tuple

import building
import pytest
import small_training
import stand_ins
from building import Packages
from worlds import World

from tests.support import PROJECT, SMALL

IMAGE = "localhost/mapush:isaacgym"
PACKAGES = "/opt/venv/lib/python3.8/site-packages"
BASE = "localhost/mapush-base:python3.8"
# The last for Python 3.8, and what it needs there.
PYTEST = "pytest==8.3.5 pluggy==1.5.0 iniconfig==2.0.0 exceptiongroup==1.2.2 tomli==2.0.2".split()
OPTIONS = [*SMALL, "--sim", "isaacgym", "--device", "cpu", "--eval_freq", "0", "--final_envs", "0"]
# The call that the real isaacgym.gymtorch makes when it is imported.
LOAD = """
import torch, torch.utils.cpp_extension as extension
source = "/opt/isaacgym/python/isaacgym/_bindings/src/gymtorch/gymtorch.cpp"
flags = ["-DTORCH_MAJOR=2", "-DTORCH_MINOR=4"]
gymtorch = extension.load(name="gymtorch", sources=[source], extra_cflags=flags, verbose=True)
print(gymtorch.built_for())
"""


@pytest.fixture(scope="module")
def built(engine: World, base: str, workshop: Path, packages: Packages) -> Tuple[str, str]:
    """What the build said, and the archive's sha256."""
    place = workshop / "isaacgym"
    place.mkdir()
    context = building.copy_context(place / "context")
    (place / "robot").mkdir()
    stand_ins.robot(place / "robot", context)
    archive = context / "IsaacGym_Preview_4_Package.tar.gz"
    stand_ins.archive(archive)
    stand_ins.wheels(place / "wheels", place)
    links = f"--volume={place}/wheels:{stand_ins.LINKS}:ro"
    repository = f"--volume={place}/robot:{stand_ins.ROBOT}:ro"
    own = stand_ins.base_context(place / "base", base, packages)
    building.podman(
        engine, "build", "--isolation=chroot", "--pull=never", f"--tag={BASE}", str(own)
    )
    # Nothing is built on its layers again, and to keep each takes long.
    options = ["--layers=false", *packages.binds, links, repository]
    command = building.make_image(context, BASE, "isaacgym", *options)
    said = building.succeed(command, env=building.surroundings(engine))
    return said, hashlib.sha256(archive.read_bytes()).hexdigest()


def command(root: Path, *options: str) -> List[str]:
    """A small training in a container."""
    who = f"--user={os.getuid()}:{os.getgid()}"
    shared = ["--pid=host", "--uts=host", f"--volume={root}:/out", "--env=MAPUSH_JOB_ID=job-1"]
    return ["podman", "run", "--rm", "--name=victim", who, *shared, IMAGE, *OPTIONS, *options]


def test_the_build_shows_what_archive_it_took(built: Tuple[str, str]) -> None:
    said, digest = built
    assert f"{digest}  /archive/IsaacGym_Preview_4_Package.tar.gz" in said


def test_the_policy_and_the_robot_are_fetched_and_verified(
    built: Tuple[str, str], engine: World
) -> None:
    said, _ = built
    assert "files fetched, all genuine" in said
    words = ["run", "--rm", IMAGE, "python", "-m", "mapush.robots.assets", "--verify"]
    assert "are genuine" in building.podman(engine, *words)


def test_gymtorch_is_not_compiled_again(built: Tuple[str, str], engine: World) -> None:
    said = building.podman(
        engine, "run", "--rm", "--read-only", "--tmpfs=/tmp:exec", IMAGE, "python", "-c", LOAD
    )
    assert "ninja: no work to do." in said
    assert "(2, 4)" in said


@pytest.mark.parametrize("learner", ["native", "openrl"])
def test_a_run_that_is_killed_goes_on_in_a_new_container_to_the_bit(
    learner: str, built: Tuple[str, str], engine: World, tmp_path: Path
) -> None:
    options = ("--learner", learner)
    for name in ("reference", "root"):
        (tmp_path / name).mkdir()
    undisturbed = command(tmp_path / "reference", *options)
    done = building.run(undisturbed, env=building.surroundings(engine))
    assert done.returncode == 0, done.stderr
    words = command(tmp_path / "root", *options)
    with small_training.watched(words, building.surroundings(engine)) as victim:
        small_training.wait_for_step(victim, tmp_path / "root", 800)
        building.podman(engine, "kill", "--signal=KILL", "victim")
        assert victim.wait(small_training.SECONDS) == 137
    again = building.run(words, env=building.surroundings(engine))
    assert again.returncode == 0, again.stderr
    small_training.assert_same_run(tmp_path / "root", tmp_path / "reference")


def test_the_simulators_own_tests_pass_in_the_image_on_its_python(
    built: Tuple[str, str], engine: World, workshop: Path
) -> None:
    tools = workshop / "pytest"
    target = ["--python-version", "3.8", "--only-binary=:all:", "--no-deps", "--target", str(tools)]
    building.succeed([sys.executable, "-m", "pip", "install", "-q", *target, *PYTEST])
    # They bring their double themselves, and some are about its not being there.
    nothing = workshop / "nothing"
    nothing.touch()
    volumes = {PROJECT: "/checkout", tools: "/pytest", nothing: f"{PACKAGES}/isaacgym.pth"}
    shared = PROJECT.parent / "shared"
    if shared.is_dir():
        volumes[shared.resolve()] = "/shared"
    tests = PROJECT.glob("tests/simulators/test_isaacgym*.py")
    # The entry point goes to where results belong.
    names = sorted(f"/checkout/{path.relative_to(PROJECT)}" for path in tests)
    said = building.podman(
        engine,
        *("run", "--rm", "--user=0:0", "--env=PYTHONPATH=/pytest"),
        *(f"--volume={here}:{there}:ro" for here, there in volumes.items()),
        *(IMAGE, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *names),
    )
    assert re.search(r"^\d+ passed", said, re.MULTILINE), said
    assert "skipped" not in said or not shared.is_dir()


def test_only_what_isaac_gym_needs_of_the_archive_is_in_the_image(
    built: Tuple[str, str], engine: World
) -> None:
    words = ["run", "--rm", "--user=0:0", IMAGE, "bash", "-c"]
    said = building.podman(
        engine,
        *words,
        "ls /opt/isaacgym; ls -d /archive /fetch /root/.cache; cat $VK_ICD_FILENAMES",
    )
    assert "assets" not in said
    assert said.count("No such file") == 3
    assert "libGLX_nvidia.so.0" in said


def test_a_base_image_with_another_python_is_refused(
    engine: World, base: str, built: Tuple[str, str], workshop: Path
) -> None:
    if sys.version_info[:2] == (3, 8):
        pytest.skip("this machine's own Python is the right one")
    made = building.make_image(workshop / "isaacgym/context", base, "isaacgym")
    done = building.run(made, env=building.surroundings(engine))
    assert done.returncode != 0
    assert "needs 3.8" in done.stdout + done.stderr
