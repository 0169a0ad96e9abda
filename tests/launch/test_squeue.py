from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from following import SILENT, MadeUpSlurm, queued

from mapush.launch.node.slurm import Job, SlurmError
from mapush.launch.squeue import in_queue

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
        "8": Job("8", "RUNNING", "", MOMENT),
        "9_0": Job("9_0", "PENDING", "Dependency", None),
        "9_1": Job("9_1", "PENDING", "ReqNodeNotAvail, UnavailableNodes:n1", MOMENT),
    }


def test_a_silent_slurm_is_an_error_that_says_so(cluster: MadeUpSlurm) -> None:
    cluster.fail("squeue", SILENT)
    with pytest.raises(SlurmError, match=r"squeue: .*Unable to contact slurm controller"):
        in_queue()


@pytest.mark.parametrize(
    ("job", "text"),
    [
        (Job("8", "RUNNING", "", MOMENT), "running"),
        (Job("8", "PENDING", "", None), "queued"),
        (Job("8", "PENDING", "Priority", None), "queued (Priority)"),
        (Job("8", "PENDING", "", MOMENT), f"queued (to start about {HERE})"),
        (Job("8", "PENDING", "Resources", MOMENT), f"queued (Resources, to start about {HERE})"),
    ],
)
def test_a_state_is_told_in_half_a_line(job: Job, text: str) -> None:
    assert job.text() == text
