from __future__ import annotations

import json
import socket
from datetime import datetime
from pathlib import Path
from typing import Dict

import pytest
from owners import owner

from mapush.errors import RequestError
from mapush.results.directory import reserve
from mapush.results.identity import Owner
from mapush.results.owner import acquire, holder

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
            "55_0",
            HOST,
            id="an-array",
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
