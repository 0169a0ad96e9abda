"""Base images made of the machine's own packages, and the recipes built on them for real."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Sequence

import worlds
from worlds import World

from tests.support import PROJECT

SCRIPTS = PROJECT / "tests/container"
CONTEXT = ("Dockerfile", "apptainer.def", ".dockerignore", "Makefile")
FOLDERS = ("container", "job", "mapush", "requirements", "task")
BUILD_SECONDS = 1800  # some 800 were seen beside two other processes
# What pyenv's Python 3.8 is linked to.
LIBRARIES_OF_PYTHON = (
    "libbz2-1.0 libexpat1 libffi8 liblzma5 libncursesw6 libreadline8 libsqlite3-0 libssl3 libuuid1 "
    "zlib1g"
).split()


def run(
    command: Sequence[str], seconds: float = BUILD_SECONDS, **more: object
) -> subprocess.CompletedProcess[str]:
    """Run to the end, whatever that is."""
    return subprocess.run(
        list(command),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        **more,  # type: ignore[call-overload]
    )


def succeed(command: Sequence[str], **more: object) -> str:
    """Run to the end, which must be a good one; what was said."""
    done = run(command, **more)  # type: ignore[arg-type]
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{list(command)}: {done.returncode}\n{said[-6000:]}"
    return said


@dataclass(frozen=True)
class Packages:
    """Where the machine's pip looks, so that pip in a build looks there too."""

    settings: Dict[str, str]

    @classmethod
    def of_this_machine(cls) -> Packages:
        said = succeed([sys.executable, "-m", "pip", "config", "list"])
        found = re.findall(r"^(?:global|:env:)\.([\w-]+)='(.*)'$", said, re.MULTILINE)
        # As pip does it: the environment, which is listed first, wins over the files.
        return cls(dict(reversed(found)))

    @property
    def folders(self) -> List[str]:
        """The folders with packages on this machine."""
        words = " ".join(self.settings.get(name, "") for name in ("find-links", "extra-index-url"))
        paths = {word.replace("file://", "") for word in words.split()}
        whole = {"/".join(path.split("/")[:3]) for path in paths if path.startswith("/")}
        return sorted(path for path in whole if Path(path).is_dir())

    @property
    def binds(self) -> List[str]:
        """Options of podman that have them in a build."""
        return [f"--volume={path}:{path}:ro" for path in self.folders]

    def configuration(self, certificates: str, *more_links: str) -> str:
        """A pip.conf that says the same inside a build."""
        kept = ("find-links", "extra-index-url", "index-url", "default-timeout")
        lines = {name: self.settings[name] for name in kept if name in self.settings}
        lines["find-links"] = " ".join([*more_links, lines.get("find-links", "")])
        if "cert" in self.settings:
            lines["cert"] = certificates
        return "[global]\n" + "".join(f"{name} = {text}\n" for name, text in lines.items())


def podman(world: World, *words: str, seconds: float = BUILD_SECONDS) -> str:
    """What podman says, which must succeed."""
    return succeed(["podman", *words], seconds=seconds, env=surroundings(world))


def surroundings(world: World) -> Dict[str, str]:
    """The whole environment of a world's caller."""
    return {**os.environ, **world.environment}


def make_image(context: Path, base: str, simulator: str, *options: str) -> List[str]:
    """The command by which a user builds the image."""
    flags = "--isolation=chroot --network=host --pull=never"
    return [
        *("make", "-C", str(context), "image", f"SIM={simulator}", "ENGINE=podman"),
        *(f"BASE_IMAGE={base}", f"ARGS={' '.join([flags, *options])}"),
    ]


def make_base(folder: Path, packages: Packages) -> Path:
    """A root file system of this machine's Debian, as a tar file."""
    worlds.require("mmdebstrap")
    sources = [
        path
        for path in (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
        if path.is_file()
    ]
    suite = re.search(r"VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text())
    if not sources or not suite:
        worlds.lacking("this machine is no Debian, of which the base image is made")
    assert suite
    certificates = packages.settings.get("cert", "")
    (folder / "pip.conf").write_text(packages.configuration("/etc/pip-certificates.crt"))
    hooks = [f"upload {folder}/pip.conf /etc/pip.conf"]
    if certificates:
        hooks.append(f"upload {certificates} /etc/pip-certificates.crt")
    # Apptainer cannot make the place of a bind while it builds.
    hooks += [f'mkdir -p "$1{path}"' for path in packages.folders]
    base = folder / "base.tar"
    succeed(
        [
            *(
                "mmdebstrap",
                "--quiet",
                "--variant=apt",
                f"--include={','.join(LIBRARIES_OF_PYTHON)}",
            ),
            *(f"--customize-hook={hook}" for hook in hooks),
            *(suite.group(1), str(base), str(sources[0])),
        ]
    )
    return base


def copy_context(folder: Path) -> Path:
    """What a build sees of the checkout, to change as a test likes."""
    folder.mkdir()
    for name in CONTEXT:
        shutil.copy(PROJECT / name, folder / name)
    for name in FOLDERS:
        leave = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / name, folder / name, ignore=leave)
    return folder


def own(world: World, path: Path) -> Path:
    """Give a directory with all in it to a world's caller."""
    succeed(["chown", "-R", f"{world.uid}:{world.uid}", str(path)])
    return path
