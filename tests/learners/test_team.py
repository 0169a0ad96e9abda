from __future__ import annotations

import threading
from functools import partial
from typing import Iterator

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


@pytest.fixture
def three_torch_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_torch_threads")
def test_pieces_run_side_by_side_with_no_gradients_and_one_torch_thread_each() -> None:
    together, found = threading.Barrier(3, timeout=30), {}

    def meet() -> None:
        found[threading.get_ident()] = torch.get_num_threads(), torch.is_grad_enabled()
        together.wait()

    Team(3).run([meet] * 3)
    # How many the calling thread has is the caller's choice.
    assert found.pop(threading.get_ident()) == (3, False)
    assert list(found.values()) == [(1, False)] * 2


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_an_exception_of_a_piece_is_raised_and_the_team_goes_on(threads: int) -> None:
    team, done = Team(threads), []

    def fail() -> None:
        raise ArithmeticError("the piece")

    with pytest.raises(ArithmeticError, match="the piece"):
        team.run([fail] * 3)
    team.run([partial(done.append, None)] * 3)
    assert len(done) == 3


@pytest.mark.usefixtures("three_torch_threads")
def test_torchs_number_of_threads_is_put_back() -> None:
    with one_torch_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
