"""Whether a Python has what the trainer needs: this one's, the nodes' or a container's."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from mapush.diagnosis.finding import LOSS, OK, WARNING, Finding
from mapush.diagnosis.outside import Answer

OLDEST = (3, 8)
OLDEST_WITH_MUJOCO = (3, 10)

REQUIRED: Dict[str, Tuple[str, str]] = {
    "filelock": ("filelock", "3.12"),
    "numpy": ("numpy", "1.24"),
    "pydantic": ("pydantic", "2.5"),
    "yaml": ("pyyaml", "6.0"),
    "rich": ("rich", "13.0"),
    "tensorboard": ("tensorboard", "2.14"),
    "torch": ("torch", "2.4"),
}
"""Modules that a trainer imports, each with its package and the oldest version."""

ON_HOST: Dict[str, Tuple[str, str]] = {"submitit": ("submitit", "1.5")}
"""Those that start it."""

OF_SIMULATOR: Dict[str, Dict[str, Tuple[str, str]]] = {
    "mujoco": {"mjbatch": ("mjbatch", "0.1.4"), "mujoco": ("mujoco", "3.14")}
}

# Runs where it looks, also in Python 2: prints one line of JSON.
_PROGRAM = """
import json, os, sys
wanted, imports = json.loads(sys.argv[1]), sys.argv[2] == "import"
found, errors = {}, {}
for module, package in sorted(wanted.items()):
    try:
        import importlib, importlib.util
        if importlib.util.find_spec(module) is None:
            continue
        if imports:
            importlib.import_module(module)
    except Exception as error:
        errors[module] = "%s: %s" % (type(error).__name__, error)
        continue
    try:
        import importlib.metadata
        found[module] = importlib.metadata.version(package)
    except Exception:
        found[module] = ""
root = os.environ.get("MAPUSH_ROOT", "")
print("mapush:" + json.dumps({
    "version": list(sys.version_info[:3]), "found": found, "errors": errors,
    "executable": sys.executable, "writable": not root or os.access(root, os.W_OK),
}))
"""
_MARK = re.compile(r"^mapush:(\{.*\})$", re.MULTILINE)


@dataclass(frozen=True)
class Software:
    """What a Python has."""

    version: Tuple[int, ...]
    found: Dict[str, str]
    """Versions by module; empty where one does not tell."""
    errors: Dict[str, str]
    """Why a module that is there cannot be used."""
    executable: str = ""
    writable: bool = True
    """Whether it may write in the root."""


def wanted(simulator: str, is_host: bool) -> Dict[str, Tuple[str, str]]:
    """The modules that are needed, each with its package and the oldest version."""
    return {**REQUIRED, **(ON_HOST if is_host else {}), **OF_SIMULATOR.get(simulator, {})}


def question_for(modules: Dict[str, Tuple[str, str]], imports: bool) -> List[str]:
    """Arguments for a Python that has it say what it has.

    Args:
        modules: See `wanted`.
        imports: Whether each is really imported, which takes seconds, or only looked for.
    """
    packages = {module: package for module, (package, _) in modules.items()}
    return ["-c", _PROGRAM, json.dumps(packages), "import" if imports else "look"]


def parse(answer: Answer) -> Optional[Software]:
    """What a Python said of itself; None if that is nothing of the kind."""
    match = _MARK.search(answer.out)
    try:
        said: Any = json.loads(match[1]) if match else None
        return Software(
            tuple(int(number) for number in said["version"]),
            {str(name): str(version) for name, version in said["found"].items()},
            {str(name): str(error) for name, error in said["errors"].items()},
            str(said["executable"]),
            bool(said["writable"]),
        )
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return None


def judge(
    section: str, software: Software, modules: Dict[str, Tuple[str, str]], simulator: str
) -> List[Finding]:
    """Judge a Python and its packages.

    Args:
        section: Of the findings.
        software: What it has.
        modules: What it needs.
        simulator: As of `--sim`.
    """
    return [
        _version(section, software, simulator),
        _packages(section, software, modules),
    ]


def _version(section: str, software: Software, simulator: str) -> Finding:
    shown = ".".join(map(str, software.version))
    oldest = OLDEST_WITH_MUJOCO if simulator == "mujoco" else OLDEST
    what = f"Python {shown} at {software.executable}"
    if software.version[:2] < oldest:
        needs = ".".join(map(str, oldest))
        cost = f"the trainer cannot start: --sim {simulator} needs Python {needs} or newer"
        return Finding(section, "Python", LOSS, what, cost, "--python, or another container")
    return Finding(section, "Python", OK, what)


def _packages(section: str, software: Software, modules: Dict[str, Tuple[str, str]]) -> Finding:
    missing, broken, old = [], [], []
    for module, (package, oldest) in sorted(modules.items()):
        if module in software.errors:
            broken.append(f"{package} ({software.errors[module][:120]})")
        elif module not in software.found:
            missing.append(package)
        elif software.found[module] and _numbers(software.found[module]) < _numbers(oldest):
            old.append(f"{package} {software.found[module]} (needs {oldest})")
    mend = f"install them for {software.executable}, or name another with --python"
    for found, word, level, cost in (
        (missing, "missing", LOSS, "the trainer ends with exit code 2 at its start"),
        (broken, "not usable", LOSS, "the trainer fails at its start"),
        (old, "old", WARNING, "never tried with these"),
    ):
        if found:
            return Finding(section, "packages", level, f"{word}: {', '.join(found)}", cost, mend)
    versions = ", ".join(
        f"{modules[module][0]} {software.found[module]}"
        for module in ("torch", "mujoco", "numpy")
        if software.found.get(module) and module in modules
    )
    return Finding(section, "packages", OK, f"all {len(modules)} there: {versions}, ...")


def _numbers(version: str) -> Tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"\d+", version.partition("+")[0])[:3])
