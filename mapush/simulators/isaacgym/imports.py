"""Imports Isaac Gym, which must come before torch, in this one place.

Isaac Gym refuses to be imported once torch is, and mapush imports torch almost everywhere. So the
commands that simulate call `load_before_torch` first thing, whatever simulator is asked for: a run
that is resumed says only later which one it needs.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from types import ModuleType
from typing import Dict, Optional

from mapush.errors import RequestError
from mapush.simulators.isaacgym.extension import clear_stale_lock

MANUAL = "docs/isaac-gym.md"

# What an import may die of, and what helps. The first that is found in the error's text counts.
_FIXES = (
    (
        r"libpython3",
        "apt-get install libpython3.8, or in conda: export LD_LIBRARY_PATH=$CONDA_PREFIX/lib",
    ),
    (
        r"libcuda\.so|libnvidia",
        "the NVIDIA driver is not visible here: start the container with --nv (Apptainer) or "
        "--gpus all (Docker)",
    ),
    (r"libGL|libEGL|libvulkan", "apt-get install libgl1 libegl1 libvulkan1"),
    (r"GLIBCXX|libstdc\+\+", "use the distribution's own Python instead of conda's"),
    (r"[Nn]inja", "pip install ninja"),
    (r"numpy|attribute '(float|int|bool|object)'", "pip install 'numpy<1.24'"),
)
_ERRORS = (ImportError, OSError, RuntimeError, AttributeError)

_USUAL_TEAM = 2  # robots, where no task is named

_failure: Dict[str, str] = {}


def load_before_torch() -> None:
    """Import Isaac Gym if it is installed and torch is not imported yet.

    Never raises: a process that needs Isaac Gym hears from `gymapi` what went wrong, and one that
    does not need it runs without.
    """
    if "torch" in sys.modules or importlib.util.find_spec("isaacgym") is None:
        return
    restore_numpy_names()
    try:
        importlib.import_module("isaacgym.gymapi")
    except _ERRORS as error:
        _failure["gymapi"] = _explain(error)


def gymapi() -> ModuleType:
    """The module `isaacgym.gymapi`.

    Raises:
        RequestError: it is not installed, or was not or cannot be imported before torch.
    """
    module = sys.modules.get("isaacgym.gymapi")
    if module is not None:
        return module
    if "gymapi" in _failure:
        raise RequestError(f"--sim isaacgym: cannot import isaacgym: {_failure['gymapi']}")
    if importlib.util.find_spec("isaacgym") is None:
        raise RequestError(
            "--sim isaacgym: the Python package isaacgym is not installed for "
            f"{sys.executable}; run in the container, or install it as {MANUAL} says"
        )
    raise RequestError(
        "--sim isaacgym: torch was imported before isaacgym, which Isaac Gym refuses; call "
        "mapush.simulators.load_before_torch() first, as mapush.train does"
    )


def gymtorch() -> ModuleType:
    """The module `isaacgym.gymtorch`, which compiles itself where that was not done before.

    Raises:
        RequestError: it cannot be compiled or loaded.
    """
    gymapi()
    module = sys.modules.get("isaacgym.gymtorch")
    if module is not None:
        return module
    clear_stale_lock()
    try:
        return importlib.import_module("isaacgym.gymtorch")
    except _ERRORS as error:
        raise RequestError(
            f"--sim isaacgym: cannot build or load gymtorch: {_explain(error)}"
        ) from None


def check(envs: int, gpus: int) -> None:
    """Find out whether this Python can simulate; called before torch is imported.

    Args:
        envs: how many environments there would be.
        gpus: how many GPUs it is to see; with none the GPU is not asked for.

    Raises:
        RequestError: what keeps it from that.
    """
    load_before_torch()
    gymapi()
    if gpus:
        from mapush.simulators.isaacgym import options, preflight

        preflight.check_gpu(preflight.find_gpu(), envs, _USUAL_TEAM, options.parse(""))


def restore_numpy_names() -> None:
    """Give back what numpy 1.24 took away and Isaac Gym's helpers still use as defaults."""
    import numpy as np  # here, for the launcher imports this module and must be quick

    for name, kind in (("float", float), ("int", int), ("bool", bool), ("object", object)):
        if name not in np.__dict__:
            setattr(np, name, kind)


def _explain(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return f"{text:.300}{_mend(text)}"


def _mend(text: str) -> str:
    for pattern, fix in _FIXES:
        if re.search(pattern, text):
            return f"; {fix}"
    return _wrong_python() or f"; see {MANUAL}"


def _wrong_python() -> Optional[str]:
    if sys.version_info < (3, 9):
        return None
    version = ".".join(str(part) for part in sys.version_info[:2])
    return f"; Isaac Gym Preview 4 is for Python 3.6 to 3.8 and this is {version}"
