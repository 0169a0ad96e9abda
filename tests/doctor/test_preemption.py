from __future__ import annotations

from typing import Any, Dict, List, Optional, Set

import pytest

from mapush.doctor.finding import LOSS, NOTE, OK, WARNING
from mapush.doctor.preemption import exit_codes, judge_interruptions, records, settings
from tests.doctor.questions import profile, said
from tests.doctor.recorded import CONFIG, PARTITIONS, changed

LOW, LOWNG = records(PARTITIONS)
PREEMPTION = "preemption in low"
LEAD = "signal before the time limit"
LIMIT = "time limit in low"


def test_the_recorded_cluster_costs_a_run_nothing() -> None:
    findings = judge_interruptions(settings(CONFIG), LOW, profile())
    assert {finding.level for finding in findings} == {OK}


@pytest.mark.parametrize(
    ("config", "partition", "fields", "name", "level", "words"),
    [
        ({}, {}, {}, PREEMPTION, OK, ["13 s", "mapush requeues"]),
        ({}, {"GraceTime": "0"}, {}, PREEMPTION, OK, ["5 s from", "SLURM requeues"]),
        ({"KillWait": "30 sec"}, {}, {}, PREEMPTION, OK, ["38 s", "then 30"]),
        ({"KillWait": "1 sec"}, {"GraceTime": "0"}, {}, PREEMPTION, OK, ["5 s from"]),
        ({}, {"PreemptMode": "OFF"}, {}, PREEMPTION, OK, ["not preempted"]),
        ({"PreemptType": "preempt/none"}, {}, {}, PREEMPTION, OK, ["not preempted"]),
        ({}, {"PreemptMode": "CANCEL"}, {}, PREEMPTION, OK, ["mapush requeues"]),
        ({}, {"PreemptMode": "CANCEL", "GraceTime": "0"}, {}, PREEMPTION, WARNING, ["CANCEL"]),
        ({}, {"PreemptMode": "SUSPEND"}, {}, PREEMPTION, NOTE, ["resumed"]),
        ({}, {"PreemptMode": "GANG,SUSPEND"}, {}, PREEMPTION, NOTE, ["resumed"]),
        ({"PreemptType": "preempt/qos"}, {}, {}, PREEMPTION, NOTE, ["--qos"]),
        ({}, {}, {"requeue": False}, PREEMPTION, OK, ["ends with its checkpoint"]),
        ({}, {}, {"requeue": False}, "requeue", WARNING, ["--requeue true"]),
        ({"JobRequeue": "0"}, {}, {}, "requeue", OK, ["JobRequeue=0"]),
        ({"RequeueExit": "70-80"}, {}, {}, "RequeueExit", WARNING, ["75"]),
        ({"RequeueExitHold": "1"}, {}, {}, "RequeueExitHold", WARNING, ["holds", "1"]),
        ({"ProctrackType": "proctrack/linuxproc"}, {}, {}, "processes", WARNING, ["cgroup"]),
        ({}, {"MaxTime": "12:00:00"}, {}, LIMIT, LOSS, ["MaxTime=12:00:00", "--time 12:00:00"]),
        ({}, {}, {"time": "2", "signal_lead": 70}, LEAD, LOSS, ["never ends", "--time"]),
        ({}, {}, {"time": "60", "signal_lead": 30}, LEAD, NOTE, ["30 s", "60 or more"]),
        ({}, {}, {"time": "60"}, LEAD, OK, ["90 s"]),
    ],
)
def test_each_way_of_a_cluster_is_judged(
    config: Dict[str, str],
    partition: Dict[str, str],
    fields: Dict[str, Any],
    name: str,
    level: str,
    words: List[str],
) -> None:
    findings = judge_interruptions(
        changed(settings(CONFIG), **config), changed(LOW, **partition), profile(**fields)
    )
    (finding,) = [finding for finding in findings if finding.name == name]
    assert finding.level == level
    for word in words:
        assert word in said(finding)


@pytest.mark.parametrize(
    ("qos", "level", "word"),
    [
        ({"PreemptMode": "requeue", "GraceTime": "00:00:20"}, OK, "25 s"),
        ({"PreemptMode": "cluster", "GraceTime": "00:00:00"}, OK, "PreemptMode=REQUEUE"),
        ({"PreemptMode": "cancel", "GraceTime": "00:00:00"}, WARNING, "CANCEL"),
        (None, NOTE, "--qos"),
    ],
)
def test_preemption_by_quality_of_service_goes_by_that_one(
    qos: Optional[Dict[str, str]], level: str, word: str
) -> None:
    config = changed(settings(CONFIG), PreemptType="preempt/qos")
    finding = judge_interruptions(config, LOW, profile(), qos)[0]
    assert (finding.name, finding.level) == (PREEMPTION, level)
    assert word in said(finding)


@pytest.mark.parametrize(("slow", "level"), [(0.1, OK), (3.9, OK), (4.5, LOSS), (60.0, LOSS)])
def test_a_storage_too_slow_for_the_seconds_before_kill_loses_work(slow: float, level: str) -> None:
    finding = judge_interruptions(settings(CONFIG), LOWNG, profile(), slow=slow)[0]
    assert (finding.name, finding.level) == ("preemption in lowng", level)


def test_a_time_limit_within_that_of_the_partition_is_not_mentioned() -> None:
    partition = changed(LOW, MaxTime="12:00:00")
    found = judge_interruptions(settings(CONFIG), partition, profile(time="720"))
    assert LIMIT not in {finding.name for finding in found}


def test_settings_are_read_line_by_line_and_an_empty_one_takes_no_other_s_place() -> None:
    found = settings(CONFIG)
    assert found["KillWait"] == "5 sec"
    assert found["PowerPlugin"] == ""
    assert found["PreemptMode"] == "REQUEUE"
    assert "RequeueExit" not in found  # (null)


@pytest.mark.parametrize("text", ["", "\n\n", "\x00\x01", "a=b " * 10_000, "State = x = y"])
def test_any_text_is_read_without_a_fault(text: str) -> None:
    settings(text)
    records(text)


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("1-3,75", {1, 2, 3, 75}),
        ("75", {75}),
        ("", set()),
        ("x-,-", set()),
        ("254-255", {254, 255}),
    ],
)
def test_lists_of_exit_codes(text: str, codes: Set[int]) -> None:
    assert exit_codes(text) == codes
