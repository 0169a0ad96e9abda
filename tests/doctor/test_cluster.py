"""What SLURM and a site's wrappers around it say, and what the doctor makes of it: kind C."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

import pytest

from mapush.doctor.cluster import examine_slurm, step_options
from mapush.doctor.finding import LOSS, NOTE, OK, WARNING, Finding
from tests.doctor.fakes import Fakes
from tests.doctor.questions import profile, question, said
from tests.doctor.recorded import CONFIG, PARTITIONS

ADMISSION = "sbatch --test-only"
QOS = CONFIG.replace("preempt/partition_prio", "preempt/qos")


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fakes:
    fakes = Fakes(tmp_path)
    for name, value in fakes.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("mapush.launch.node.slurm._PLACES", ())
    return fakes


def examine(tmp_path: Path, slow: float = 0.0, **fields: Any) -> Dict[str, Finding]:
    asked = question(tmp_path, profile(**fields), cluster="slurm")
    return {finding.name: finding for finding in examine_slurm(asked, slow)}


def test_a_sound_cluster_is_all_right(fakes: Fakes, tmp_path: Path) -> None:
    found = examine(tmp_path)
    assert {finding.level for finding in found.values()} == {OK}
    assert {"commands", "controller", ADMISSION, "preemption in low", "requeue"} <= set(found)
    assert "to start 2026-11-24T10:00:00" in found[ADMISSION].what


@pytest.mark.parametrize(
    ("version", "level", "words"),
    [
        ("echo slurm-wlm 20.11.7", OK, "20.11.7"),
        ("echo slurm 25.05.1-1", OK, "25.05.1"),
        ("echo slurm 20.02.3", NOTE, "mapush knows 20.11 to 25.05"),
        ("echo slurm 25.11.0", NOTE, "mapush knows"),
        ("echo welcome to ACME; echo slurm 22.05.8", OK, "22.05.8"),
        ("echo ACME batch 3", NOTE, "says ACME batch 3; mapush knows"),
        ("echo no >&2; exit 1", NOTE, "no"),
    ],
)
def test_versions(version: str, level: str, words: str, fakes: Fakes, tmp_path: Path) -> None:
    fakes.sbatch(version)
    finding = examine(tmp_path)["controller"]
    assert finding.level == level
    assert words in finding.what


@pytest.mark.parametrize(
    ("tests", "fields", "level", "words"),
    [
        (
            "echo 'sbatch: error: Batch job submission failed: Invalid qos' >&2; exit 1",
            {},
            LOSS,
            ["Invalid qos"],
        ),
        (
            "printf 'sbatch: A NOTICE\\nsbatch: error: no account\\n' >&2; exit 1",
            {},
            LOSS,
            ["A NOTICE; no account"],
        ),
        (
            "echo 'do not use --mem here'; exit 1",
            {"memory": "8G"},
            LOSS,
            ["--memory none", "--memory-per-cpu"],
        ),
        ("echo 'Memory required is not there'; exit 1", {"memory": "8G"}, LOSS, ["less --memory"]),
        ("echo 'do not use --mem here'; exit 1", {}, LOSS, ["change what the profile asks for"]),
        ("echo 'Requested node configuration is not available'; exit 1", {}, LOSS, ["sinfo -R"]),
        ("echo ok, job looks fine", {}, NOTE, ["form of its own", "looks fine", "squeue"]),
        (":", {}, NOTE, ["form of its own"]),
        ("exec sleep 60", {}, WARNING, ["no answer in 1 s"]),
    ],
)
def test_what_sbatch_says_of_the_job_is_shown_in_one_line(
    tests: str,
    fields: Dict[str, Any],
    level: str,
    words: List[str],
    fakes: Fakes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mapush.launch.node.slurm.SECONDS", 1.0)
    fakes.sbatch(tests=tests)
    finding = examine(tmp_path, **fields)[ADMISSION]
    assert (finding.level, "\n" in finding.what) == (level, False)
    for word in words:
        assert word in said(finding)


def test_sbatch_judges_the_job_s_own_script_without_the_user_s_variables(
    fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"SBATCH_PARTITION": "high", "SLURM_MEM_PER_CPU": "5", "MAPUSH_CODE": "/c"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    seen = " ".join(f'"${{{name}-}}"' for name in given)
    fakes.sbatch(tests=f"[ -z {seen.replace(' ', '')} ] || exit 9; {'echo to start at once'}")
    assert examine(tmp_path, partition="low", memory="8G")[ADMISSION].level == OK
    lines = fakes.script.read_text(encoding="utf-8").splitlines()
    assert {"#SBATCH --partition=low", "#SBATCH --mem=8G"} <= set(lines)
    assert any(line.startswith("for python in /usr/bin/python3 ") for line in lines)


@pytest.mark.parametrize("command", ["sbatch", "srun", "scontrol", "squeue", "scancel"])
def test_a_command_that_is_missing_is_a_loss(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = Fakes(tmp_path)
    (fakes.bin / command).unlink()
    monkeypatch.setenv("PATH", str(fakes.bin))
    monkeypatch.setattr("mapush.launch.node.slurm._PLACES", ())
    found = examine(tmp_path)
    assert {name: finding.level for name, finding in found.items()} == {command: LOSS}


def test_sbatch_outside_the_path_is_where_submitit_does_not_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = Fakes(tmp_path)
    monkeypatch.setenv("PATH", "/nosuch")
    monkeypatch.setattr("mapush.launch.node.slurm._PLACES", (str(fakes.bin),))
    found = examine(tmp_path)
    assert set(found) == {"sbatch", "srun"}
    assert f"export PATH={fakes.bin}:$PATH" in found["sbatch"].fix


def test_a_controller_that_does_not_answer_is_a_loss(fakes: Fakes, tmp_path: Path) -> None:
    fakes.answer(
        "scontrol", "echo 'scontrol: error: Unable to contact slurm controller' >&2; exit 1"
    )
    finding = examine(tmp_path)["controller"]
    assert (finding.level, finding.what) == (LOSS, "scontrol: Unable to contact slurm controller")


@pytest.mark.parametrize(
    ("partition", "names"),
    [(None, ["low"]), ("lowng", ["lowng"]), ("lowng,low", ["low", "lowng"]), ("moon", [])],
)
def test_interruptions_are_those_of_the_partitions_that_the_job_may_run_in(
    partition: str, names: List[str], fakes: Fakes, tmp_path: Path
) -> None:
    found = sorted(name for name in examine(tmp_path, partition=partition) if "preemption" in name)
    assert found == [f"preemption in {name}" for name in names]


def test_a_partition_that_is_down_is_warned_of(fakes: Fakes, tmp_path: Path) -> None:
    fakes.scontrol(partitions=PARTITIONS.replace("State=UP", "State=DOWN"))
    finding = examine(tmp_path)["partition"]
    assert (finding.level, finding.what) == (WARNING, "low is DOWN")


@pytest.mark.parametrize(
    ("sacctmgr", "level", "word"),
    [
        ("printf 'normal|cluster|00:00:00\\nlong|requeue|00:00:20\\n'", OK, "25 s"),
        ("exit 1", NOTE, "--qos"),
        ("printf 'normal|cluster|00:00:00\\n'", NOTE, "--qos"),
    ],
)
def test_the_job_s_quality_of_service_is_looked_up(
    sacctmgr: str, level: str, word: str, fakes: Fakes, tmp_path: Path
) -> None:
    fakes.scontrol(config=QOS)
    fakes.answer("sacctmgr", sacctmgr)
    finding = examine(tmp_path, qos="long")["preemption in low"]
    assert finding.level == level
    assert word in said(finding)


def test_a_small_job_asks_for_the_same_node(fakes: Fakes, tmp_path: Path) -> None:
    fields = {
        "partition": "low",
        "memory": "8G",
        "constraint": "a&b",
        "cpus": 3,
        "gpu_type": "a100",
    }
    asked = question(tmp_path, profile(**fields), cluster="slurm", gpus=1)
    assert sorted(step_options(asked)) == [
        *("--constraint=a&b", "--cpus-per-task=3", "--gres=gpu:a100:1", "--mem=8G"),
        "--partition=low",
    ]
