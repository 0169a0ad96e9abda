"""How a command ends: a package that cannot be imported is one line, a defect is a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import PROJECT

COMMANDS = ("train", "test", "submit", "runs", "doctor")


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_forgotten_virtual_environment_is_one_line(command: str) -> None:
    done = run("-S", "-E", "-m", f"mapush.{command}")
    assert (done.returncode, done.stdout) == (2, "")
    before, _, after = done.stderr.partition("' is not installed for ")
    assert before.startswith("mapush: the Python package '")
    assert after == (
        f"{sys.executable}; use the project's own: . .venv/bin/activate (make setup makes it)\n"
    )


@pytest.mark.parametrize(
    ("torch", "says"),
    [
        ("raise ImportError('libnone.so.1: cannot open shared object file')", "libnone.so.1: "),
        ("import ctypes; ctypes.CDLL('libnone.so.1')", "libnone.so.1: cannot open"),
        ("def load(): raise ImportError('two\\nlines')\nload()", "two lines"),
        ("raise ImportError", "ImportError"),
    ],
)
def test_a_package_that_cannot_be_imported_is_named_with_the_reason(
    torch: str, says: str, tmp_path: Path
) -> None:
    (tmp_path / "torch.py").write_text(torch)
    done = run("-m", "mapush.train", "--exp", "cuboid", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    start = f"mapush: the Python package 'torch' cannot be imported by {sys.executable} ("
    assert done.stderr.startswith(start)
    assert says in done.stderr


@pytest.mark.parametrize(
    ("torch", "package"),
    [
        ("import none_of_that_name", "none_of_that_name"),
        ("from json import none_of_that_name", "json"),
        ("def load(): raise ImportError('not here')", "torch"),
    ],
)
def test_the_package_that_is_at_fault_is_named(torch: str, package: str, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(torch)
    program = (
        "from mapush.errors import exit_with\n"
        "def main():\n"
        "    import torch\n"
        "    torch.load()\n"
        "exit_with(main)"
    )
    done = run("-c", program, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"package {package!r}" in done.stderr


@pytest.mark.parametrize(
    "defect",
    [
        "import mapush.nothing",
        "from mapush import nothing",
        "raise ImportError('by mapush')",
        "raise OSError('by mapush')",
        "open('/nowhere')",
    ],
)
@pytest.mark.parametrize("place", ["main", "mapush/defective.py"])
def test_an_import_that_fails_within_mapush_keeps_its_traceback(
    place: str, defect: str, tmp_path: Path
) -> None:
    (tmp_path / "defective.py").write_text(defect)
    program = (
        "import mapush\n"
        "from mapush.errors import exit_with\n"
        f"mapush.__path__.append({str(tmp_path)!r})\n"
        "def main():\n"
        f"    {defect if place == 'main' else 'import mapush.defective'}\n"
        "exit_with(main)"
    )
    done = run("-c", program)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert "mapush: the Python package" not in done.stderr


def test_a_fault_of_the_storage_during_an_import_keeps_its_traceback(tmp_path: Path) -> None:
    # It may be gone at the next try, which exit code 2 would rule out.
    (tmp_path / "torch.py").write_text("raise OSError(5, 'Input/output error')")
    done = run("-m", "mapush.train", "--exp", "cuboid", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "Traceback" in done.stderr
