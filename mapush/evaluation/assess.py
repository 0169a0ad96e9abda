"""Evaluates one policy on its task from nothing: simulator, environment, protocol."""

from __future__ import annotations

from typing import Callable

import torch

from mapush.environment.vector import PushEnvironment
from mapush.evaluation.calculator import Figures, evaluate
from mapush.simulators import make_simulator
from mapush.tasks import PushTask

TEST_SEED = 0  # of the published protocol's episodes in `mapush.test`
TRAINING_SEED = 271828  # of those that choose the best checkpoint: others, so that it has no luck


def assess(
    policy: Callable[[torch.Tensor], torch.Tensor],
    hold: int,
    task: PushTask,
    sim: str,
    num_envs: int,
    seed: int = TEST_SEED,
    check: Callable[[], None] = lambda: None,
    device: str = "auto",
    options: str = "",
) -> Figures:
    """Run the protocol on `num_envs` fresh environments, their starts drawn from `seed`.

    Raises:
        RequestError: the simulator is not there, or `hold` does not fit the episode.
        Exception: whatever `check` raises, which is called at every control step.
    """
    simulator = make_simulator(sim, task, num_envs, device, options)
    try:
        return evaluate(PushEnvironment(task, simulator, seed, hold), policy, check)
    finally:
        simulator.close()
