from __future__ import annotations

import threading
from functools import partial
from typing import List

import pytest
import torch

from mapush.learners.team import Team, one_torch_thread


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_every_piece_is_run_once(threads: int, count: int) -> None:
    team, done = Team(threads), []
    for _ in range(3):
        done.clear()
        team.run([partial(done.append, index) for index in range(count)])
        assert sorted(done) == list(range(count))


def test_pieces_run_side_by_side_on_threads_that_use_one_of_torchs() -> None:
    together, found = threading.Barrier(3, timeout=30), []

    def meet() -> None:
        found.append((threading.get_ident(), torch.get_num_threads(), torch.is_grad_enabled()))
        together.wait()

    with one_torch_thread():
        Team(3).run([meet] * 3)
    assert len({ident for ident, _, _ in found}) == 3
    assert threading.get_ident() in {ident for ident, _, _ in found}
    assert {(threads, grad) for _, threads, grad in found} == {(1, False)}


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_an_exception_of_a_piece_is_raised_and_the_team_goes_on(threads: int) -> None:
    team, done = Team(threads), []

    def fail() -> None:
        raise ArithmeticError("the piece")

    with pytest.raises(ArithmeticError, match="the piece"):
        team.run([fail] * 3)
    team.run([partial(done.append, None)] * 3)
    assert len(done) == 3


def test_torchs_number_of_threads_is_put_back() -> None:
    before = torch.get_num_threads()
    counts: List[int] = []
    try:
        torch.set_num_threads(3)
        with one_torch_thread():
            counts.append(torch.get_num_threads())
        counts.append(torch.get_num_threads())
    finally:
        torch.set_num_threads(before)
    assert counts == [1, 3]
