"""Whatever happens to a job on a real cluster, its run ends complete, to the bit, and just once.

A table of the same scenarios with what each costs: `python -m benchmarks.preemption`.
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path
from typing import Dict

import pytest

from tests.cluster.cluster import REQUIRED, wait_for
from tests.cluster.endings import NotPossible
from tests.cluster.plan import scenarios
from tests.cluster.scenario import Result
from tests.cluster.training_job import processes_of
from tests.support import PROJECT

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("name", scenarios())
def test_a_job_survives(name: str, stories: Dict[str, Future[Result]]) -> None:
    try:
        result = stories[name].result()
    except NotPossible as error:
        if REQUIRED:
            raise
        pytest.skip(str(error))
    assert not result.problems, "\n".join(result.problems)


@pytest.mark.parametrize("number", [pytest.param(9, id="killed"), pytest.param(2, id="Ctrl-C")])
def test_a_cluster_outlives_nobody(number: int, tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from tests.cluster.cluster import Cluster\n"
        "with Cluster(True, 2) as cluster:\n"
        "    cluster.run('sbatch', '--output=/dev/null', '--wrap=sleep 600')\n"
        "    print(cluster.place, flush=True)\n"
        f"    os.kill(os.getpid(), {number})\n"
        "    sys.stdin.read()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    place = done.stdout.strip()
    assert place
    assert done.returncode != 0
    wait_for("the cluster's end", lambda: not processes_of(Path(place)), 20)
