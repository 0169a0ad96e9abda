from __future__ import annotations

import itertools
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Iterator, List

import pytest

from mapush.errors import RequestError
from mapush.files import hidden_sibling
from mapush.runs.naming import candidates, live_candidates

START = datetime(2025, 10, 28, 18, 7, 58)


def first(names: Iterator[str], count: int) -> List[str]:
    return list(itertools.islice(names, count))


def test_names_get_minute_and_second_and_then_the_next_seconds() -> None:
    assert first(candidates(START, "cuboid"), 5) == [
        "10-28-18_cuboid",
        "10-28-18_cuboid_07-58",
        "10-28-18_cuboid_07-59",
        "10-28-18_cuboid_08-00",
        "10-28-18_cuboid_08-01",
    ]


def test_names_go_on_past_the_year_and_never_repeat() -> None:
    names = first(candidates(datetime(2025, 12, 31, 23, 59, 59), "cuboid"), 10_000)
    assert names[2] == "01-01-00_cuboid_00-00"
    assert len(set(names)) == len(names)


def test_the_clock_is_24_hours_and_that_of_the_start() -> None:
    zone = timezone(timedelta(hours=9))
    assert (
        next(candidates(datetime(2025, 10, 15, 23, 0, tzinfo=zone), "cuboid")) == "10-15-23_cuboid"
    )


def test_live_names_have_the_full_time() -> None:
    assert first(live_candidates(START), 3) == [
        "2025_10_28_18_07_58",
        "2025_10_28_18_07_59",
        "2025_10_28_18_08_00",
    ]


@pytest.mark.parametrize(
    "exp", ["cuboid", "Tblock", "cuboid_200envs", "v1.2-b", "würfel", "a" * 100]
)
def test_a_plain_folder_name_is_an_experiment(exp: str) -> None:
    assert next(candidates(START, exp)) == f"10-28-18_{exp}"


@pytest.mark.parametrize(
    "exp",
    [
        *("", ".", "..", ".hidden", "a/b", "/etc", "../x", "a b", "a\nb", "a\0", "-x", "a" * 101),
        *("a:b", "a%b", "\udcff", "a\udcff", "\x1b[2J", "日" * 67, "a" * 100_000),
    ],
)
def test_anything_else_is_refused_in_one_line(exp: str) -> None:
    with pytest.raises(RequestError) as caught:
        candidates(START, exp)
    assert "--exp" in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_the_longest_name_leaves_room_for_what_is_put_around_it() -> None:
    name = first(candidates(START, "日" * 66), 2)[1]
    assert len(os.fsencode(hidden_sibling(Path(name)).name)) <= 255
