"""A published policy does here about what it did in Isaac Gym; the benchmark has the rest."""

from __future__ import annotations

import pytest
from scenes import PROJECT, task_of

pytest.importorskip("mjbatch", reason="needs the mujoco extra")

from mapush.evaluation.evaluator import Evaluator
from mapush.evaluation.policy import load_policy
from mapush.simulators import SimulatorChoice

pytestmark = pytest.mark.slow  # processes by the dozen

PUBLISHED = PROJECT.parent / "shared" / "reference" / "checkpoints"


@pytest.mark.skipif(
    not PUBLISHED.is_dir(), reason=f"the published checkpoints are not at {PUBLISHED}"
)
def test_a_published_policy_does_what_it_did() -> None:
    task = task_of("cuboid")
    policy = load_policy(PUBLISHED / "cuboid" / "rl_model_100000000_steps" / "module.pt", task)
    evaluator = Evaluator(task, SimulatorChoice("mujoco"), 200, 1, policy.decimation)
    figures = evaluator.evaluate(policy)
    assert figures.success_rate == pytest.approx(0.597, abs=0.12)
    assert figures.finished_time == pytest.approx(13.61, abs=1.5)
