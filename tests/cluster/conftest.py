"""Two clusters side by side for the tests of this directory, and their jobs in a small pool."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Dict, Iterator

import pytest

from tests.cluster.cluster import REQUIRED, Cluster, unavailable
from tests.cluster.plan import Scenario, clusters, scenarios
from tests.cluster.scenario import References, Result

# Most of each is waiting for SLURM; a training takes a core for some seconds.
WORKERS = 5


@pytest.fixture(scope="session", autouse=True)
def _needs_slurm() -> None:
    reason = unavailable()
    if reason and REQUIRED:
        pytest.fail(f"MAPUSH_REQUIRE_CLUSTER=1, but SLURM is not installed: {reason}")
    if reason:
        pytest.skip(f"SLURM is not installed: {reason}")


@pytest.fixture(scope="session")
def pair_of_clusters(_needs_slurm: None) -> Iterator[Dict[str, Cluster]]:
    with clusters(WORKERS) as found:
        yield found


@pytest.fixture(scope="session")
def stories(
    request: pytest.FixtureRequest,
    pair_of_clusters: Dict[str, Cluster],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Dict[str, Future[Result]]]:
    """What comes of every scenario that this session asks for, all started now, some at a time."""
    place = tmp_path_factory.mktemp("cluster")
    wanted = [
        str(item.callspec.params["name"])
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and "stories" in item.fixturenames
        and hasattr(item, "callspec")
    ]
    references = References(place / "reference")
    everything = scenarios()
    pool = ThreadPoolExecutor(WORKERS)

    def begin(number: int, scenario: Scenario) -> Future[Result]:
        root: Path = place / str(number)
        return pool.submit(
            scenario.story,
            scenario.form,
            pair_of_clusters[scenario.cluster],
            root,
            references,
        )

    futures = {name: begin(number, everything[name]) for number, name in enumerate(wanted)}
    try:
        yield futures
    finally:
        # After Ctrl-C nothing new begins; what runs loses its cluster and ends with that.
        pool.shutdown(wait=False, cancel_futures=True)
