"""The base image, the engines and the images, each made once, when the first test asks for it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Iterator

import building
import pytest
import worlds
from building import Packages
from worlds import World

from tests.support import run_train

BASE = "localhost/mapush-base:1"
IMAGE = "localhost/mapush:mujoco"


@pytest.fixture(scope="session")
def workshop() -> Iterator[Path]:
    """A folder that a user without rights can reach, unlike pytest's own; its path is short."""
    folder = Path(tempfile.mkdtemp(prefix="mapush-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    # Podman leaves its store mounted on itself.
    store = str(folder / "images/overlay")
    subprocess.run(["umount", "-q", "-l", store], check=False, stderr=subprocess.DEVNULL)
    subprocess.run(["rm", "-rf", str(folder)], check=False)


@pytest.fixture(scope="session")
def packages() -> Packages:
    """The machine's package sources."""
    return Packages.of_this_machine()


@pytest.fixture(scope="session")
def engine(workshop: Path) -> Iterator[World]:
    """Podman, called by root, with images of its own."""
    worlds.require("podman", "runc", "make")
    worlds.require_root()
    with worlds.podman(workshop) as engine:
        # Of the host's open files and processes a build and a training want more than a test.
        settings = workshop / "containers.conf"
        settings.write_text(settings.read_text().replace("1024:1024", "8192:8192"))
        engine.environment["TMPDIR"] = str(workshop)
        yield engine


@pytest.fixture(scope="session")
def base(engine: World, workshop: Path, packages: Packages) -> str:
    """The base image's name."""
    building.podman(engine, "import", str(building.make_base(workshop, packages)), BASE)
    return BASE


@pytest.fixture(scope="session")
def context(workshop: Path) -> Path:
    """The checkout as a build sees it."""
    return building.copy_context(workshop / "context")


@pytest.fixture(scope="session")
def image(engine: World, base: str, context: Path, packages: Packages) -> str:
    """The image with MuJoCo, built by `make image`."""
    command = building.make_image(context, base, "mujoco", *packages.binds)
    building.succeed(command, env=building.surroundings(engine))
    return IMAGE


@pytest.fixture(scope="session")
def walker(workshop: Path) -> Iterator[World]:
    """Apptainer, called by a user without rights."""
    worlds.require("newuidmap", "mksquashfs", "make")
    worlds.require_root()
    if not shutil.which("apptainer"):
        worlds.require("apt-get", "dpkg-deb", "patchelf")
    with worlds.apptainer(workshop, Path()) as anyone, worlds.as_user(anyone) as user:
        yield user


@pytest.fixture(scope="session")
def sif(engine: World, base: str, context: Path, walker: World, packages: Packages) -> Path:
    """The image with MuJoCo as one file, built by the user with `make sif`."""
    archive = walker.folder / "base-image.tar"
    building.podman(
        engine, "save", "--quiet", "--format=docker-archive", f"--output={archive}", base
    )
    archive.chmod(0o644)
    own = building.own(walker, Path(shutil.copytree(context, walker.folder / "context")))
    binds = [bind.replace("--volume=", "--bind ") for bind in packages.binds]
    # Quick compression: the file is thrown away.
    flags = ["--fakeroot", "--build-arg BOOTSTRAP=docker-archive"]
    options = [*flags, "--mksquashfs-args '-comp zstd -Xcompression-level 1'", *binds]
    command = ["make", "-C", str(own), "sif", "SIM=mujoco", f"BASE_IMAGE={archive}"]
    environment = building.surroundings(walker)
    # A namespace within the one that --fakeroot makes would know no other user than root.
    del environment["APPTAINER_USERNS"]
    # /tmp is the host's while Apptainer builds.
    with tempfile.TemporaryDirectory(prefix="mapush-user-", dir="/tmp") as theirs:
        building.own(walker, Path(theirs))
        building.succeed([*walker.prefix, *command, f"ARGS={' '.join(options)}"], env=environment)
        assert Path(theirs).is_dir()
    return own / "mapush-mujoco.sif"


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same small training on the host, from start to end."""
    root = tmp_path_factory.mktemp("uninterrupted")
    done = run_train(root)
    assert done.returncode == 0, done.stderr
    return root
