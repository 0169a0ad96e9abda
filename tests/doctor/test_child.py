"""What of set-up lines, a shell's start and a Python the doctor finds: kind B. Real shells."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

from mapush.doctor.finding import LOSS, NOTE, OK, WARNING, Finding
from mapush.doctor.look import look
from mapush.launch.node import trainer
from tests.doctor.questions import levels, profile, question, said

pytestmark = pytest.mark.slow  # processes by the dozen

PYTHON = {"modules": {"json": "json"}, "check": None, "envs": 1, "gpus": 0}
ISAACGYM = "mapush.simulators.isaacgym.imports:check"
PYTHON.update(uses_gpu=False, needs_gpu=False, python=[3, 8])
SOUND = {"bash": OK, "TMPDIR": OK, "Python": OK, "packages": OK}
LINES = "set-up lines"


def examine(
    tmp_path: Path,
    environment: Dict[str, str] = {},  # noqa: B006 - not changed
    wanted: Dict[str, Any] = PYTHON,
    **fields: Any,
) -> List[Finding]:
    """The findings of a job with such a profile, in such an environment."""
    request = question(tmp_path, profile(**fields)).request(0).model_dump()
    own = trainer.environment({}, request, "doctor-test", 0)
    full = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environment, **own}
    return look("machine", request, full, wanted)


def test_a_plain_job_is_sound(tmp_path: Path) -> None:
    assert levels(examine(tmp_path)) == SOUND


@pytest.mark.parametrize(
    "line",
    ["export A=1", "if true; then false || true; fi", "echo hi; exec 3>&1", "exec >/dev/null 2>&1"],
)
def test_a_line_that_works_is_said_to(line: str, tmp_path: Path) -> None:
    assert levels(examine(tmp_path, setup=(line,))) == {**SOUND, LINES: OK}


@pytest.mark.parametrize(
    ("fields", "level", "words"),
    [
        ({"setup": ["A=1", "exit 7", "B=1"]}, LOSS, ["'exit 7'", "ends the shell"]),
        ({"setup": ["exit"]}, LOSS, ["'exit'"]),
        ({"setup": ["A=1", "exit"], "python": "/nosuch"}, LOSS, ["'exit'"]),
        ({"setup": ["set -e", "A=1", "false"]}, LOSS, ["'false' ends"]),
        ({"setup": ["set -u", 'echo "$NOSUCH"']}, LOSS, ["echo", "ends"]),
        ({"setup": ["exec sleep 0"]}, LOSS, ["'exec sleep 0'", "says nothing"]),
        ({"setup": ["if true"]}, LOSS, ["'if true'", "ends"]),
        ({"modules": ["nosuch/1.0"]}, LOSS, ["module load", "nosuch/1.0", "exit code 127"]),
        ({"setup": ["module load cuda"]}, LOSS, ["'module load cuda' fails"]),
        (
            {"setup": ["module() { return 3; }", "module load x"]},
            LOSS,
            ["load x' fails (exit code 3)"],
        ),
        ({"setup": ["module() { eval 'test 0 = 1'; }", "A=1", "ml x"]}, LOSS, ["'ml x' fails"]),
        (
            {"setup": ["A=1", "export PYTHONHOME=/nosuch"]},
            LOSS,
            ["PYTHONHOME=/nosuch'", "encodings"],
        ),
        ({"setup": ["PYTHON=/nosuch", "A=1"]}, LOSS, ["after 'PYTHON=/nosuch'", "No such file"]),
        ({"setup": [". /nosuch/activate"]}, WARNING, ["'. /nosuch/activate' fails"]),
        ({"setup": ["false"]}, WARNING, ["'false' fails (exit code 1)"]),
    ],
)
def test_a_line_that_bites_is_named(
    fields: Dict[str, Any], level: str, words: List[str], tmp_path: Path
) -> None:
    found = [finding for finding in examine(tmp_path, **fields) if finding.name == LINES]
    assert found[0].level == level
    for word in words:
        assert word in said(found[0])


def test_what_fails_within_a_file_that_a_line_reads_is_that_line_s(tmp_path: Path) -> None:
    (tmp_path / "rc").write_text("\n\nfalse\ntrue\n")
    read = f". {tmp_path}/rc"
    assert levels(examine(tmp_path, setup=(read, "A=1")))[LINES] == OK
    (tmp_path / "rc").write_text("true\nfalse\n")
    found = [f for f in examine(tmp_path, setup=("A=1", read)) if f.name == LINES]
    assert [finding.what for finding in found] == [f"'{read}' fails (exit code 1)"]


def test_a_line_that_hides_a_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise ImportError('libGL.so.1: cannot open')\n")
    found = examine(tmp_path, setup=(f"export PYTHONPATH={tmp_path}", "A=1"))
    (finding,) = [finding for finding in found if finding.level == LOSS]
    assert f"after 'export PYTHONPATH={tmp_path}'" in finding.what


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("PYTHONPATH", "json.py: raise ImportError('broken')"),
        ("PYTHONHOME", "x: "),
        ("BASH_ENV", ".: exit 0"),
        ("BASH_ENV", ".: exec true"),
        ("BASH_FUNC_trap%%", "() { exit 3\n}"),
    ],
)
def test_a_variable_that_bites_is_named(name: str, content: str, tmp_path: Path) -> None:
    file, _, text = content.partition(": ")
    value = content
    if text or file == "x":
        path = tmp_path / ("env.sh" if file == "." else file)
        path.write_text(text)
        value = str(path if file == "." else tmp_path)
    found = [f for f in examine(tmp_path, {name: value}) if f.section == "environment"]
    assert levels(found) == {name: LOSS}
    assert f"unset {name}" in found[0].fix


@pytest.mark.parametrize("text", ["echo welcome", "nosuch-command", "echo oops >&2"])
def test_a_start_of_the_shell_that_speaks_is_a_note(text: str, tmp_path: Path) -> None:
    (tmp_path / "env.sh").write_text(text)
    found = examine(tmp_path, {"BASH_ENV": str(tmp_path / "env.sh")})
    assert levels(found) == {**SOUND, "bash": NOTE}
    assert "says first: " in found[0].what


@pytest.mark.parametrize("path", ["/nosuch", "/proc", "/dev/full/x"])
def test_a_directory_for_temporary_files_that_is_none_is_warned_of(
    path: str, tmp_path: Path
) -> None:
    assert levels(examine(tmp_path, {"TMPDIR": path}))["TMPDIR"] == WARNING


@pytest.mark.parametrize(
    ("wanted", "name", "words"),
    [
        (
            {"modules": {"mapush_nosuch": "no-such"}},
            "packages",
            ["cannot be imported: no-such is missing"],
        ),
        ({"python": [3, 99]}, "Python", ["needs Python 3.99"]),
        ({"check": ISAACGYM}, "simulator", ["isaacgym is not installed"]),
    ],
)
def test_what_a_python_lacks_is_a_loss(
    wanted: Dict[str, Any], name: str, words: List[str], tmp_path: Path
) -> None:
    found = [f for f in examine(tmp_path, wanted={**PYTHON, **wanted}) if f.level == LOSS]
    assert levels(found) == {name: LOSS}
    for word in words:
        assert word in said(found[0])


def test_gpus_are_those_that_torch_sees_in_the_trainer_s_place(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(
        "import os\n"
        "class cuda:\n"
        "    device_count = lambda: len(os.environ.get('CUDA_VISIBLE_DEVICES', '0'))\n"
        "    get_device_name = lambda number: 'NVIDIA A100'\n"
    )
    wanted = {**PYTHON, "modules": {"torch": "torch"}, "gpus": 1}
    wanted.update(uses_gpu=True, needs_gpu=True)
    given = {"PYTHONPATH": str(tmp_path)}
    (fine,) = [f for f in examine(tmp_path, given, wanted) if f.name == "GPUs"]
    assert (fine.level, "NVIDIA A100" in fine.what) == (OK, True)
    given["CUDA_VISIBLE_DEVICES"] = ""
    (hidden,) = [f for f in examine(tmp_path, given, wanted) if f.name == "GPUs"]
    assert (hidden.level, "CUDA_VISIBLE_DEVICES=''" in hidden.what) == (LOSS, True)
    (unused,) = [
        f for f in examine(tmp_path, given, {**wanted, "uses_gpu": False}) if f.name == "GPUs"
    ]
    assert unused.level == OK
    (optional,) = [
        f for f in examine(tmp_path, given, {**wanted, "needs_gpu": False}) if f.name == "GPUs"
    ]
    assert (optional.level, "on the CPU" in optional.cost) == (WARNING, True)


def test_a_python_that_is_not_there_is_a_loss(tmp_path: Path) -> None:
    found = {f.name: f for f in examine(tmp_path, python="/nosuch/python")}
    assert found["Python"].level == LOSS
    assert "/nosuch/python: No such file or directory" in found["Python"].what


# Stands in for apptainer: drops its own options and runs the rest on this machine.
RUNTIME = """#!/bin/bash
until [ "$1" = /bin/sh ]; do shift; done
exec "$@"
"""


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / "apptainer"
    program.parent.mkdir()
    program.write_text(RUNTIME)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    image = tmp_path / "my image.sif"
    image.touch()
    return image


def test_an_image_is_entered_as_a_job_enters_it(tmp_path: Path, image: Path) -> None:
    python = f'export MAPUSH_CONTAINER_PYTHON="{sys.executable}"'
    found = examine(tmp_path, container=str(image), setup=(python,))
    assert levels(found) == {**SOUND, LINES: OK, "container": OK}


@pytest.mark.parametrize(
    ("name", "runtime", "words"),
    [
        ("gone.sif", RUNTIME, "gone.sif: no such file"),
        ("my image.sif", "#!/bin/bash\necho no space >&2; exit 3\n", "no space"),
        ("my image.sif", "#!/bin/bash\nexec sleep 60\n", "no answer in 1 s"),
    ],
)
def test_an_image_that_cannot_be_entered_says_why_in_one_line(
    name: str,
    runtime: str,
    words: str,
    tmp_path: Path,
    image: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "bin" / "apptainer").write_text(runtime)
    monkeypatch.setattr("mapush.doctor.child.SECONDS", 1.0 if "sleep" in runtime else 60.0)
    found = {f.name: f for f in examine(tmp_path, container=str(tmp_path / name))}
    assert found["container"].level == LOSS
    assert words in found["container"].what
    assert "\n" not in found["container"].what
