"""The real runtimes, called by root and by a user without rights."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest
import tiny_image

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
IMAGE = "localhost/mapush-test:1"
WORLDS = ("apptainer", "apptainer of a user", "podman", "podman of a user", "docker")
SECONDS = 60
# In CI a missing runtime is a failure; elsewhere a test that cannot run is skipped.
REQUIRED = os.environ.get("MAPUSH_REQUIRE_CONTAINERS") == "1"
USER_ID = 23117
# A mount namespace in which the user exists, with subordinate ids and FUSE; it ends with its stdin.
USERS_NAMESPACE = """
set -eu
for name in passwd group subuid subgid; do
    [ -e /etc/$name ] || : >/etc/$name
    mount --bind "$1/$name" /etc/$name
done
# Apptainer mounts image files through it; on most machines everybody may.
if [ -c /dev/fuse ]; then
    mknod -m 666 "$1/fuse" c "$(stat -c %Hr /dev/fuse)" "$(stat -c %Lr /dev/fuse)"
    mount --bind "$1/fuse" /dev/fuse
fi
echo ready
exec cat
"""
PODMAN_SETTINGS = """
[containers]
netns = "host"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
"""


@dataclass
class World:
    """A runtime, an image of it, and who calls it."""

    runtime: str
    image: str
    folder: Path
    """Where the caller may write; `enter.sh` is in it."""
    environment: Dict[str, str] = field(default_factory=dict)
    prefix: Tuple[str, ...] = ()
    uid: int = field(default_factory=os.getuid)

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """`bash enter.sh <command>` in this world; its process is the runtime's client."""
        return subprocess.Popen(
            [*self.prefix, "bash", str(self.folder / "enter.sh"), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            env={
                **os.environ,
                **self.environment,
                "MAPUSH_CONTAINER": self.image,
                "MAPUSH_RUNTIME": self.runtime,
                **environment,
            },
        )

    def run(self, *command: str) -> None:
        """Run something as this world's user."""
        made = subprocess.run(
            [*self.prefix, *command],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            cwd="/",
        )
        assert made.returncode == 0, made.stderr

    def directory(self, *parts: str) -> Path:
        """A directory of the user's."""
        path = self.folder
        for part in parts:
            path = path / part
            path.mkdir(exist_ok=True)
            os.chown(path, self.uid, self.uid if self.prefix else -1)
        return path


def facts(process: subprocess.Popen[str]) -> Dict[str, Any]:
    """What the trainer says first: it runs and hears signals from now on."""
    assert process.stdout
    line = process.stdout.readline()
    if not line and process.stderr:
        pytest.fail(f"the trainer did not start: {process.stderr.read()}")
    return json.loads(line)


def lacking(what: str) -> None:
    """What a test needs is not here: a failure in CI, else a skip."""
    if REQUIRED:
        pytest.fail(what)
    pytest.skip(what)


def require(*programs: str) -> None:
    """These programs must be installed."""
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        lacking(f"not installed: {', '.join(missing)}")


def require_root() -> None:
    """Root, to become another user, to build with podman or to start a daemon."""
    if os.getuid():
        lacking("needs root")
    if subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        lacking("this machine does not let root make a mount namespace")


def store(folder: Path) -> str:
    """The storage driver that podman can have there: copies where there can be no overlays."""
    command = ["stat", "--file-system", "--format=%T", str(folder)]
    kind = subprocess.check_output(command, text=True).strip()
    return "vfs" if kind == "overlayfs" else "overlay"


@contextlib.contextmanager
def as_user(world: World) -> Iterator[World]:
    """The same runtime, called by a user without rights."""
    require_root()
    if world.runtime == "podman":
        require("newuidmap")
    folder = world.folder / f"{world.runtime}-user"
    for place in (folder, folder / "home", folder / "run"):
        place.mkdir()
        os.chown(place, USER_ID, USER_ID)
    shutil.copy(PROJECT / "job/enter.sh", folder)
    files = folder / "files"
    files.mkdir()
    entry = f"walker:x:{USER_ID}:{USER_ID}::{folder}/home:/bin/bash\n"
    (files / "passwd").write_text(Path("/etc/passwd").read_text() + entry)
    (files / "group").write_text(Path("/etc/group").read_text() + f"walker:x:{USER_ID}:\n")
    (files / "subuid").write_text("walker:500000:65536\n")
    (files / "subgid").write_text("walker:500000:65536\n")
    with subprocess.Popen(
        ["unshare", "-m", "bash", "-c", USERS_NAMESPACE, "bash", str(files)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as namespace:
        assert namespace.stdout
        assert namespace.stdout.readline() == b"ready\n"
        become = ("setpriv", f"--reuid={USER_ID}", f"--regid={USER_ID}", "--clear-groups")
        environment = {
            **{name: text for name, text in world.environment.items() if "STORAGE" not in name},
            "STORAGE_DRIVER": store(folder),
            "HOME": str(folder / "home"),
            "USER": "walker",
            "LOGNAME": "walker",
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "TMPDIR": str(folder / "run"),
        }
        prefix = ("nsenter", f"--target={namespace.pid}", "--mount", *become)
        users = World(world.runtime, world.image, folder, environment, prefix, USER_ID)
        try:
            yield users
        finally:
            if world.runtime == "podman":
                users.run("podman", "rm", "--all", "--force", "--time", "0")
                # Ends the process that holds its namespaces.
                users.run("podman", "system", "migrate")
                Path(f"/dev/shm/libpod_rootless_lock_{USER_ID}").unlink()
            namespace.communicate(timeout=SECONDS)


@contextlib.contextmanager
def apptainer(folder: Path, root: Path) -> Iterator[World]:
    """Debian's apptainer without any rights of its own, and a sandbox directory."""
    path = os.environ["PATH"]
    if not shutil.which("apptainer"):
        require("apt-get", "dpkg-deb", "patchelf")
        made = subprocess.run(
            ["bash", str(HERE / "get_apptainer.sh"), str(folder / "apptainer")],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        path = f"{folder}/apptainer/usr/bin:{path}"
    environment = {"PATH": path, "TMPDIR": str(folder), "APPTAINER_USERNS": "1"}
    yield World("apptainer", str(root), folder, environment)


@contextlib.contextmanager
def podman(folder: Path) -> Iterator[World]:
    """Podman with settings and images of its own."""
    require("podman", "runc")
    settings, storage = folder / "containers.conf", folder / "storage.conf"
    settings.write_text(PODMAN_SETTINGS)
    places = f'graphroot = "{folder}/images"\nrunroot = "{folder}/podman-run"\n'
    storage.write_text(f'[storage]\ndriver = "{store(folder)}"\n{places}')
    environment = {"CONTAINERS_CONF": str(settings), "CONTAINERS_STORAGE_CONF": str(storage)}
    world = World("podman", f"docker://{IMAGE}", folder, environment)
    try:
        yield world
    finally:
        world.run("podman", "rm", "--all", "--force", "--time", "0")


@contextlib.contextmanager
def docker(folder: Path) -> Iterator[World]:
    """A Docker daemon of the tests' own."""
    if not shutil.which("dockerd"):
        pytest.skip("not installed: dockerd, which CI does not have either; podman is tested there")
    require("docker", "containerd")
    require_root()
    place = folder / "docker"
    place.mkdir()
    settings = {
        "data-root": f"{place}/images",
        "exec-root": f"{place}/exec",
        "pidfile": f"{place}/pid",
        "hosts": [f"unix://{place}/socket"],
        "storage-driver": "vfs" if store(folder) == "vfs" else "overlay2",
        "bridge": "none",
        "iptables": False,
        "ip6tables": False,
        "ip-forward": False,
    }
    (place / "settings.json").write_text(json.dumps(settings))
    with (place / "log").open("wb") as log:
        daemon = subprocess.Popen(
            ["dockerd", "--config-file", f"{place}/settings.json"], stdout=log, stderr=log
        )
    world = World("docker", IMAGE, folder, {"DOCKER_HOST": f"unix://{place}/socket"})
    try:
        for line in follow(place / "log", daemon):
            if "API listen" in line:
                break
        (place / "socket").chmod(0o666)
        yield world
    finally:
        # Asked to end, it waits for many seconds; no container is left to care for.
        daemon.kill()
        daemon.wait(SECONDS)
        os.kill(int((place / "exec/containerd/containerd.pid").read_text()), signal.SIGKILL)
        for mounted in (place / "images", *(place / "exec/netns").glob("*")):
            subprocess.run(["umount", str(mounted)], check=True)


def follow(log: Path, process: subprocess.Popen[bytes]) -> Iterator[str]:
    """Lines of a growing log, while its process lives."""
    with log.open() as lines:
        while process.poll() is None:
            yield lines.readline()
            time.sleep(0.01)
    pytest.fail(f"{process.args} ended: {log.read_text()[-2000:]}")


def load_image(world: World, root: Path) -> None:
    """Give podman or docker the tiny image."""
    archive = root.with_suffix(".tar")
    if not archive.exists():
        tar: List[str] = ["tar", "--owner=0", "--group=0", "-C", str(root), "-cf", str(archive)]
        subprocess.run([*tar, "."], check=True, timeout=SECONDS)
    world.run(world.runtime, "import", *tiny_image.changes(), str(archive), IMAGE)
