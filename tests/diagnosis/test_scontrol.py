from __future__ import annotations

from typing import Dict, Optional

import pytest

from mapush.diagnosis.scontrol import (
    UNLIMITED,
    exit_codes,
    features_met,
    gpus,
    megabytes,
    number,
    records,
    seconds,
    settings,
)
from tests.diagnosis.recorded import CONFIG, NODES, PARTITIONS


def test_settings_are_read_line_by_line_and_an_empty_one_takes_no_other_s_place() -> None:
    found = settings(CONFIG)
    assert found["KillWait"] == "5 sec"
    assert found["PowerPlugin"] == ""
    assert found["PreemptMode"] == "REQUEUE"
    assert found["SlurmctldParameters"] == "preempt_send_user_signal"


def test_records_are_one_per_line_and_a_node_s_reason_changes_no_field() -> None:
    assert [each["PartitionName"] for each in records(PARTITIONS)] == ["low", "lowng"]
    states = {each["NodeName"]: each["State"] for each in records(NODES)}
    assert states == {"n1": "IDLE", "n2": "MIXED", "n3": "DOWN*+DRAIN"}


@pytest.mark.parametrize("text", ["", "\n\n", "\x00\x01", "a=b " * 10_000, "State = x = y"])
def test_any_text_is_read_without_a_fault(text: str) -> None:
    settings(text)
    records(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("UNLIMITED", UNLIMITED),
        ("01:00:00", 3600.0),
        ("1-00:00:00", 86400.0),
        ("2-03:04:05", 183845.0),
        ("NONE", None),
        ("", None),
        (None, None),
    ],
)
def test_times(text: Optional[str], value: Optional[float]) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("5 sec", 5), ("30", 30), ("UNLIMITED", None), (None, None), ("", None)]
)
def test_numbers(text: Optional[str], value: Optional[int]) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("8G", 8192), ("500M", 500), ("500", 500), ("2048K", 2), ("1T", 1048576)]
)
def test_memory(text: str, value: float) -> None:
    assert megabytes(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(null)", {}),
        ("gpu:2", {"": 2}),
        ("gpu:a100:4(S:0-1)", {"a100": 4}),
        ("gpu:a100:4(S:0,1),gpu:v100:2,nvme:1", {"a100": 4, "v100": 2}),
        ("gpu:a100_3g.20gb:2(S:0),shard:8", {"a100_3g.20gb": 2}),
    ],
)
def test_gpus_of_a_node(text: str, value: Dict[str, int]) -> None:
    assert gpus(text) == value


@pytest.mark.parametrize(
    ("constraint", "value"),
    [
        ("ib", True),
        ("gpu80", False),
        ("ib&avx", True),
        ("ib,gpu80", False),
        ("gpu80|avx", True),
        ("gpu80|none", False),
        ("[rack1|rack2]", None),
        ("ib*2", None),
    ],
)
def test_features(constraint: str, value: Optional[bool]) -> None:
    assert features_met(constraint, {"avx", "ib"}) is value


def test_lists_of_exit_codes() -> None:
    assert exit_codes("1-3,75") == {1, 2, 3, 75}
    assert exit_codes("(null)") == exit_codes("x-,-3") == set()
    assert max(exit_codes("1-99999999999")) == 255
