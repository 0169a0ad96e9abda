"""A tiny container image of this machine's Python, bash and a few tools."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Iterator, List

TOOLS = ("bash", "cat", "id", "mkdir", "mktemp", "rmdir", "touch", "true")
# Of the standard library; small, since each container of a store without overlays is a copy.
LEFT_OUT = (
    *(
        "*.opt-*.pyc",
        "asyncio",
        "config-*",
        "curses",
        "dbm",
        "distutils",
        "email",
        "ensurepip",
        "html",
        "http",
    ),
    *("idlelib", "lib-dynload", "lib2to3", "multiprocessing", "pydoc_data", "site-packages"),
    *("sqlite3", "test", "tests", "tkinter", "turtledemo", "unittest", "wsgiref", "xml", "xmlrpc"),
)
COMPILED = (
    *("_bisect", "_blake2", "_datetime", "_heapq", "_json", "_md5", "_opcode", "_posixsubprocess"),
    *("_random", "_sha*", "_socket", "_struct", "_typing", "array", "binascii", "fcntl", "grp"),
    *("math", "select", "zlib"),
)
IMAGE_PYTHONPATH = "/image/modules"
# What images set for themselves; a job's own values must win over them.
ENVIRONMENT = {"PYTHONPATH": IMAGE_PYTHONPATH, "MAPUSH_JOB_ID": "image", "TZ": "Asia/Tokyo"}


def make_root(root: Path) -> Path:
    """Fill a directory with a root file system; Python is `/usr/local/bin/python3`."""
    for name in (
        "bin",
        "dev",
        "etc",
        "lib64",
        "proc",
        "sys",
        "tmp",
        "var/tmp",
        "usr/lib/x86_64-linux-gnu",
    ):
        (root / name).mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    (root / "tmp").chmod(0o1777)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")

    standard = Path(sysconfig.get_path("stdlib"))
    local = root / "usr/local"
    (local / "bin").mkdir(parents=True)
    shutil.copy(Path(sys.executable).resolve(), local / "bin/python3")
    place = local / "lib" / standard.name
    shutil.copytree(standard, place, ignore=shutil.ignore_patterns(*LEFT_OUT))
    (place / "lib-dynload").mkdir()
    for name in COMPILED:
        for module in (standard / "lib-dynload").glob(f"{name}.*"):
            shutil.copy(module, place / "lib-dynload")
    for tool in TOOLS:
        shutil.copy(shutil.which(tool) or "", root / "bin" / tool)
    (root / "bin/sh").symlink_to("bash")

    programs = [local / "bin/python3", *(root / "bin" / tool for tool in TOOLS)]
    for library in _libraries([*programs, *place.glob("lib-dynload/*.so")]):
        shutil.copy(library, root / "usr/lib/x86_64-linux-gnu")
    shutil.copy("/lib64/ld-linux-x86-64.so.2", root / "lib64")

    settings = root / ".singularity.d/env/90-environment.sh"
    settings.parent.mkdir(parents=True)
    settings.write_text("".join(f"export {name}={text}\n" for name, text in ENVIRONMENT.items()))
    return root


def changes() -> Iterator[str]:
    """The image's environment, as options of `docker import`."""
    for name, text in ENVIRONMENT.items():
        yield f"--change=ENV {name}={text}"


def _libraries(programs: List[Path]) -> List[str]:
    said = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=False)
    return sorted(set(re.findall(r"=> (/\S+)", said.stdout)))
