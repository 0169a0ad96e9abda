from __future__ import annotations

from pathlib import Path
from typing import Dict

import pytest

from mapush.errors import RequestError
from mapush.evaluation.figures import wilson_interval
from mapush.evaluation.success_rates import Entry, read_success_rates, write_success_rate


def degrees(collision: float, collaboration: float) -> Dict[str, float]:
    return {"collision degree": collision, "collaboration degree": collaboration}


ENTRY = Entry(20000, 0.5, 0.4439, 0.5561, 300, 13.61, degrees(0.0, 0.25))


def test_figures_survive_their_way_through_the_file_in_numeric_order(tmp_path: Path) -> None:
    path = tmp_path / "success_rate.txt"
    later = Entry(100000, 0.6, 0.5, 0.7, 300, 12.0, degrees(0.0, 0.5))
    write_success_rate(path, later)
    write_success_rate(path, ENTRY)
    assert read_success_rates(path) == [ENTRY, later]


def test_new_figures_of_a_checkpoint_replace_the_old_ones(tmp_path: Path) -> None:
    path = tmp_path / "success_rate.txt"
    write_success_rate(path, Entry(20000, 0.1, 0.0, 0.2, 50, 19.0, degrees(0.0, 0.0)))
    write_success_rate(path, ENTRY)
    assert read_success_rates(path) == [ENTRY]


def test_the_file_has_the_four_figures_under_the_checkpoints_name(tmp_path: Path) -> None:
    path = tmp_path / "success_rate.txt"
    write_success_rate(path, ENTRY)
    assert path.read_text().splitlines() == [
        "rl_model_20000_steps",
        "success rate: 0.5000 (95% interval 0.4439 to 0.5561, 300 episodes)",
        "finished time: 13.6100",
        "collision degree: 0.0000",
        "collaboration degree: 0.2500",
    ]


@pytest.mark.parametrize("text", ["hello\n", "rl_model_1_steps\nsuccess rate: high\n"])
def test_a_file_in_another_form_is_refused_not_overwritten(text: str, tmp_path: Path) -> None:
    path = tmp_path / "success_rate.txt"
    path.write_text(text)
    with pytest.raises(RequestError, match=r"success_rate\.txt: block .* move the file aside"):
        write_success_rate(path, ENTRY)
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("rate", "count", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (81 / 263, 263, 0.2553, 0.3662),
        (15 / 148, 148, 0.0624, 0.1605),
        (0 / 20, 20, 0.0, 0.1611),
        (1 / 29, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_wilsons(rate: float, count: int, low: float, high: float) -> None:
    assert wilson_interval(rate, count) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize("metrics", [{}, {"way lost": 0.125}])
def test_a_task_has_metrics_of_its_own_or_none(tmp_path: Path, metrics: Dict[str, float]) -> None:
    path = tmp_path / "success_rate.txt"
    entry = Entry(20000, 0.5, 0.4, 0.6, 300, 1.5, metrics)
    write_success_rate(path, entry)
    write_success_rate(path, ENTRY)
    assert read_success_rates(path) == [ENTRY]
    write_success_rate(path, entry)
    assert read_success_rates(path) == [entry]
