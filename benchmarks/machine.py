"""The machine that a benchmark ran on."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Optional

_PACKAGES = ("torch", "warp-lang", "mujoco", "mjbatch")


def describe_machine() -> str:
    """One line: processor, cores this process may use, memory, system and versions."""
    parts = (
        f"{_processor()}, {_cores()} cores",
        f"{_memory()} memory",
        _system(),
        f"Python {platform.python_version()}",
        *(f"{name} {version}" for name in _PACKAGES if (version := _version(name))),
    )
    return "; ".join(parts)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
    except (AttributeError, OSError, ValueError):
        return "unknown"


def _system() -> str:
    try:
        text = Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return platform.platform(terse=True)
    named = [line for line in text.splitlines() if line.startswith("PRETTY_NAME=")]
    name = named[0].partition("=")[2].strip('"') if named else platform.system()
    return f"{name} (Linux {platform.release()})"


def _version(package: str) -> Optional[str]:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
