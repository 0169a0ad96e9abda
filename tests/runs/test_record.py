from __future__ import annotations

import dataclasses
import errno
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from owners import owner

from mapush import files
from mapush.errors import RequestError, StorageError
from mapush.runs import record
from mapush.runs.record import Interruption, RunRecord

RECORD = RunRecord(
    exp="cuboid",
    task="go1push_mid",
    status=record.PREEMPTED,
    owner=owner("1234", 2),
    started="2025-10-28T18:07:58+09:00",
    live="log/MQE/go1push_mid/2025_10_28_18_07_58",
    results="results/10-28-18_cuboid",
    command=("python", "-m", "mapush.train", "--exp", "cuboid: #1"),
    seed=1,
    versions={"mapush": "0.1.0"},
    interruptions=(
        Interruption("2025-10-28T19:00:00.123+09:00", "SIGTERM", 40_000, 1_200, 0.5, "n7", 9.5, 0),
        Interruption("2025-10-28T20:00:00.123+09:00", "killed", 40_000, 0, 0.0, "n8", None, 1),
    ),
    more={"num_envs": 200},
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    record.write(tmp_path / "run.yaml", RECORD)
    return tmp_path / "run.yaml"


def test_what_is_written_is_read_back(path: Path) -> None:
    assert record.read(path) == RECORD
    assert [each.name for each in path.parent.iterdir()] == ["run.yaml"]


def test_an_interruption_of_an_earlier_version_is_read(path: Path) -> None:
    fields = yaml.safe_load(path.read_bytes())
    for each in fields["interruptions"]:
        del each["seconds_away"], each["restart"]
    path.write_text(yaml.safe_dump(fields))
    for each in record.read(path).interruptions:
        assert (each.seconds_away, each.restart, each.is_pending) == (None, None, False)
    assert [each.is_pending for each in RECORD.interruptions] == [False, True]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seconds_away", "9"),
        ("seconds_away", True),
        ("seconds_away", 10**400),
        ("seconds_lost", 10**400),
        ("seconds_lost", None),
        ("restart", "1"),
        ("restart", True),
        ("restart", 1.5),
    ],
)
def test_a_wrong_figure_of_an_interruption_is_refused(
    path: Path, field: str, value: object
) -> None:
    fields = yaml.safe_load(path.read_bytes())
    fields["interruptions"][0][field] = value
    path.write_text(yaml.safe_dump(fields))
    with pytest.raises(RequestError) as caught:
        record.read(path)
    assert len(str(caught.value)) < 500


def test_a_seed_need_not_be_known(path: Path) -> None:
    record.write(path, dataclasses.replace(RECORD, seed=None))
    assert record.read(path).seed is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "done"),
        ("status", 3),
        ("exp", None),
        ("owner", None),
        ("owner", {"job_id": "1"}),
        ("owner", {**RECORD.owner.to_mapping(), "pid": "x"}),
        ("started", 2025),
        ("command", "python"),
        ("command", [1]),
        ("versions", {"mapush": 1}),
        ("seed", "1"),
        ("seed", True),
        ("interruptions", {}),
        ("interruptions", [3]),
        ("interruptions", [{"time": "now"}]),
        ("live", "/tmp/elsewhere"),
        ("live", "../../../../etc"),
        ("live", "log/MQE/../../.."),
        ("live", "log/MQE/task"),
        ("live", "log/MQE/task/stamp/checkpoints"),
        ("results", "/results/x"),
        ("results", "results/.."),
        ("results", "results"),
        ("results", "results/a/b"),
        ("results", "elsewhere/a"),
        ("results", "results/a\0b"),
    ],
)
def test_a_wrong_field_is_refused_in_one_line(path: Path, field: str, value: object) -> None:
    fields = yaml.safe_load(path.read_bytes())
    path.write_text(yaml.safe_dump({**fields, field: value}))
    with pytest.raises(RequestError) as caught:
        record.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ["exp", "status", "owner", "live", "results", "interruptions"])
def test_a_missing_field_is_refused(path: Path, field: str) -> None:
    fields = yaml.safe_load(path.read_bytes())
    del fields[field]
    path.write_text(yaml.safe_dump(fields))
    with pytest.raises(RequestError, match=field):
        record.read(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"status: [",
        b"\xff\xfe\x00",
        b"a: \0",
        b"!!python/object/apply:os.mkdir [hacked]",
        b"&a [*a]",
        b"[" * 5_000,
        b"started: 2025-99-99",
        b"#" * 2_000_000,
    ],
)
def test_a_hostile_or_damaged_record_is_refused_and_not_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_bytes(content)
    with pytest.raises(RequestError) as caught:
        record.read(tmp_path / "run.yaml")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize("status", [record.PREEMPTED, record.RUNNING])
def test_the_status_is_a_line_of_its_own_that_a_shell_can_replace(path: Path, status: str) -> None:
    odd = ("--exp", "a\nstatus: running\nb", "status: preempted", "word " * 40)
    more = {"request": {"exp": "status: preempted\n"}, "list": [{"status": "running"}]}
    record.write(path, dataclasses.replace(RECORD, status=status, command=odd, more=more))
    text = path.read_text()
    assert text.splitlines().count(f"status: {status}") == 1
    assert len([line for line in text.splitlines() if line.startswith("status:")]) == 1
    subprocess.run(
        ["sed", "-i", "-E", "s/^status: (preempted|running)$/status: cancelled/", str(path)],
        check=True,
    )
    found = record.read(path)
    assert (found.status, found.command, found.more) == (record.CANCELLED, odd, more)


def test_a_record_that_cannot_be_read_just_now_is_not_called_damaged(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, read, calls = record.read(path), Path.open, []

    def failing(asked: Path, *arguments: object, **named: object) -> object:
        calls.append(None)
        if len(calls) in (1, 2) or len(calls) > 3:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return read(asked, *arguments, **named)

    monkeypatch.setattr(files, "PATIENCE", 0.1)
    monkeypatch.setattr(Path, "open", failing)
    assert record.read(path) == whole
    with pytest.raises(StorageError, match="start again") as caught:
        record.read(path)
    assert "by hand" not in str(caught.value)


def test_a_missing_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot be read"):
        record.read(tmp_path / "run.yaml")
