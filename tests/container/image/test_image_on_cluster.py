"""Jobs of a real SLURM cluster in the image: preempted, and complete in the end, to the bit."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Iterator

import building
import pytest
import worlds
from worlds import World

from tests.cluster.cases import LONG, PREEMPTED, preempt
from tests.cluster.cluster import Cluster, unavailable
from tests.cluster.scenario import References, alone, ended, judge
from tests.cluster.training_job import FORMS, SUBMIT, ancestors, start

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def cluster(walker: World) -> Iterator[Cluster]:
    """Two nodes, with apptainer in the path."""
    reason = unavailable()
    if reason:
        worlds.lacking(f"SLURM is not installed: {reason}")
    with Cluster(user_signal=True, nodes=2) as found:
        programs = building.surroundings(walker)["PATH"].split(":")[0]
        found.environment["PATH"] += f":{programs}"
        # Root without a user namespace of its own would need rights that this machine lacks.
        found.environment["APPTAINER_USERNS"] = "1"
        yield found


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> References:
    """The run on the host that nobody disturbs."""
    return References(tmp_path_factory.mktemp("reference"))


@pytest.mark.parametrize("form", FORMS)
def test_a_preempted_job_goes_on_in_the_image(
    form: str,
    cluster: Cluster,
    sif: Path,
    tmp_path: Path,
    references: References,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    launcher = []
    if form == SUBMIT:
        launcher = ["--container", str(sif), "--runtime", "apptainer"]
    else:
        monkeypatch.setitem(cluster.environment, "MAPUSH_CONTAINER", str(sif))
    with cluster.pair() as constraint, ended(tmp_path):
        job = start(cluster, form, tmp_path, constraint, steps=LONG, launcher=launcher)
        job.await_training()
        above = [line for _, line in ancestors(job.trainer())]
        begun = time.time()
        preempt(job)
        cost = job.interruption(1, begun)
        state = job.await_end()
        undisturbed = references.module(LONG)
        result = alone(job, judge(job, state, [cost], PREEMPTED, undisturbed, 1, 1))
    assert not result.problems, "\n".join(result.problems)
    assert any("pptainer" in line for line in above), above
