from __future__ import annotations

from typing import Any, Dict, List, Set

import pytest

from mapush.diagnosis.finding import LOSS, NOTE, OK, WARNING
from mapush.diagnosis.resources import (
    Asker,
    judge_gpu_request,
    judge_nodes,
    judge_partition,
    wanted_partitions,
)
from mapush.diagnosis.scontrol import records, settings
from tests.diagnosis.questions import profile
from tests.diagnosis.recorded import CONFIG, NODES, PARTITIONS, changed

LOW, LOWNG = records(PARTITIONS)
USER = Asker(is_root=False, groups={"lab"})


@pytest.mark.parametrize(
    ("fields", "found", "missing"),
    [
        ({}, ["low"], []),
        ({"partition": "lowng"}, ["lowng"], []),
        ({"partition": "lowng,low"}, ["lowng", "low"], []),
        ({"partition": "moon"}, [], ["moon"]),
        ({"partition": "low,moon"}, ["low"], ["moon"]),
    ],
)
def test_partitions_are_those_named_else_the_default_one(
    fields: Dict[str, str], found: List[str], missing: List[str]
) -> None:
    partitions, findings = wanted_partitions(records(PARTITIONS), profile(**fields))
    assert [each["PartitionName"] for each in partitions] == found
    assert [finding.level for finding in findings] == [LOSS] * len(missing)
    for name, finding in zip(missing, findings):
        assert name in finding.what
        assert "low, lowng" in finding.mend


def test_a_cluster_without_a_default_partition_wants_one_to_be_named() -> None:
    _, (finding,) = wanted_partitions([LOWNG], profile())
    assert finding.level == LOSS
    assert "--partition" in finding.mend


@pytest.mark.parametrize(
    ("partition", "fields", "level", "word"),
    [
        ({}, {}, OK, "UP"),
        ({"State": "DOWN"}, {}, WARNING, "wait"),
        ({"State": "DRAIN"}, {}, LOSS, "refuses"),
        ({"State": "INACTIVE"}, {}, LOSS, "refuses"),
        ({"AllowAccounts": "a,b"}, {"account": "c"}, LOSS, "--account"),
        ({"AllowAccounts": "a,b"}, {"account": "b"}, OK, "UP"),
        ({"DenyAccounts": "c"}, {"account": "c"}, LOSS, "--account"),
        ({"AllowQos": "long"}, {"qos": "short"}, LOSS, "--qos"),
        ({"AllowGroups": "lab,other"}, {}, OK, "UP"),
        ({"AllowGroups": "other"}, {}, LOSS, "groups other"),
        ({"RootOnly": "YES"}, {}, LOSS, "RootOnly"),
        ({"ReqResv": "YES"}, {}, LOSS, "--reservation"),
        ({"ReqResv": "YES"}, {"reservation": "r"}, OK, "UP"),
        ({"MinNodes": "2"}, {}, LOSS, "MinNodes=2"),
        ({"MaxCPUsPerNode": "1"}, {}, LOSS, "--cpus 1"),
        ({"MaxMemPerNode": "4000"}, {}, LOSS, "--memory 4000M"),
        ({"OverSubscribe": "EXCLUSIVE"}, {}, NOTE, "whole node"),
    ],
)
def test_who_may_use_a_partition(
    partition: Dict[str, str], fields: Dict[str, Any], level: str, word: str
) -> None:
    findings = judge_partition(changed(LOW, **partition), profile(**fields), USER, settings(CONFIG))
    worst = findings[-1]
    assert worst.level == level
    assert word in f"{worst.what} {worst.cost} {worst.mend}"


@pytest.mark.parametrize(
    ("asker", "config", "levels"),
    [
        (Asker(True, set()), {"DisableRootJobs": "Yes"}, {OK, LOSS}),
        (Asker(True, set()), {}, {OK}),
        (USER, {"DisableRootJobs": "Yes"}, {OK}),
    ],
)
def test_root_may_be_kept_out(asker: Asker, config: Dict[str, str], levels: Set[str]) -> None:
    found = judge_partition(LOW, profile(), asker, changed(settings(CONFIG), **config))
    assert {finding.level for finding in found} == levels


@pytest.mark.parametrize(
    ("fields", "gpus", "level", "word"),
    [
        ({}, 0, OK, "2 of 3 fit, 1 usable"),
        ({"memory": "3G"}, 0, OK, "3 of 3 fit, 2 usable"),
        ({"cpus": 99}, 0, LOSS, "99 CPUs; the most is 64"),
        ({"memory": "999G"}, 0, LOSS, "the most is 256,000"),
        ({"cpus": 32}, 0, WARNING, "1 fit and none is usable (DOWN*+DRAIN)"),
        ({"memory": "1G"}, 2, OK, "2 of 3 fit"),
        ({"memory": "1G"}, 9, LOSS, "9 GPU; the most is 4"),
        ({"gpu_type": "a100"}, 4, OK, "1 of 3"),
        ({"gpu_type": "h100"}, 1, LOSS, "of type h100"),
        ({"gpu_type": "h100"}, 0, OK, "2 of 3"),
        ({"memory": "1G", "constraint": "ib"}, 0, OK, "1 of 3"),
        ({"constraint": "moon"}, 0, LOSS, "--constraint moon"),
        ({"memory": "32G", "constraint": "ib"}, 0, LOSS, "all that is asked for at once"),
        ({"constraint": "[rack1|rack2]"}, 0, OK, "2 of 3"),
    ],
)
def test_nodes_are_counted_that_have_everything(
    fields: Dict[str, Any], gpus: int, level: str, word: str
) -> None:
    (finding,) = judge_nodes(records(NODES), LOW, profile(**fields), gpus)
    assert finding.level == level
    assert word in finding.what


def test_a_partition_has_only_its_own_nodes() -> None:
    (finding,) = judge_nodes(records(NODES), LOWNG, profile(cpus=32), 0)
    assert finding.level == LOSS
    (finding,) = judge_nodes([], LOW, profile(), 0)
    assert finding.level == LOSS


@pytest.mark.parametrize(
    ("config", "fields", "gpus", "count"),
    [
        ({"GresTypes": "(null)"}, {}, 1, 1),
        ({"GresTypes": "(null)"}, {}, 0, 0),
        ({"SelectType": "select/linear"}, {"gpu_request": "gpus-per-node"}, 1, 1),
        ({"SelectType": "select/linear"}, {}, 1, 0),
        ({}, {"gpu_request": "gpus-per-node"}, 1, 0),
    ],
)
def test_the_form_of_the_request_for_gpus_must_be_one_the_cluster_takes(
    config: Dict[str, str], fields: Dict[str, Any], gpus: int, count: int
) -> None:
    found = judge_gpu_request(changed(settings(CONFIG), **config), profile(**fields), gpus)
    assert [finding.level for finding in found] == [LOSS] * count
