"""Everything that makes Isaac Gym die or hang, as one clear line beforehand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import List, Optional

import numpy as np
import pytest
import torch
from gym_doubles import DOUBLE, forget_isaacgym

from mapush.errors import RequestError
from mapush.simulators.isaacgym import extension, imports, preflight
from mapush.simulators.isaacgym.options import Options
from mapush.simulators.isaacgym.preflight import Gpu
from tests.support import PROJECT

GIB = 2**30


@pytest.mark.parametrize(
    ("name", "capability", "says"),
    [
        ("NVIDIA GeForce GTX 980", (5, 2), "6.0 to 8.9"),
        ("Tesla V100", (7, 0), None),
        ("NVIDIA A100", (8, 0), None),
        ("NVIDIA GeForce RTX 4090", (8, 9), None),
        ("NVIDIA H100", (9, 0), "segmentation fault"),
        ("NVIDIA H200", (9, 0), "--gres=gpu:a100:1"),
        ("NVIDIA GeForce RTX 5090", (12, 0), "compute capability 12.0"),
    ],
)
def test_gpus_that_isaac_gym_dies_on_are_refused(
    name: str, capability: tuple, says: Optional[str]
) -> None:
    gpu = Gpu(name, capability, 24 * GIB, 24 * GIB)
    if says is None:
        preflight.check_gpu(gpu, 500, 2, Options())
        return
    with pytest.raises(RequestError, match=name) as caught:
        preflight.check_gpu(gpu, 500, 2, Options())
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_gpu_that_is_too_full_is_refused_and_the_check_can_be_left_out() -> None:
    gpu = Gpu("NVIDIA A100", (8, 0), 2 * GIB, 40 * GIB)
    with pytest.raises(RequestError, match=r"2\.0 of 40\.0 GiB free.*fewer --num_envs"):
        preflight.check_gpu(gpu, 500, 2, Options())
    preflight.check_gpu(gpu, 500, 2, Options(check_memory=0))
    preflight.check_gpu(gpu, 50, 2, Options(contact_pairs=100_000))


@pytest.mark.parametrize(
    ("driver", "visible", "cuda", "says"),
    [
        (None, None, "12.1", "no NVIDIA driver on this machine"),
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  450.51.06",
            None,
            "12.1",
            "older than 470",
        ),
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03", None, "12.1", "--nv"),
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03", "", "12.1", "--gres=gpu:1"),
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03", None, None, "without CUDA"),
    ],
)
def test_why_there_is_no_gpu(
    driver: Optional[str],
    visible: Optional[str],
    cuda: Optional[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    if driver is not None:
        (tmp_path / "version").write_text(driver)
    with pytest.raises(RequestError, match="no GPU can be used") as caught:
        preflight.find_gpu(driver_file=tmp_path / "version")
    assert says in str(caught.value)


def in_a_process(ending: str) -> subprocess.CompletedProcess:
    program = (
        "import os, signal\n"
        "from mapush.simulators.isaacgym import preflight\n"
        "with preflight.last_words(500):\n"
        f"    {ending}\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_a_process_that_dies_in_isaac_gym_has_last_words() -> None:
    done = in_a_process("os.kill(os.getpid(), signal.SIGSEGV)")
    assert done.returncode == -signal.SIGSEGV
    assert "Isaac Gym died while it built 500 environments" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["pass", "raise SystemExit(3)", "raise ValueError('other')"])
def test_a_process_that_lives_has_none(ending: str) -> None:
    assert "Isaac Gym died" not in in_a_process(ending).stderr


def locked(root: Path, inside: str, age: float) -> Path:
    lock = root / inside / "gymtorch" / "lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    os.utime(lock, (time.time() - age, time.time() - age))
    return lock


@pytest.mark.parametrize("inside", ["", "py38_cu121"])
def test_a_lock_that_a_killed_build_left_is_removed_and_said(
    inside: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    lock = locked(tmp_path, inside, age=3600)
    other = tmp_path / "another_extension" / "lock"
    other.parent.mkdir()
    other.touch()
    extension.clear_stale_lock(tmp_path)
    assert not lock.exists()
    assert other.exists()
    assert f"{lock}: removed; it was left 3600 s ago" in capsys.readouterr().err


def test_a_build_in_progress_is_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    lock = locked(tmp_path, "", age=10)
    waits: List[float] = []

    def built_meanwhile(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            lock.unlink()

    extension.clear_stale_lock(tmp_path, wait=built_meanwhile)
    assert waits == [1.0] * 3
    assert capsys.readouterr().err.count("another process builds gymtorch") == 1


def test_a_build_that_never_ends_is_given_up(tmp_path: Path) -> None:
    lock = locked(tmp_path, "", age=590)

    def time_passes(_: float) -> None:
        then = lock.stat().st_mtime - 5
        os.utime(lock, (then, then))

    extension.clear_stale_lock(tmp_path, wait=time_passes)
    assert not lock.exists()


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RequestError, match=r"TORCH_EXTENSIONS_DIR"):
        extension.clear_stale_lock(tmp_path / "file")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TORCH_EXTENSIONS_DIR": "/x"}, "/x"),
        ({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, "/c/torch_extensions"),
        ({"HOME": "/h"}, "/h/.cache/torch_extensions"),
    ],
)
def test_where_torch_builds(
    environment: dict, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TORCH_EXTENSIONS_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert extension.extensions_root() == Path(expected)


BROKEN = {
    "ImportError('libpython3.8.so.1.0: cannot open shared object file')": "libpython3.8, or",
    "ImportError('libcuda.so.1: cannot open shared object file')": "--gpus all",
    "ImportError('libGL.so.1: cannot open shared object file')": "libgl1",
    "ImportError('version GLIBCXX_3.4.29 not found')": "distribution's own Python",
    "AttributeError(\"module 'numpy' has no attribute 'float'\")": "numpy<1.24",
    "RuntimeError('No gym module found for the active version of Python (3, 11)')": "isaac-gym",
    "RuntimeError('Ninja is required to load C++ extensions')": "pip install ninja",
}


@pytest.mark.parametrize("error", BROKEN)
def test_a_package_that_cannot_be_imported_is_explained(
    error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_isaacgym(monkeypatch)
    (tmp_path / "isaacgym").mkdir()
    (tmp_path / "isaacgym" / "__init__.py").touch()
    (tmp_path / "isaacgym" / "gymapi.py").write_text(f"raise {error}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "torch")
        imports.load_before_torch()  # says nothing yet: who knows whether it is needed
    with pytest.raises(RequestError, match="cannot import isaacgym") as caught:
        imports.gymapi()
    expected = "Python 3.6 to 3.8" if "(3, 11)" in error and sys.version_info > (3, 9) else None
    assert (expected or BROKEN[error]) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_package_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_isaacgym(monkeypatch)
    imports.load_before_torch()
    with pytest.raises(RequestError, match=r"isaacgym is not installed for .*docs/isaac-gym.md"):
        imports.gymapi()


def test_torch_that_was_first_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_isaacgym(monkeypatch)
    monkeypatch.syspath_prepend(str(DOUBLE))
    imports.load_before_torch()
    assert "isaacgym" not in sys.modules
    with pytest.raises(RequestError, match=r"torch was imported before isaacgym"):
        imports.gymapi()


def test_names_that_numpy_dropped_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("float", "int", "bool", "object"):
        monkeypatch.setattr(np, name, getattr(np, name, None), raising=False)
        monkeypatch.delattr(np, name)
    imports.restore_numpy_names()
    assert (np.float, np.int, np.bool, np.object) == (float, int, bool, object)  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "test"])
def test_commands_import_isaac_gym_before_torch(command: str, tmp_path: Path) -> None:
    (tmp_path / "isaacgym").mkdir()
    (tmp_path / "isaacgym" / "__init__.py").touch()
    (tmp_path / "isaacgym" / "gymapi.py").write_text(
        "import sys\nprint('torch first' if 'torch' in sys.modules else 'isaacgym first')\n"
    )
    words = ["--exp", "none"] if command == "train" else ["--checkpoint", "none"]
    done = subprocess.run(
        [sys.executable, "-m", f"mapush.{command}", *words, "--root", str(tmp_path)],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[:1] == ["isaacgym first"]
    assert done.returncode == 2
