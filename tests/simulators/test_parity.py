"""A published policy does here about what it did in Isaac Gym; the benchmark has the rest."""

from __future__ import annotations

from pathlib import Path
from typing import List, Sequence

import pytest
from scenes import PROJECT, task_of

from benchmarks import parity
from benchmarks.published import Published, find_checkpoints, published_figures
from mapush.errors import RequestError
from mapush.evaluation.figures import Figures

PUBLISHED = PROJECT.parent / "shared" / "reference" / "checkpoints"
TENS = [10.0 * count for count in range(1, 11)]


def rows(success: Sequence[float], later: float = 0.0) -> List[parity.Row]:
    """Checkpoints that do better than published by `success`, and arrive `later`, s."""
    return [
        parity.Row(
            10.0,
            Figures(0.5 + more, 12.0 + later, 1000, 0.1, 1.0, {"collaboration degree": 0.3}),
            Published(0.5, 12.0, 0.2),
        )
        for more in success
    ]


@pytest.mark.parametrize("exp", ["cuboid", "cylinder", "Tblock"])
def test_every_ten_million_steps_were_published(exp: str) -> None:
    figures = published_figures()[exp]
    assert sorted(figures) == TENS
    assert figures[10].time > 19.7
    assert figures[100].success > 0.59


def test_collaboration_is_the_published_one() -> None:
    known = published_figures()
    assert known["Tblock"][50].collaboration == 0.571
    assert known["cuboid"][100].collaboration == 0.110
    assert {row.collaboration for row in known["cylinder"].values()} == {0.0}


@pytest.mark.parametrize(
    ("exp", "success", "later", "end"),
    [
        ("cuboid", [0.029, -0.029], 0.0, "goal met"),
        ("cuboid", [0.03, -0.04], 0.0, "goal MISSED"),
        ("cuboid", [0.0, 0.0, 0.0, 0.081], 0.0, "goal MISSED"),
        ("cylinder", [0.0], 0.39, "goal met"),
        ("cylinder", [0.0], -0.41, "goal MISSED"),
        ("Tblock", [0.0, -0.11], 0.0, "goal met"),
        ("Tblock", [0.0, -0.13], 0.0, "goal MISSED"),
    ],
)
def test_a_task_meets_its_goal(exp: str, success: List[float], later: float, end: str) -> None:
    said = parity.verdict(exp, rows(success, later))
    assert f": {end}; collaboration degree, mean absolute error 0.100" in said


def test_checkpoints_are_found_in_order_of_steps(tmp_path: Path) -> None:
    for name in ("rl_model_20000000_steps", "rl_model_5000000_steps", "rl_model_best_steps"):
        (tmp_path / "cuboid" / name).mkdir(parents=True)
        (tmp_path / "cuboid" / name / "module.pt").touch()
    found = find_checkpoints(tmp_path, ["cuboid", "Tblock"], None)
    assert {exp: [millions for millions, _ in each] for exp, each in found.items()} == {
        "cuboid": [5.0, 20.0]
    }
    with pytest.raises(RequestError, match=r"no <exp>/rl_model_<N>_steps/module\.pt of 7 M"):
        find_checkpoints(tmp_path, ["cuboid"], [7.0])


@pytest.mark.slow
@pytest.mark.skipif(
    not PUBLISHED.is_dir(), reason=f"the published checkpoints are not at {PUBLISHED}"
)
@pytest.mark.parametrize(("sim", "module"), [("planar", "warp"), ("mujoco", "mjbatch")])
def test_a_published_policy_does_what_it_did(sim: str, module: str) -> None:
    pytest.importorskip(module, reason=f"needs the {sim} extra")
    from mapush.evaluation.evaluator import Evaluator
    from mapush.evaluation.policy import load_policy
    from mapush.simulators import SimulatorChoice

    task = task_of("cuboid")
    policy = load_policy(PUBLISHED / "cuboid" / "rl_model_100000000_steps" / "module.pt", task)
    evaluator = Evaluator(task, SimulatorChoice(sim), 200, 1, policy.decimation)
    figures = evaluator.evaluate(policy)
    assert figures.success_rate == pytest.approx(0.597, abs=0.12)
    assert figures.finished_time == pytest.approx(13.61, abs=1.5)
