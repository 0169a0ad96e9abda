from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Dict, List

import pytest

from mapush.diagnosis import gpu, software
from mapush.diagnosis.finding import LOSS, NOTE, OK, WARNING
from mapush.diagnosis.gpu import Gpu, Wanted
from mapush.diagnosis.outside import Answer, ask
from mapush.diagnosis.software import Software
from tests.support import PROJECT

WANTED = {"numpy": ("numpy", "1.24"), "yaml": ("pyyaml", "6.0")}
GOOD = {"numpy": "2.4.6", "yaml": "6.0.3"}


def test_the_packages_are_those_of_the_project() -> None:
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    stated = dict(re.findall(r'^    "([a-z]+)(?:\[\w+\])?>=([\d.]+)', text, re.MULTILINE))
    known = software.wanted("mujoco", is_host=True)
    assert dict(known.values()) == {
        name: stated[name] for name in stated if name in {p for p, _ in known.values()}
    }
    required = set(re.findall(r'"([a-z]+)>=', text.partition("dependencies")[2].partition("]")[0]))
    assert required <= {package for package, _ in known.values()}


@pytest.mark.parametrize("imports", [False, True])
def test_this_python_says_what_it_has(imports: bool) -> None:
    modules = {**WANTED, "mapush_nosuch": ("nosuch", "1.0")}
    answer = ask([sys.executable, *software.question_for(modules, imports)])
    said = software.parse(answer)
    assert said is not None
    assert said.version[:2] == sys.version_info[:2]
    assert set(said.found) == {"numpy", "yaml"}
    findings = software.judge("machine", said, modules, "mujoco")
    assert [finding.level for finding in findings] == [OK, LOSS]
    assert findings[1].what == "missing: nosuch"


def test_a_package_that_breaks_when_imported_is_told_from_a_missing_one(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("raise ImportError('libGL.so.1: cannot open')\n")
    answer = ask(
        [sys.executable, *software.question_for(WANTED, imports=True)],
        environment={"PYTHONPATH": str(tmp_path)},
    )
    said = software.parse(answer)
    assert said is not None
    finding = software.judge("machine", said, WANTED, "mujoco")[1]
    assert finding.level == LOSS
    assert "not usable: pyyaml (ImportError: libGL.so.1" in finding.what


@pytest.mark.parametrize(
    ("version", "found", "simulator", "levels"),
    [
        ((3, 11, 7), GOOD, "mujoco", [OK, OK]),
        ((3, 8, 18), GOOD, "mujoco", [LOSS, OK]),
        ((3, 8, 18), GOOD, "isaacgym", [OK, OK]),
        ((3, 7, 0), GOOD, "isaacgym", [LOSS, OK]),
        ((2, 7, 18), {}, "mujoco", [LOSS, LOSS]),
        ((3, 11, 7), {"numpy": "1.9.9", "yaml": "6.0"}, "mujoco", [OK, WARNING]),
        ((3, 11, 7), {"numpy": "", "yaml": "6.0"}, "mujoco", [OK, OK]),
        ((3, 11, 7), {"numpy": "1.24.0+local", "yaml": "6.0rc1"}, "mujoco", [OK, OK]),
    ],
)
def test_versions_are_compared_as_numbers(
    version: tuple[int, ...], found: Dict[str, str], simulator: str, levels: List[str]
) -> None:
    said = Software(version, found, {})
    findings = software.judge("machine", said, WANTED, simulator)
    assert [finding.level for finding in findings] == levels


@pytest.mark.parametrize(
    "text", ["", "mapush:", "mapush:{}", "mapush:[1]", 'mapush:{"version": 3}', "{" * 9999]
)
def test_what_is_no_answer_is_none(text: str) -> None:
    assert software.parse(Answer("python", 0, text)) is None


H100 = "NVIDIA H100 80GB HBM3, 535.129.03\n"
A100 = "NVIDIA A100-SXM4-80GB, 525.85.12\n"
OLD = "Tesla V100-SXM2-32GB, 450.80.02\n"


def test_gpus_are_read_and_anything_else_is_not() -> None:
    assert gpu.parse(A100 + H100) == [
        Gpu("NVIDIA A100-SXM4-80GB", "525.85.12"),
        Gpu("NVIDIA H100 80GB HBM3", "535.129.03"),
    ]
    assert gpu.parse("No devices were found\nFailed, to initialise\n\n") == []


@pytest.mark.parametrize(
    ("text", "wanted", "levels"),
    [
        (A100, Wanted(1, "isaacgym", True), {"GPU driver": OK}),
        (H100, Wanted(1, "isaacgym", True), {"GPU driver": OK, "Isaac Gym": LOSS}),
        (OLD, Wanted(1, "isaacgym", True), {"GPU driver": OK, "Isaac Gym": LOSS}),
        (H100, Wanted(1, "mujoco", True), {"GPUs": NOTE, "GPU driver": OK, "Isaac Gym": NOTE}),
        ("", Wanted(1, "mujoco", True), {"GPUs": NOTE}),
        ("", Wanted(1, "mujoco", True, True), {"GPUs": NOTE, "GPU driver": LOSS}),
        ("", Wanted(1, "isaacgym", True), {"GPU driver": LOSS}),
        ("", Wanted(1, "isaacgym", False), {"GPU driver": NOTE}),
        (A100, Wanted(2, "isaacgym", True), {"GPU driver": LOSS}),
    ],
)
def test_gpus_are_judged_by_the_simulator(
    text: str, wanted: Wanted, levels: Dict[str, str]
) -> None:
    answer = Answer("nvidia-smi", 0 if text else None, text, trouble="" if text else "not found")
    assert {f.name: f.level for f in gpu.judge("machine", answer, wanted)} == levels


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("NVIDIA A100-SXM4-80GB", True),
        ("NVIDIA A100 80GB PCIe", True),
        ("NVIDIA A10", True),
        ("NVIDIA L40S", True),
        ("NVIDIA RTX A6000", True),
        ("NVIDIA GeForce RTX 3090", True),
        ("NVIDIA GeForce RTX 4090", True),
        ("Tesla V100-SXM2-32GB", True),
        ("NVIDIA H100 80GB HBM3", False),
        ("NVIDIA H100 PCIe", False),
        ("NVIDIA H200", False),
        ("NVIDIA H800", False),
        ("NVIDIA H20", False),
        ("NVIDIA GH200 480GB", False),
        ("NVIDIA GB200", False),
        ("NVIDIA B200", False),
        ("NVIDIA B300 SXM6 AC", False),
        ("NVIDIA GeForce RTX 5090", False),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", False),
    ],
)
def test_which_gpus_isaac_gym_runs_on(name: str, runs: bool) -> None:
    answer = Answer("nvidia-smi", 0, f"{name}, 570.12.01\n")
    found = gpu.judge("machine", answer, Wanted(1, "isaacgym", True))
    assert ("Isaac Gym" not in {finding.name for finding in found}) == runs
