from __future__ import annotations

from typing import Optional

import pytest

from mapush.checkpoint.names import directory_name, is_hidden, step_of
from mapush.files import hidden_sibling
from tests.support import PROJECT


@pytest.mark.parametrize("step", [0, 400, 100_020_000, 10**18 - 1])
def test_a_name_gives_its_step_back(step: int) -> None:
    assert step_of(directory_name(step)) == step


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("rl_model_20000_steps", 20_000),
        ("rl_model_020_steps", None),
        ("rl_model_-1_steps", None),
        ("rl_model_1_steps.bad-1", None),
        (".rl_model_1_steps.0123abcd.tmp", None),
        ("rl_model_1_steps\n", None),
        (f"rl_model_{10**18}_steps", None),
        ("best", None),
    ],
)
def test_only_the_exact_name_is_a_checkpoint(name: str, step: Optional[int]) -> None:
    assert step_of(name) == step


def test_what_is_being_written_is_told_from_what_is_there() -> None:
    path = PROJECT / directory_name(400)
    assert is_hidden(hidden_sibling(path).name)
    assert not is_hidden(path.name)


def test_the_names_are_spelled_in_one_file() -> None:
    found = [
        path.relative_to(PROJECT).as_posix()
        for path in (PROJECT / "mapush").rglob("*.py")
        if "rl_model_" in path.read_text(encoding="utf-8")
    ]
    assert found == ["mapush/checkpoint/names.py"]
