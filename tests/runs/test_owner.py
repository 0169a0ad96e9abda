from __future__ import annotations

import json
import socket
import time
from datetime import datetime
from pathlib import Path
from typing import Dict, Optional

import pytest
from owners import owner

from mapush.errors import RequestError
from mapush.runs.lease import acquire, holder
from mapush.runs.naming import reserve
from mapush.runs.owner import Owner, job_environment

HOST = socket.gethostname()


@pytest.mark.parametrize(
    ("environment", "job", "slurm_job", "node"),
    [
        pytest.param({}, "", "", HOST, id="outside-slurm"),
        pytest.param({"SLURM_JOB_ID": "55"}, "55", "55", HOST, id="a-job"),
        pytest.param({"SLURM_JOB_ID": "55", "SLURMD_NODENAME": "n3"}, "55", "55", "n3", id="node"),
        pytest.param(
            {"SLURM_JOB_ID": "57", "SLURM_ARRAY_JOB_ID": "55", "SLURM_ARRAY_TASK_ID": "0"},
            "57",
            "57",
            HOST,
            id="an-array-that-may-be-inherited",
        ),
        pytest.param(
            {"SLURM_JOB_ID": "57", "MAPUSH_SLURM_ID": "55_0", "MAPUSH_JOB_ID": "one"},
            "one",
            "55_0",
            HOST,
            id="a-launcher-that-knows-the-array",
        ),
        pytest.param(
            {"SLURM_JOB_ID": "57", "MAPUSH_JOB_OF": "57", "MAPUSH_JOB_ID": "one"},
            "one",
            "57",
            HOST,
            id="a-launcher-of-this-job",
        ),
        pytest.param(
            {
                "SLURM_JOB_ID": "57",
                "MAPUSH_JOB_OF": "55",
                "MAPUSH_JOB_ID": "one",
                "MAPUSH_SLURM_ID": "55_0",
            },
            "57",
            "57",
            HOST,
            id="inherited-from-a-job-that-submitted-this-one",
        ),
        pytest.param(
            {"MAPUSH_JOB_OF": "55", "MAPUSH_JOB_ID": "one"}, "", "", HOST, id="inherited-outside"
        ),
        pytest.param(
            {"SLURM_JOB_ID": "57", "SLURM_ARRAY_JOB_ID": "", "SLURMD_NODENAME": ""},
            "57",
            "57",
            HOST,
            id="empty-values",
        ),
    ],
)
def test_job_and_node_are_what_slurm_calls_them(
    environment: Dict[str, str],
    job: str,
    slurm_job: str,
    node: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = Owner.current()
    assert (found.job_id, found.slurm_job_id, found.node, found.host) == (
        job,
        slurm_job,
        node,
        HOST,
    )


@pytest.mark.parametrize(
    ("environment", "count"),
    [
        ({"SLURM_RESTART_COUNT": "2"}, 2),
        ({"SLURM_RESTART_COUNT": "2", "MAPUSH_RESTART_COUNT": "0"}, 0),
        ({"SLURM_RESTART_COUNT": "2", "MAPUSH_RESTART_COUNT": "1", "MAPUSH_JOB_OF": "55"}, 1),
        ({"SLURM_RESTART_COUNT": "2", "MAPUSH_RESTART_COUNT": "1", "MAPUSH_JOB_OF": "54"}, 2),
    ],
)
def test_the_launchers_restart_count_goes_before_slurms(
    environment: Dict[str, str], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"SLURM_JOB_ID": "55", **environment}.items():
        monkeypatch.setenv(name, value)
    assert Owner.current().restart == count


def test_what_a_launcher_set_for_another_job_is_not_taken_for_this_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {f"MAPUSH_{name}": "1" for name in ("JOB_ID", "RESTART_COUNT", "SLURM_ID", "RUN_LINK")}
    for name, value in {**given, "SLURM_JOB_ID": "55"}.items():
        monkeypatch.setenv(name, value)
    assert job_environment() == given
    monkeypatch.setenv("MAPUSH_JOB_OF", "55")
    assert job_environment() == given
    monkeypatch.setenv("MAPUSH_JOB_OF", "54")
    assert job_environment() == {}


@pytest.mark.parametrize(
    ("restart", "later_restart", "started", "earlier"),
    [
        pytest.param(0, 1, None, True, id="counted"),
        pytest.param(1, 1, None, False, id="the-same-start"),
        pytest.param(2, 1, None, False, id="an-inherited-count-tells-nothing"),
        pytest.param(1, 1, +3600, True, id="slurm-has-started-the-job-since"),
        pytest.param(2, 1, +3600, True, id="whatever-was-inherited"),
        pytest.param(1, 1, -3600, False, id="slurm-has-not"),
        pytest.param(1, 1, +30, False, id="clocks-that-differ"),
    ],
)
def test_an_earlier_start_of_a_job_is_told_by_its_count_or_slurms_clock(
    restart: int,
    later_restart: int,
    started: Optional[int],
    earlier: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    if started is not None:
        monkeypatch.setenv("SLURM_JOB_START_TIME", str(int(time.time()) + started))
    before = owner("7", restart)
    assert before.is_earlier_start_of(owner("7", later_restart)) is earlier
    assert not owner("8", restart).is_earlier_start_of(owner("7", later_restart))
    assert not owner("", 0).is_earlier_start_of(owner("", 1))


def test_a_launchers_job_id_leaves_slurms_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "55")
    found = Owner.current("11-23-18-07-58_cuboid")
    assert (found.job_id, found.slurm_job_id) == ("11-23-18-07-58_cuboid", "55")


@pytest.mark.parametrize("node", ["n3", HOST])
def test_the_node_s_name_does_not_hide_that_a_process_is_gone(node: str) -> None:
    assert owner(process_start=-1, node=node).has_ended()
    assert not owner(node=node).has_ended()


def test_a_lease_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    start = datetime(2025, 10, 28, 18, 7, 58)
    run = reserve(tmp_path, "cuboid", "go1push_mid", start, owner())
    acquire(run, owner("7", host="node7"))
    lease = run.live / ".lease" / "000001"
    fields = json.loads(lease.read_text())
    del fields["slurm_job_id"], fields["node"]
    lease.write_text(json.dumps(fields))
    found = holder(run)
    assert found is not None
    assert (found.job_id, found.slurm_job_id, found.node) == ("7", "", "node7")


@pytest.mark.parametrize("field", ["slurm_job_id", "node"])
@pytest.mark.parametrize("value", [3, None, ["n3"]])
def test_a_field_of_another_type_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        Owner.from_mapping({**owner().to_mapping(), field: value})


def test_a_person_reads_job_slurm_job_and_node() -> None:
    mine = owner("one", slurm_job_id="55_2", node="n3", host="machine")
    assert "on machine, node n3 (job one, SLURM job 55_2, since" in str(mine)
    plain = owner("55", slurm_job_id="55", node=HOST)
    assert f"on {HOST} (job 55, since" in str(plain)


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "٣", "9" * 5000])
def test_a_restart_count_that_is_none_is_refused_in_one_line(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_RESTART_COUNT", text)
    with pytest.raises(RequestError, match="SLURM_RESTART_COUNT") as caught:
        Owner.current()
    assert len(str(caught.value)) < 200
