"""The base image, the engines and the images, each made once, when the first test asks for it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Iterator

import building
import pytest
from building import Engine, Packages, Walker

from tests.support import run_train

BASE = "localhost/mapush-base:1"
IMAGE = "localhost/mapush:mujoco"


@pytest.fixture(scope="session")
def workshop() -> Iterator[Path]:
    """A folder that a user without rights can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="mapush-image-"))
    folder.chmod(0o755)
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=False)


@pytest.fixture(scope="session")
def packages() -> Packages:
    """The machine's package sources."""
    return Packages.of_this_machine()


@pytest.fixture(scope="session")
def engine(workshop: Path) -> Iterator[Engine]:
    """Podman, called by root."""
    with building.podman(workshop) as engine:
        yield engine


@pytest.fixture(scope="session")
def base(engine: Engine, workshop: Path, packages: Packages) -> str:
    """The base image's name."""
    engine("import", str(building.make_base(workshop, packages)), BASE)
    return BASE


@pytest.fixture(scope="session")
def context(workshop: Path) -> Path:
    """The checkout as a build sees it."""
    return building.copy_context(workshop / "context")


@pytest.fixture(scope="session")
def image(engine: Engine, base: str, context: Path, packages: Packages) -> str:
    """The image with MuJoCo, built by `make image`."""
    binds = [f"--volume={path}:{path}:ro" for path in packages.folders]
    building.succeed(engine.make(context, base, "mujoco", *binds), env=engine.environment)
    return IMAGE


@pytest.fixture(scope="session")
def walker(workshop: Path) -> Walker:
    """A user without rights, with apptainer."""
    return building.make_walker(workshop / "walker")


@pytest.fixture(scope="session")
def sif(engine: Engine, base: str, context: Path, walker: Walker, packages: Packages) -> Path:
    """The image with MuJoCo as one file, built by the user with `make sif`."""
    archive = walker.folder / "base-image.tar"
    engine("save", "--quiet", "--format=docker-archive", f"--output={archive}", base)
    archive.chmod(0o644)
    own = walker.own(shutil.copytree(context, walker.folder / "context"))
    binds = [f"--bind {path}:{path}:ro" for path in packages.folders]
    # Quick compression: the file is thrown away.
    flags = ["--fakeroot", "--build-arg BOOTSTRAP=docker-archive"]
    options = [*flags, "--mksquashfs-args '-comp zstd -Xcompression-level 1'", *binds]
    command = ["make", "-C", str(own), "sif", "SIM=mujoco", f"BASE_IMAGE={archive}"]
    building.succeed(walker.command(*command, f"ARGS={' '.join(options)}"), env=walker.environment)
    return own / "mapush-mujoco.sif"


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same small training on the host, from start to end."""
    root = tmp_path_factory.mktemp("uninterrupted")
    done = run_train(root)
    assert done.returncode == 0, done.stderr
    return root
