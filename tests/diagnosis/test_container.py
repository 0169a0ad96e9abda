from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Dict, List

import pytest

from mapush.diagnosis.container import examine_container
from mapush.diagnosis.finding import LOSS, OK, WARNING, Finding
from tests.diagnosis.questions import profile, question

# Stands in for apptainer: drops its own options and runs the rest on this machine.
RUNTIME = """#!/usr/bin/env bash
until [ "$1" = /bin/sh ]; do shift; done
exec "$@"
"""


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "apptainer"
    program.write_text(RUNTIME)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("MAPUSH_CONTAINER_PYTHON", "/nosuch")  # of this shell, not of the job
    return program


def levels(findings: List[Finding]) -> Dict[str, str]:
    return {finding.name: finding.level for finding in findings}


def look(tmp_path: Path, image: str, cluster: str = "local", **fields: object) -> List[Finding]:
    asked = profile(container=image, **fields)
    return examine_container(question(tmp_path, asked, cluster=cluster))


def test_no_container_is_no_trouble(tmp_path: Path) -> None:
    assert levels(examine_container(question(tmp_path))) == {"image": OK}


def test_an_image_is_entered_as_a_job_enters_it(tmp_path: Path, runtime: Path) -> None:
    image = tmp_path / "my image.sif"
    image.touch()
    python = f'export MAPUSH_CONTAINER_PYTHON="{sys.executable}"'
    found = levels(look(tmp_path, str(image), setup=(python,)))
    found.pop("user namespaces", None)
    assert found == {"image": OK, "Python": OK, "packages": OK}


def test_an_image_without_the_packages_is_a_loss(tmp_path: Path, runtime: Path) -> None:
    image = tmp_path / "image.sif"
    image.touch()
    bare = tmp_path / "python"
    bare.write_text(f'#!/usr/bin/env bash\nexec "{sys.executable}" -I -S "$@"\n')
    bare.chmod(0o755)
    setup = (f'export MAPUSH_CONTAINER_PYTHON="{bare}"',)
    (finding,) = [f for f in look(tmp_path, str(image), setup=setup) if f.name == "packages"]
    assert finding.level == LOSS
    assert "torch" in finding.what


@pytest.mark.parametrize(("cluster", "level"), [("local", LOSS), ("slurm", WARNING)])
def test_an_image_that_is_not_there_says_so_in_enter_s_own_line(
    cluster: str, level: str, tmp_path: Path, runtime: Path
) -> None:
    found = look(tmp_path, str(tmp_path / "gone.sif"), cluster)
    assert found[0].level == level
    assert "gone.sif: no such file" in found[0].what
    assert "\n" not in found[0].what


def test_a_runtime_that_never_answers_is_a_finding(
    tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.write_text("#!/usr/bin/env bash\nexec sleep 60\n")
    monkeypatch.setattr("mapush.diagnosis.container.SECONDS", 1.0)
    image = tmp_path / "image.sif"
    image.touch()
    assert look(tmp_path, str(image))[0].level == LOSS


def test_a_set_up_line_that_fails_to_find_its_module_is_no_traceback(
    tmp_path: Path, runtime: Path
) -> None:
    image = tmp_path / "image.sif"
    image.touch()
    found = look(tmp_path, str(image), setup=("exit 7",))
    assert found[0].level == LOSS
