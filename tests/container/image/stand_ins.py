"""What the build with Isaac Gym needs and no public place gives to a test: all made here.

Isaac Gym's archive, with the strict double in it; the repository of the walking policy, with the
double's; Ubuntu 20.04's Python, of pyenv's 3.8; and 2 GB of NVIDIA's libraries, empty.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Dict, List

import building
import worlds
from building import Packages

from tests.support import PROJECT

LINKS = "/stand-ins"
ROBOT = "/robot"
GYMTORCH = """
#include <torch/extension.h>
PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
    module.def("built_for", [] { return std::make_pair(TORCH_MAJOR, TORCH_MINOR); });
}
"""
CONTAINERFILE = f"""
FROM {{base}}
COPY local /usr/local
COPY pip.conf /etc/pip.conf
COPY packages /packages
RUN dpkg -i /packages/*.deb >/dev/null && rm -r /packages && ldconfig && mkdir {LINKS} {ROBOT}
"""
# Recent enough for pip to prefer it to the real one of the same version.
TAG = "py3-none-manylinux_2_31_x86_64"


def archive(target: Path) -> None:
    """Isaac Gym Preview 4's archive as far as its folders go."""
    double = building.SCRIPTS / "isaacgym_double/isaacgym"
    (target.parent / "gymtorch.cpp").write_text(GYMTORCH)
    with tarfile.open(target, "w:gz") as tar:
        tar.add(double, "isaacgym/python/isaacgym", filter=_without_caches)
        source = "isaacgym/python/isaacgym/_bindings/src/gymtorch/gymtorch.cpp"
        tar.add(target.parent / "gymtorch.cpp", source)
        tar.add(target.parent / "gymtorch.cpp", "isaacgym/assets/large.usd")
    (target.parent / "gymtorch.cpp").unlink()


def _without_caches(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in member.name else member


def robot(folder: Path, context: Path) -> None:
    """A repository of the double's assets, and a context whose pins are of it."""
    program = building.SCRIPTS / "robot_double.py"
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    building.succeed([sys.executable, str(program), str(folder)], env=environment)
    git = ["git", "-C", str(folder), "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "the double's"]):
        building.succeed([*git, *words])
    commit = building.succeed([*git, "rev-parse", "HEAD"]).strip()
    listed = building.succeed([*git, "ls-tree", "-r", "HEAD"])
    ids = {path: blob for blob, path in re.findall(r"blob (\w+)\t(.*)", listed)}

    pinned = context / "mapush/robots/assets.py"
    text = pinned.read_text()
    text = re.sub(r"^REPOSITORY = .*$", f'REPOSITORY = "file://{ROBOT}"', text, flags=re.M)
    text = re.sub(r"^COMMIT = .*$", f'COMMIT = "{commit}"', text, flags=re.M)
    for path in _pinned_paths():
        text = text.replace(_pinned_paths()[path], ids[path])
    pinned.write_text(text)


def _pinned_paths() -> Dict[str, str]:
    from mapush.robots import assets

    return dict(assets.FILES)


def base_context(folder: Path, base: str, packages: Packages) -> Path:
    """A base image with Python 3.8 as the distribution's own."""
    folder.mkdir()
    python = find_python()
    unwanted = ("test", "tests", "__pycache__", "*.a", "idlelib", "tkinter", "share")
    shutil.copytree(
        python, folder / "local", symlinks=True, ignore=shutil.ignore_patterns(*unwanted)
    )
    links = folder / "local/bin/python3"
    links.unlink(missing_ok=True)
    links.symlink_to("python3.8")
    settings = packages.configuration("/etc/pip-certificates.crt", LINKS)
    (folder / "pip.conf").write_text(settings)
    for name in ("python3", "python3-venv", "python3-dev", "libpython3.8"):
        place = folder / "unpacked" / name / "DEBIAN"
        place.mkdir(parents=True)
        fields = f"Package: {name}\nVersion: 99\nArchitecture: all\nMaintainer: tests\n"
        (place / "control").write_text(f"{fields}Description: is in /usr/local\n")
        (folder / "packages").mkdir(exist_ok=True)
        words = ["dpkg-deb", "--root-owner-group", "--build", str(place.parent)]
        building.succeed([*words, str(folder / "packages" / f"{name}.deb")])
    (folder / "Dockerfile").write_text(CONTAINERFILE.format(base=base))
    return folder


def find_python() -> Path:
    """Where a Python 3.8 with its headers and its shared library is installed."""
    roots = [Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"]
    for place in sorted(path for root in roots for path in root.glob("3.8.*")):
        if (place / "lib/libpython3.8.so.1.0").exists():
            return place
    worlds.lacking("there is no Python 3.8 with a shared library under pyenv")
    raise AssertionError


def wheels(folder: Path, scratch: Path) -> None:
    """The real torch for Python 3.8, and empty wheels for the libraries of NVIDIA that it wants."""
    import cpu_torch

    folder.mkdir()
    pins = _pins()
    get = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    for_python = ["--python-version=3.8", "--platform=manylinux1_x86_64", f"--dest={folder}"]
    building.succeed([*get, *for_python, f"torch=={pins['torch']}"])
    (torch,) = folder.glob("torch-*.whl")
    with zipfile.ZipFile(torch) as wheel:
        names = [name for name in wheel.namelist() if re.match(r"torch/lib/[^/]*\.so", name)]
        wheel.extractall(scratch, names)
    libraries = scratch / "torch/lib"
    needed, functions = cpu_torch._wanted(sorted(libraries.glob("*.so*")))
    made = scratch / "made"
    made.mkdir()
    for name in needed:
        if cpu_torch._NVIDIA.match(name) and not (libraries / name).exists():
            cpu_torch._build(made / name, functions)
    shutil.rmtree(libraries)
    for name in pins:
        if name.startswith("nvidia-") or name == "triton":
            # torch looks for all of them in all of these folders.
            first = name == "nvidia-cublas-cu12"
            _write_wheel(folder, name, pins[name], list(made.iterdir()) if first else [])


def _pins() -> Dict[str, str]:
    text = (PROJECT / "requirements/isaacgym.txt").read_text()
    return dict(re.findall(r"^([\w-]+)==(\S+)", text, re.MULTILINE))


def _write_wheel(folder: Path, name: str, version: str, libraries: List[Path]) -> None:
    plain = name.replace("-", "_")
    described = f"{plain}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{plain}-{version}-{TAG}.whl", "w") as wheel:
        for path in libraries:
            wheel.write(path, f"nvidia/cublas/lib/{path.name}")
        head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        wheel.writestr(f"{described}/METADATA", head)
        kind = f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: false\nTag: {TAG}\n"
        wheel.writestr(f"{described}/WHEEL", kind)
        listed = [f"nvidia/cublas/lib/{path.name}" for path in libraries]
        listed += [f"{described}/{part}" for part in ("METADATA", "WHEEL", "RECORD")]
        wheel.writestr(f"{described}/RECORD", "".join(f"{path},,\n" for path in listed))
