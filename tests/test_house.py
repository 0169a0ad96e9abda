"""The order of the house: arrows between packages run one way, files stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, Set, Tuple

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "mapush"

GROUND = {"arguments", "cores", "errors", "files", "plugins", "schema"}
# What each package may import from mapush beside itself. The package `commands` may import
# everything, and only `python -m mapush.<name>` imports it.
ENVIRONMENTS = {"robots", "simulators", "tasks", "environment"}
ALLOWED: Dict[str, Set[str]] = {
    "robots": GROUND,
    "simulators": {*GROUND, "robots"},
    "tasks": {*GROUND, "simulators"},
    "environment": {*GROUND, "tasks", "simulators"},
    "runs": {*GROUND, "checkpoint"},
    "checkpoint": GROUND,
    "learners": GROUND,
    "evaluation": {*GROUND, *ENVIRONMENTS, "learners", "checkpoint", "runs"},
    "rendering": {*GROUND, *ENVIRONMENTS, "checkpoint", "evaluation"},
    "training": {*GROUND, *ENVIRONMENTS, "runs", "checkpoint", "learners", "evaluation"},
    "launch": {*GROUND, "tasks", "runs", "checkpoint", "learners", "training"},
    "views": {*GROUND, "tasks", "runs", "checkpoint", "evaluation", "launch"},
    "export": {
        *GROUND,
        *("tasks", "runs", "checkpoint", "learners", "evaluation", "rendering", "views"),
    },
    "doctor": {*GROUND, "simulators", "runs", "checkpoint", "learners", "training", "launch"},
}
COMMANDS = {path.stem for path in (PACKAGE / "commands").glob("[!_]*.py")}
LINES = 400
COMMANDS_WITHOUT_TORCH = ("submit", "runs", "doctor")


def modules() -> Iterator[Path]:
    return PACKAGE.rglob("*.py")


def command(name: str) -> Path:
    """What `python -m mapush.<name>` runs; a package may have a command's name."""
    module = PACKAGE / f"{name}.py"
    return module if module.is_file() else PACKAGE / name / "__main__.py"


def imports(path: Path) -> Iterator[Tuple[int, str]]:
    """Line and full name of what a module imports from mapush, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import hides where it leads"
            names = [node.module or ""]
            if node.module == "mapush":
                names = [f"mapush.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "mapush":
                yield node.lineno, name


def test_every_package_has_its_place() -> None:
    there = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert there == {*ALLOWED, "commands"}
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    assert modules == {"__init__", *GROUND, *COMMANDS} - {*ALLOWED}
    assert all(command(name).is_file() for name in COMMANDS)


@pytest.mark.parametrize("name", sorted({"__init__", *GROUND}))
def test_the_ground_stands_on_nothing_else(name: str) -> None:
    found = {module.split(".")[1] for _, module in imports(PACKAGE / f"{name}.py")}
    assert found <= GROUND


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_imports_before_it_is_called_only_what_a_bare_python_has(name: str) -> None:
    # Else a forgotten virtual environment is a traceback.
    tree = ast.parse(command(name).read_text(encoding="utf-8"))
    found = [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert found == ["__future__", "typing", "mapush.errors"]
    assert not any(isinstance(node, ast.Import) for node in tree.body)
    assert {module for _, module in imports(command(name))} == {
        *("mapush.errors", f"mapush.commands.{name}")
    }


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_arrows_run_one_way(package: str) -> None:
    allowed = {package, *ALLOWED[package]}
    wrong = [
        f"{path.relative_to(REPOSITORY)}:{line}: {name}"
        for path in (PACKAGE / package).rglob("*.py")
        if path != command(package)
        for line, name in imports(path)
        if name.partition(".")[2].partition(".")[0] not in (*allowed, "", "__version__")
    ]
    assert not wrong


def test_the_allowed_arrows_have_no_circle() -> None:
    placed = {*GROUND, "arguments"}
    left = dict(ALLOWED)
    while left:
        free = {package for package, below in left.items() if below <= placed}
        assert free, f"a circle among {sorted(left)}"
        placed |= free
        left = {package: below for package, below in left.items() if package not in free}


def test_files_are_small() -> None:
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}
    assert [f"{path}: {size}" for path, size in sizes.items() if size > LINES] == []


@pytest.mark.parametrize(
    "package",
    [
        *("launch", "views", "doctor", "runs", "checkpoint/store.py"),
        *("tasks/load.py", "tasks/change.py", "learners/config.py"),
        *("training/config.py", "training/options.py"),
    ],
)
def test_what_a_login_node_runs_imports_no_torch(package: str) -> None:
    place = PACKAGE / package
    paths = [place] if place.suffix else list(place.rglob("*.py"))
    assert_torch_free(*paths)


@pytest.mark.parametrize("command", COMMANDS_WITHOUT_TORCH)
def test_commands_of_a_login_node_import_no_torch(command: str) -> None:
    assert_torch_free(PACKAGE / "commands" / f"{command}.py")


def assert_torch_free(*paths: Path) -> None:
    names = [".".join(path.relative_to(REPOSITORY).with_suffix("").parts) for path in paths]
    program = (
        "import importlib, sys\n"
        f"for name in {names!r}: importlib.import_module(name.replace('.__init__', ''))\n"
        "print(sorted({'torch', 'mujoco', 'tensorboard'} & set(sys.modules)))"
    )
    found = subprocess.check_output([sys.executable, "-c", program], cwd=REPOSITORY, text=True)
    assert found.strip() == "[]"
