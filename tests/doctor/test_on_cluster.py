"""The command on a real SLURM."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from tests.cluster.cluster import Cluster, unavailable
from tests.support import PROJECT

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

# Read before the tests' own environment is cleared. Set where a missing SLURM is a failure.
REQUIRED = os.environ.get("MAPUSH_REQUIRE_CLUSTER") == "1"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    reason = unavailable()
    if reason and REQUIRED:
        pytest.fail(f"MAPUSH_REQUIRE_CLUSTER=1, but SLURM is not installed: {reason}")
    if reason:
        pytest.skip(f"SLURM is not installed: {reason}")
    with Cluster(user_signal=False, nodes=2, max_time="2:00:00") as found:
        yield found


def look(cluster: Cluster, root: Path, *options: str) -> Dict[str, Any]:
    command = [sys.executable, "-m", "mapush.doctor", "--root", str(root), "--json"]
    if "--on-node" not in options:
        command += ["--python", "/nosuch"]  # a warning on a login node, and quicker than torch
    done = subprocess.run(
        [*command, "--time", "60", *options],
        cwd=PROJECT,
        env=cluster.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    assert done.stderr == ""
    content = json.loads(done.stdout)
    assert content["loses_work"] == bool(done.returncode)
    return {
        **content,
        "levels": {f"{f['section']}: {f['name']}": f["level"] for f in content["findings"]},
        "fix": {f"{f['section']}: {f['name']}": f["fix"] for f in content["findings"]},
    }


def test_a_sound_cluster_loses_nothing_as_seen_from_a_node_too(
    cluster: Cluster, tmp_path: Path
) -> None:
    found = look(cluster, tmp_path, "--on-node")
    assert not found["loses_work"], found["verdict"]
    for name in (
        *("slurm: controller", "slurm: preemption in low", "slurm: sbatch --test-only"),
        *("slurm: requeue", "node: root", "node: supervisor", "node: scontrol"),
        *("node: Python", "node: packages"),
    ):
        assert found["levels"][name] == "ok"
    assert "machine: Python" not in found["levels"]
    assert list(tmp_path.iterdir()) == []
    assert cluster.run("squeue", "--noheader").strip() == ""


@pytest.mark.parametrize(
    ("options", "losses"),
    [
        (["--partition", "moon"], ["slurm: sbatch --test-only"]),
        (["--gpus", "9"], ["slurm: sbatch --test-only"]),
        (["--memory", "999G"], ["slurm: sbatch --test-only"]),
        (["--constraint", "moon"], ["slurm: sbatch --test-only"]),
        (["--reservation", "moon"], ["slurm: sbatch --test-only"]),
        (["--time", "5:00:00"], ["slurm: time limit in low"]),
        (["--time", "2", "--signal-lead", "70"], ["slurm: signal before the time limit"]),
        (["--on-node", "--python", "/nosuch"], ["node: Python"]),
        (["--on-node", "--setup", "exit 3"], ["node: set-up lines"]),
        (["--on-node", "--modules", "nosuch"], ["node: set-up lines"]),
    ],
)
def test_what_the_cluster_would_refuse_or_lose_is_a_loss(
    options: List[str], losses: List[str], cluster: Cluster, tmp_path: Path
) -> None:
    found = look(cluster, tmp_path, *options)
    assert [name for name, level in found["levels"].items() if level == "loss"] == losses


def test_a_partition_that_cancels_without_grace_is_warned_of(
    cluster: Cluster, tmp_path: Path
) -> None:
    found = look(cluster, tmp_path, "--partition", "lowcancelng")
    assert found["levels"]["slurm: preemption in lowcancelng"] == "warning"
    assert not found["loses_work"]


def test_no_free_node_is_a_warning_in_bounded_time(cluster: Cluster, tmp_path: Path) -> None:
    cluster.run("scontrol", "update", "NodeName=n1,n2", "State=DRAIN", "Reason=test")
    try:
        found = look(cluster, tmp_path, "--on-node", "--node-wait", "2")
    finally:
        cluster.run("scontrol", "update", "NodeName=n1,n2", "State=RESUME")
    assert found["levels"]["node: compute node"] == "warning"
    assert "sinfo -R" in found["fix"]["slurm: sbatch --test-only"]
    assert cluster.run("squeue", "--noheader").strip() == ""
