"""All that is done to jobs on the test clusters: each case in its forms, on its clusters."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import partial
from typing import Dict, Iterator

from tests.cluster.cases import CASES, STOCK, USER_SIGNAL
from tests.cluster.cluster import Cluster
from tests.cluster.endings import STORIES, Story
from tests.cluster.hostile import HOSTILE
from tests.cluster.scenario import play


@dataclass(frozen=True)
class Scenario:
    """One job and what is done to it."""

    case: str
    form: str
    cluster: str
    story: Story


def scenarios() -> Dict[str, Scenario]:
    """Every scenario by its name; those that take longest first."""
    found: Dict[str, Scenario] = {}
    for case in CASES:
        for cluster in case.clusters:
            for form in case.forms:
                name = f"{case.name}, {cluster}" if len(case.clusters) > 1 else case.name
                found[f"{name}, {form}"] = Scenario(name, form, cluster, partial(play, case))
    for name, (story, forms, cluster) in {**STORIES, **HOSTILE}.items():
        for form in forms:
            found[f"{name}, {form}"] = Scenario(name, form, cluster, story)
    return found


@contextlib.contextmanager
def clusters(jobs: int) -> Iterator[Dict[str, Cluster]]:
    """One cluster that sends a job its own signal when it is preempted, and one as shipped.

    Args:
        jobs: How many are to run on each at once, with two nodes for each.
    """
    with Cluster(True, 2 * jobs) as first, Cluster(False, 2 * jobs) as second:
        yield {USER_SIGNAL: first, STOCK: second}
