"""What of a user's variables the doctor finds: kind A."""

from __future__ import annotations

from typing import Dict, List

import pytest

from mapush.doctor.environment import judge_environment
from mapush.doctor.finding import NOTE, OK, WARNING
from tests.doctor.questions import levels, said

PLAIN = {
    "PATH": "/usr/bin",
    "HOME": "/home/me",
    "SLURM_CONF": "/etc/slurm.conf",
    "MAPUSH_ROOT": "/s",
}
SBATCH = "sbatch's variables"
FOREIGN = "SLURM's variables"
OWN = "mapush's variables"
CARRIED = "passed on"


@pytest.mark.parametrize("cluster", ["slurm", "local"])
def test_a_plain_environment_is_no_trouble(cluster: str) -> None:
    assert levels(judge_environment(PLAIN, cluster)) == {"variables": OK}


@pytest.mark.parametrize(
    ("given", "name", "level", "words"),
    [
        ({"SLURM_JOB_ID": "7", "SLURM_MEM_PER_CPU": "1"}, FOREIGN, NOTE, ["job 7", "MEM_PER_CPU"]),
        ({"SLURM_EXPORT_ENV": "NONE"}, FOREIGN, NOTE, ["SLURM_EXPORT_ENV", "not passed on"]),
        (
            {"SQUEUE_FORMAT": "%i", "SLURM_TIME_FORMAT": "relative"},
            FOREIGN,
            NOTE,
            ["SQUEUE_FORMAT"],
        ),
        ({f"SLURM_{n}": "1" for n in range(30)}, FOREIGN, NOTE, ["and 18 more"]),
        (
            {"SBATCH_PARTITION": "high"},
            SBATCH,
            WARNING,
            ["SBATCH_PARTITION=high", "--partition=high"],
        ),
        ({"SBATCH_TIMELIMIT": "5"}, SBATCH, WARNING, ["--time=5", "unset SBATCH_TIMELIMIT"]),
        ({"SBATCH_MEM_PER_NODE": "4G"}, SBATCH, WARNING, ["--mem=4G"]),
        ({"SBATCH_MEM_PER_CPU": "4G"}, SBATCH, WARNING, ["--mem-per-cpu=4G"]),
        ({"SBATCH_ARRAY_INX": "1-3"}, SBATCH, WARNING, ["--array=1-3"]),
        ({"SBATCH_NO_REQUEUE": ""}, SBATCH, WARNING, ["--no-requeue"]),
        ({"SBATCH_CONSTRAINT": "a&b"}, SBATCH, WARNING, ["--constraint='a&b'"]),
        ({"SBATCH_EXPORT": "NONE"}, SBATCH, WARNING, ["keeps your variables from the job"]),
        (
            {"MAPUSH_CODE": "/c", "MAPUSH_JOB_OF": "9"},
            OWN,
            NOTE,
            ["MAPUSH_CODE=/c", "not passed on"],
        ),
        ({"MAPUSH_CONTAINER": "x.sif"}, OWN, NOTE, ["MAPUSH_CONTAINER=x.sif", "goes by"]),
        ({"PYTHONPATH": "/lab"}, CARRIED, NOTE, ["PYTHONPATH=/lab"]),
        (
            {"LD_PRELOAD": "/x.so", "PYTHONHOME": "/p"},
            CARRIED,
            NOTE,
            ["LD_PRELOAD", "PYTHONHOME=/p"],
        ),
        ({"BASH_ENV": "/e.sh"}, CARRIED, NOTE, ["BASH_ENV=/e.sh"]),
    ],
)
def test_each_variable_that_would_bite_is_named(
    given: Dict[str, str], name: str, level: str, words: List[str]
) -> None:
    (finding,) = judge_environment({**PLAIN, **given}, "slurm")
    assert (finding.name, finding.level) == (name, level)
    for word in words:
        assert word in said(finding)


def test_without_slurm_nothing_is_said_of_sbatch_alone() -> None:
    given = {**PLAIN, "SBATCH_PARTITION": "high", "MAPUSH_CONTAINER": "x.sif"}
    (foreign, own) = judge_environment(given, "local")
    assert (foreign.name, foreign.level) == (FOREIGN, NOTE)
    assert "sbatch slurm/train.sh" not in said(own)


def test_a_value_of_several_lines_is_shown_in_one() -> None:
    (finding,) = judge_environment({**PLAIN, "MAPUSH_SETUP": "a\nb\x1b[31m"}, "slurm")
    assert finding.what.isprintable()
