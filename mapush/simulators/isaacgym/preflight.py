"""What would end in a segmentation fault or a riddle, said in one line beforehand."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Optional, Tuple

import torch

from mapush.errors import RequestError
from mapush.simulators.isaacgym.options import Options

OLDEST_DRIVER = 470
OLDEST_GPU = (6, 0)  # Pascal
FIRST_UNSUPPORTED = (9, 0)  # H100: PhysX has no kernels for it and the process dies

_DRIVER_FILE = Path("/proc/driver/nvidia/version")
_MIB = 2**20

# Of GPU memory; from what users of Isaac Gym report, not measured by us.
_BASE = 1536 * _MIB  # CUDA contexts of torch and PhysX, PhysX's kernels
_PER_PAIR = 400
_PER_ROBOT = _MIB // 2


@dataclass(frozen=True)
class Gpu:
    """The GPU that Isaac Gym would use, and its memory in bytes."""

    name: str
    capability: Tuple[int, int]
    free: int
    total: int


def find_gpu(number: int = 0, driver_file: Path = _DRIVER_FILE) -> Gpu:
    """A GPU that this process sees, by its number.

    Raises:
        RequestError: it sees none of that number; the message says why.
    """
    if not torch.cuda.is_available():
        raise RequestError(f"--sim isaacgym: no GPU can be used: {_why_no_gpu(driver_file)}")
    version = _driver(driver_file)
    if version is not None and version < OLDEST_DRIVER:
        raise RequestError(
            f"--sim isaacgym: the NVIDIA driver is {version} and Isaac Gym needs {OLDEST_DRIVER} "
            "or newer; update it, or ask for a node with a newer one"
        )
    if number >= torch.cuda.device_count():
        raise RequestError(
            f"--device cuda:{number}: this process sees {torch.cuda.device_count()} GPUs, counted "
            "from 0; choose another"
        )
    try:
        free, total = torch.cuda.mem_get_info(number)
        name, capability = (
            torch.cuda.get_device_name(number),
            torch.cuda.get_device_capability(number),
        )
        return Gpu(name, capability, free, total)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise RequestError(f"--sim isaacgym: the GPU does not answer ({reason:.200})") from None


def check_gpu(gpu: Gpu, envs: int, robots: int, options: Options) -> None:
    """Refuse a GPU that Isaac Gym dies on, or that is too full.

    Raises:
        RequestError: naming the GPU and what to do.
    """
    capability = ".".join(str(part) for part in gpu.capability)
    if not OLDEST_GPU <= gpu.capability < FIRST_UNSUPPORTED:
        raise RequestError(
            f"--sim isaacgym: {gpu.name} has compute capability {capability}, and Isaac Gym "
            "Preview 4 runs on 6.0 to 8.9 (Pascal to Ada; on an H100 and newer it dies with a "
            "segmentation fault); ask for another GPU, such as --gres=gpu:a100:1, or use --sim "
            "mujoco"
        )
    needed = memory_estimate(envs, robots, options)
    if options.check_memory and gpu.free < needed:
        raise RequestError(
            f"--sim isaacgym: {gpu.name} has {gpu.free / 2**30:.1f} of {gpu.total / 2**30:.1f} GiB "
            f"free and {envs} environments of {robots} robots with {options.contact_pairs:,} "
            f"contact pairs take about {needed / 2**30:.1f}: give fewer --num_envs or a smaller "
            "--sim_options contact_pairs=N, or check_memory=0 to try all the same"
        )


def memory_estimate(envs: int, robots: int, options: Options) -> int:
    """GPU memory for a simulation, bytes: a rule of thumb."""
    return _BASE + options.contact_pairs * _PER_PAIR + envs * robots * _PER_ROBOT


@contextlib.contextmanager
def last_words(envs: int, drawing: bool = False) -> Iterator[None]:
    """Have a clear line on stderr if this process is killed by what happens within.

    Isaac Gym shows most of what goes wrong on a GPU as a segmentation fault, which no Python code
    of the same process can report. So a shell waits for a line from this one, or for its end.
    """
    text = (
        f"mapush: --sim isaacgym: Isaac Gym died while it built {envs} environments: most often "
        "the GPU is out of memory (give fewer --num_envs or a smaller --sim_options "
        "contact_pairs=N) or not supported (H100 and newer){}; see docs/isaac-gym.md"
    ).format(", or Vulkan does not find it (needed for --record_video)" if drawing else "")
    watcher = subprocess.Popen(
        ["sh", "-c", 'read -r line || printf "%s\\n" "$1" >&2', "sh", text],
        stdin=subprocess.PIPE,
        start_new_session=True,  # a signal to this process's group is no death of Isaac Gym's
    )
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            watcher.communicate(b"alive\n")


def _why_no_gpu(driver_file: Path) -> str:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1", "NoDevFiles"):
        return (
            f"CUDA_VISIBLE_DEVICES is {visible!r}, so the job was given none; ask for one, such as "
            "--gres=gpu:1"
        )
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA; use the container's"
    version = _driver(driver_file)
    if version is None:
        return (
            "there is no NVIDIA driver on this machine; use a GPU node, or --sim mujoco, or "
            "--device cpu for Isaac Gym's slow CPU pipeline"
        )
    if version < OLDEST_DRIVER:
        return f"the NVIDIA driver is {version}, older than {OLDEST_DRIVER}; update it"
    return (
        f"this machine has NVIDIA driver {version}, but CUDA {torch.version.cuda} cannot use it: "
        "start the container with --nv (Apptainer) or --gpus all (Docker), or the driver is too "
        "old for this CUDA"
    )


def _driver(path: Path) -> Optional[int]:
    """Major version of the NVIDIA kernel driver; None without one."""
    try:
        found = re.search(r"\b(\d{3})\.\d+", path.read_text(encoding="ascii", errors="replace"))
    except OSError:
        return None
    return int(found.group(1)) if found else None
