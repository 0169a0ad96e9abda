from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from following import SILENT, MadeUpSlurm, queued

from mapush.launch.node.slurm import SlurmError
from mapush.launch.squeue import Entry, in_queue

MOMENT = 2_111_085_829.0  # 2036-11-23T20:43:49 UTC
HERE = f"{datetime.fromtimestamp(MOMENT):%m-%d %H:%M}"


@pytest.fixture(name="cluster")
def made_up_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeUpSlurm:
    return MadeUpSlurm(tmp_path / "slurm", monkeypatch)


def test_the_queue_is_read_job_by_job_past_what_a_site_s_wrapper_says(cluster: MadeUpSlurm) -> None:
    cluster.queue(
        "Maintenance | on Monday",
        queued(slurm_id="8"),
        "",
        queued("PENDING", "Dependency", "N/A", slurm_id="9_0"),
        queued("PENDING", "ReqNodeNotAvail, UnavailableNodes:n1", slurm_id="9_1"),
    )
    assert in_queue() == {
        "8": Entry("RUNNING", "", MOMENT),
        "9_0": Entry("PENDING", "Dependency", None),
        "9_1": Entry("PENDING", "ReqNodeNotAvail, UnavailableNodes:n1", MOMENT),
    }


def test_a_silent_slurm_is_an_error_that_says_so(cluster: MadeUpSlurm) -> None:
    cluster.fail("squeue", SILENT)
    with pytest.raises(SlurmError, match=r"squeue: .*Unable to contact slurm controller"):
        in_queue()


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (Entry("RUNNING", "", MOMENT), "running"),
        (Entry("PENDING", "", None), "queued"),
        (Entry("PENDING", "Priority", None), "queued (Priority)"),
        (Entry("PENDING", "", MOMENT), f"queued (to start about {HERE})"),
        (Entry("PENDING", "Resources", MOMENT), f"queued (Resources, to start about {HERE})"),
    ],
)
def test_a_state_is_told_in_half_a_line(entry: Entry, text: str) -> None:
    assert entry.text() == text
