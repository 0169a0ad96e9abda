from __future__ import annotations

from pathlib import Path

import pytest

from mapush.checkpoint.retention import DEFAULT, parse
from mapush.errors import StorageError
from mapush.training.disk_space import Space, estimate, require

MB = 1_000_000


@pytest.mark.parametrize(
    ("last", "save_freq", "keep", "checkpoints", "kept"),
    [
        # the seed document's run: 5,000 checkpoints of 30 MB, all kept, are its 150 GB
        (100 * MB, 20_000, "all", 5000, 5000),
        (100 * MB, 20_000, "last=5", 5000, 5),
        (100 * MB, 10 * MB, "all", 10, 10),
        (20_000, 20_000, "all", 1, 1),
        (50_000, 20_000, "last=2", 3, 2),
    ],
)
def test_checkpoints_are_counted_as_they_will_be_written_and_kept(
    last: int, save_freq: int, keep: str, checkpoints: int, kept: int
) -> None:
    space = estimate(0, last, 20_000, save_freq, 30 * MB, parse(keep))
    assert (space.checkpoints, space.kept) == (checkpoints, kept)
    assert space.written == pytest.approx(checkpoints * 30 * MB, rel=0.01)


def test_the_default_retention_turns_150_gb_into_less_than_one() -> None:
    space = estimate(0, 100 * MB, 20_000, 20_000, 30 * MB, DEFAULT)
    assert space.written > 149e9
    assert space.needed < 1e9


def test_what_is_done_already_is_not_counted_again() -> None:
    whole = estimate(0, 2 * MB, 20_000, 20_000, MB, parse("all"))
    half = estimate(MB, 2 * MB, 20_000, 20_000, MB, parse("all"))
    assert 2 * half.checkpoints == whole.checkpoints


def test_a_run_that_does_not_fit_is_refused_with_both_figures(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"[\d,]+ bytes free and this run needs [\d,]+ .*--keep"):
        require(Space(0, 10**20, 5, 5), tmp_path)
    require(Space(0, 1, 5, 5), tmp_path)
