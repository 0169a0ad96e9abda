"""Lets a CUDA build of torch be imported where none of NVIDIA's libraries is.

torch 2.4.1, the last for Python 3.8, is on PyPI as a CUDA build only, and with its libraries it
takes 5 GB. On a CPU nothing of them is called, but the dynamic loader wants them. So this puts
empty ones beside torch's own: every function that torch looks for, answering "no device".

    pip install --no-deps torch==2.4.1 && python tests/container/cpu_torch.py
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Dict, List, Set, Tuple

_NO_DEVICE = 100  # cudaErrorNoDevice
_NVIDIA = re.compile(r"lib(cu|nv|nccl)")
_UNVERSIONED = {"libcurand": "curand", "libnccl": "nccl"}  # library -> how its functions begin


def main() -> None:
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        raise SystemExit("torch is not installed for this Python")
    folder = Path(spec.origin).parent / "lib"
    needed, functions = _wanted(sorted(folder.glob("*.so*")))
    missing = sorted(
        name for name in needed if _NVIDIA.match(name) and not (folder / name).exists()
    )
    for name in missing:
        _build(folder / name, functions)
    print(f"{folder}: {len(missing)} empty libraries written")


def _wanted(libraries: List[Path]) -> Tuple[Set[str], Dict[str, Set[str]]]:
    """The libraries that these need, and the functions by library, or "" where none is said."""
    needed: Set[str] = set()
    functions: Dict[str, Set[str]] = {}
    for path in libraries:
        needed |= set(re.findall(r"NEEDED.*\[(.*?)\]", _readelf("-dW", path)))
        for name, library in re.findall(
            r"UND\s+(\w+)(?:@(\S+))?", _readelf("--dyn-syms", path, "-W")
        ):
            functions.setdefault(library, set()).add(name)
    return needed, functions


def _readelf(option: str, path: Path, *more: str) -> str:
    return subprocess.check_output(["readelf", option, *more, str(path)], text=True)


def _build(target: Path, functions: Dict[str, Set[str]]) -> None:
    versioned = functions.get(target.name, set())
    start = next((s for lib, s in _UNVERSIONED.items() if target.name.startswith(lib)), None)
    loose = {name for name in functions.get("", set()) if start and name.startswith(start)}
    with tempfile.TemporaryDirectory() as scratch:
        source, versions = Path(scratch) / "empty.c", Path(scratch) / "versions"
        source.write_text(
            "".join(
                f"int {name}(void) {{ return {_NO_DEVICE}; }}\n"
                for name in sorted(versioned | loose)
            )
        )
        versions.write_text(f"{target.name} {{ global: *; }};\n")
        command = ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{target.name}", "-o", str(target)]
        if versioned:
            command.append(f"-Wl,--version-script={versions}")
        subprocess.run([*command, str(source)], check=True)


if __name__ == "__main__":
    main()
