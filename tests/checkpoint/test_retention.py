from __future__ import annotations

from typing import List, Mapping, Optional, Set

import pytest

from mapush.checkpoint.retention import (
    DEFAULT,
    AnyOf,
    CheckpointInfo,
    KeepAll,
    KeepBest,
    KeepEvery,
    KeepFinal,
    KeepFirst,
    KeepLast,
    KeepSteps,
    Policy,
    parse,
    reasons,
)
from mapush.errors import RequestError

M = 1_000_000


def infos(*steps: int, scores: Optional[Mapping[int, float]] = None) -> List[CheckpointInfo]:
    return [CheckpointInfo(step, (scores or {}).get(step)) for step in steps]


@pytest.mark.parametrize(
    ("policy", "checkpoints", "kept"),
    [
        (KeepAll(), infos(1, 2, 3), {1, 2, 3}),
        (KeepLast(2), infos(100, 20, 3), {20, 100}),
        (KeepLast(5), infos(1, 2), {1, 2}),
        (KeepFirst(), infos(30, 20, 100), {20}),
        (KeepFinal(), infos(30, 20, 100), {100}),
        (KeepSteps(frozenset({20, 7})), infos(10, 20, 30), {20}),
        # Exact multiples, and the first one past a multiple when sizes do not divide.
        (KeepEvery(10), infos(5, 10, 15, 20, 25), {10, 20}),
        (KeepEvery(10), infos(4, 8, 12, 16, 20, 24, 33), {12, 20, 33}),
        (KeepEvery(10), infos(3, 6, 9), set()),
        (KeepBest(1), infos(1, 2, 3, scores={1: 0.2, 2: 0.9}), {2}),
        (KeepBest(2), infos(1, 2, 3, scores={1: 0.2, 2: 0.9, 3: 0.5}), {2, 3}),
        (KeepBest(1), infos(1, 2, 3, scores={1: 0.5, 2: 0.5}), {2}),
        (KeepBest(1), infos(1, 2, scores={1: 0.5, 2: float("nan")}), {1}),
        (KeepBest(1), infos(1, 2), set()),
        (AnyOf((KeepFirst(), KeepLast(1))), infos(1, 2, 3), {1, 3}),
        (AnyOf(()), infos(1, 2, 3), set()),
    ],
)
def test_each_rule_keeps_what_it_says(
    policy: Policy, checkpoints: List[CheckpointInfo], kept: Set[int]
) -> None:
    assert policy.keep(checkpoints) == kept


@pytest.mark.parametrize(
    "policy",
    [DEFAULT, KeepAll(), KeepLast(3), KeepEvery(5), KeepBest(2), KeepFirst(), KeepFinal()],
)
def test_no_checkpoints_is_no_fault(policy: Policy) -> None:
    assert policy.keep([]) == set()


def test_the_default_keeps_the_same_when_applied_at_every_save_or_once_at_the_end() -> None:
    steps = range(20_000, 31 * M, 20_000)
    present = set()
    for step in steps:
        present = DEFAULT.keep(infos(*present, step))
    assert present == DEFAULT.keep(infos(*steps))
    assert {20_000, 10 * M, 20 * M, 30 * M, 30_980_000} <= present
    assert len(present) == 9


def test_the_seed_documents_recipes_would_delete_the_100m_checkpoint_and_the_default_does_not() -> (
    None
):
    steps = [*range(10 * M, 101 * M, 10 * M)]
    names = [f"rl_model_{step}_steps" for step in steps]
    # `find ... | sort | head -n -5 | xargs rm -rf`: sort is lexicographic.
    deleted = sorted(names)[:-5]
    assert "rl_model_100000000_steps" in deleted
    assert 100 * M in DEFAULT.keep(infos(*steps))


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("all", KeepAll()),
        ("last=5", AnyOf((KeepFinal(), KeepLast(5)))),
        ("last=1e1,every=2.5M", AnyOf((KeepFinal(), KeepLast(10), KeepEvery(2_500_000)))),
        (
            "last=5, every=10000000,best=1,first",
            AnyOf((KeepFinal(), KeepLast(5), KeepEvery(10 * M), KeepBest(1), KeepFirst())),
        ),
    ],
)
def test_a_keep_option_becomes_a_policy(text: str, policy: Policy) -> None:
    assert parse(text) == policy


@pytest.mark.parametrize(
    "text",
    [
        "",
        "none",
        "last",
        "last=0",
        "last=-1",
        "last=x",
        "last=1.5",
        "every=1e18",
        "last=5,",
        "newest=3",
        "first=1",
        "last=²",
    ],
)
def test_a_wrong_keep_option_is_refused_naming_what_is_allowed(text: str) -> None:
    with pytest.raises(RequestError, match="last=5,every=10000000,best=1,first"):
        parse(text)


def test_whatever_is_asked_for_the_newest_is_kept() -> None:
    assert 3 in parse("best=1").keep(infos(1, 2, 3, scores={1: 0.9}))


def test_reasons_are_the_rules_as_keep_has_them() -> None:
    three = infos(1, 2, 3, scores={1: 0.9, 3: 0.1})
    found = sorted(reasons(parse("last=2,every=2,best=1,first"), three))
    assert found == [
        *((1, "best=1"), (1, "first")),
        *((2, "every=2"), (2, "last=2")),
        *((3, "last=2"), (3, "newest")),
    ]
    assert list(reasons(parse("all"), three)) == [(1, "all"), (2, "all"), (3, "all")]
