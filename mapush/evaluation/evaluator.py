"""The published protocol: the first episode of every environment, deterministic actions."""

from __future__ import annotations

from typing import Callable, Optional

import torch

from mapush.environment.base import Environment, Policy
from mapush.environment.build import make_environment
from mapush.evaluation.figures import Figures
from mapush.simulators import SimulatorChoice, simulator_kind
from mapush.tasks.base import TaskSpec

TEST_SEED = 0  # of the published protocol's episodes in `mapush.test`
TRAINING_SEED = 271828  # of those that choose the best checkpoint: others, so that it has no luck


class Evaluator:
    """Evaluates policies on one task, all on the same episodes.

    Its environments are built when the first policy comes and kept, where the simulator can be
    there beside another; else they are built and closed again every time.

    Args:
        task: what is played.
        simulator: in which simulator, on which device, with which options.
        envs: episodes of an evaluation, each in an environment of its own.
        seed: of their starts.
        decimation: control steps for which an action is held.
    """

    def __init__(
        self,
        task: TaskSpec,
        simulator: SimulatorChoice,
        envs: int,
        seed: int = TEST_SEED,
        decimation: int = 1,
    ) -> None:
        self.task, self.simulator, self.envs = task, simulator, envs
        self.seed, self.decimation = seed, decimation
        self._kept: Optional[Environment] = None

    def evaluate(self, policy: Policy, check: Callable[[], None] = lambda: None) -> Figures:
        """Run the protocol from the seed.

        Args:
            policy: actions (envs, agents, size) of observations (envs, agents, size);
                deterministic.
            check: called before every control step; may raise to stop the evaluation.

        Raises:
            RequestError: the simulator is not there, or the decimation does not fit the episode.
        """
        environment = self._environment()
        try:
            return evaluate(environment, policy, check)
        finally:
            if not simulator_kind(self.simulator.name).simultaneous:
                self.close()

    def close(self) -> None:
        """Free the environments; they are built again when they are needed."""
        environment, self._kept = self._kept, None
        if environment is not None:
            environment.close()

    def _environment(self) -> Environment:
        if self._kept is None:
            self._kept = make_environment(
                self.task, self.envs, self.simulator, self.seed, self.decimation
            )
        else:
            self._kept.restart(self.seed)
        return self._kept


def evaluate(
    environment: Environment, policy: Policy, check: Callable[[], None] = lambda: None
) -> Figures:
    """Run the first episode of every environment.

    Args:
        environment: fresh, none of its episodes begun.
        policy: actions (envs, agents, size) of observations (envs, agents, size); deterministic.
        check: called before every control step; may raise to stop the evaluation.
    """
    done = environment.play(policy, check)
    success, steps = done.success, done.control_steps.float()
    whole = float(environment.task.control_steps)
    time = torch.where(success, steps, whole) * environment.control_step_seconds
    successes = max(int(success.sum()), 1)
    return Figures(
        success_rate=float(success.float().mean()),
        finished_time=float(time.mean()),
        episodes=environment.num_envs,
        failure_rate=float(done.failure.float().mean()),
        mean_return=float(done.reward.mean()),
        metrics={
            name: float((done.held[:, index] / steps)[success].sum() / successes)
            for index, name in enumerate(environment.metric_names)
        },
    )
