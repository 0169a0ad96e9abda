"""The environment of a simulator that is one kernel: a decision is one launch."""

# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from collections import deque
from typing import Any, Callable, Deque, Dict, List

import torch
import warp as wp

from mapush.environment.base import RECENT, Episode, Outcome, Policy, Transition, check_decimation
from mapush.environment.fused import kernel as kernels
from mapush.environment.fused.program import record
from mapush.errors import CheckpointError
from mapush.simulators.base import check_capture
from mapush.simulators.planar.compiled import load, module_name, start_warp
from mapush.simulators.planar.constants import SUBSTEPS, make_constants
from mapush.simulators.planar.kernel import BODY_SIZE
from mapush.simulators.planar.launch import Launcher
from mapush.simulators.planar.room import contact_room
from mapush.simulators.planar.simulator import REMEDY, resolve_device
from mapush.tasks.base import TaskSpec

_SEED, _MODE = 3, 4  # places of the kernel's plain parameters
_ROWS = 64  # decisions whose finished episodes are kept before they are looked at


class FusedEnvironment:
    """`num_envs` copies of one task; an `Environment`.

    An episode's start depends on the seed, on its environment and on how many came before it
    there, so no environment depends on what others do.
    """

    def __init__(
        self,
        task: TaskSpec,
        num_envs: int,
        device: str,
        seed: int,
        decimation: int = 1,
        threads: int = 0,
    ) -> None:
        check_decimation(task, decimation)
        start_warp()
        scene = task.scene
        self.task, self.num_envs, self.device = task, num_envs, torch.device(device)
        self.agents, self.observation_size = task.agents, task.observation_size
        self.action_size, self.angles = task.action_size, task.angles
        self.decimation, self.control_step_seconds = decimation, scene.step
        program = self._program = record(task)
        self.metric_names = program.metrics
        constants = make_constants(scene, device)
        supports = int(constants.supports.shape[0])
        sizes = (
            scene.robots,
            task.agents,
            task.action_size,
            supports,
            contact_room(scene),
            SUBSTEPS,
            task.control_steps,
        )
        texts = [repr(sizes), *(function.source() for function in program.functions)]
        module = wp.Module(module_name(_plain(task.name), texts), None)
        kernel = kernels.make_decision(program, *sizes, module)
        load(module, device)

        def rows(*tail: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
            return torch.zeros(num_envs, *tail, dtype=dtype, device=self.device)

        whole = torch.int32
        self._episodes = {
            "state": rows((scene.robots + 1) * BODY_SIZE),
            "friction": rows(),
            "memory": rows(len(program.begin.outputs)),
            "number": rows(dtype=whole),
            "clock": rows(dtype=whole),
            "earned": rows(),
            "held": rows(len(program.metrics)),
            "done": rows(dtype=torch.bool),
            "success": rows(dtype=torch.bool),
            "failure": rows(dtype=torch.bool),
            "late": rows(dtype=torch.bool),
            "length": rows(dtype=whole),
            "total": rows(),
            "terms": rows(len(program.terms)),
        }
        self._action = rows(task.agents * task.action_size)
        self._reward = rows(task.agents)
        self._last = rows(task.agents * task.observation_size)
        self._observation = rows(task.agents * task.observation_size)
        episodes, exchange = kernels.Episodes(), kernels.Exchange()
        for name, value in self._episodes.items():
            setattr(episodes, name, wp.from_torch(value))
        exchange.action = wp.from_torch(self._action)
        exchange.reward = wp.from_torch(self._reward)
        exchange.last = wp.from_torch(self._last)
        exchange.observation = wp.from_torch(self._observation)
        self._launcher = Launcher(
            kernel,
            num_envs,
            [episodes, exchange, constants, seed, kernels.BEGIN, decimation],
            device,
            threads,
        )
        self._seed = seed
        # Of each decision's finished episodes: whether there is one, its success and its failure.
        self._ends = torch.zeros(_ROWS, 3, num_envs, dtype=torch.bool, device=self.device)
        self._lengths = torch.zeros(_ROWS, num_envs, dtype=whole, device=self.device)
        self._totals = torch.zeros(_ROWS, num_envs, device=self.device)
        self._filled = self._term_count = 0
        self._recent: Deque[bool] = deque(maxlen=RECENT)
        self._finished: List[Episode] = []
        self.restart(seed)

    def restart(self, seed: int) -> None:
        """Begin all episodes anew, and everything else too, as if it were built with `seed`."""
        self._seed = seed
        for name, value in self._episodes.items():
            value.fill_(-1 if name == "number" else 0)
        self._recent.clear()
        self._forget()
        self._launcher.set(_SEED, seed)
        self._run(kernels.BEGIN)

    def observe(self) -> torch.Tensor:
        """Observations (envs, agents, size) of the present state."""
        return self._by_agent(self._observation).clone()

    def step(self, action: torch.Tensor) -> Transition:
        """Hold actions (envs, agents, size) for `decimation` control steps, one launch."""
        self._action.copy_(action.reshape(self.num_envs, -1))
        self._run(kernels.DECIDE)
        ends = self._episodes
        if self._filled == _ROWS:
            self._collect()
        row = self._filled
        torch.stack((ends["done"], ends["success"], ends["failure"]), out=self._ends[row])
        self._lengths[row].copy_(ends["length"])
        self._totals[row].copy_(ends["total"])
        self._filled += 1
        self._term_count += self.decimation
        return Transition(
            self._reward.clone(),
            ends["success"] | ends["failure"],
            ends["late"].clone(),
            self._by_agent(self._last).clone(),
        )

    @torch.no_grad()
    def play(self, policy: Policy, check: Callable[[], None] = lambda: None) -> Outcome:
        """Run the episodes that have just begun to their ends; none begins anew."""
        done = self._episodes["done"]
        for _ in range(self.task.control_steps // self.decimation):
            check()
            self._action.copy_(policy(self._by_agent(self._observation)).reshape(self.num_envs, -1))
            self._run(kernels.PLAY)
            if bool(done.all()):
                break
        ends = self._episodes
        return Outcome(
            success=ends["success"].clone(),
            failure=ends["failure"].clone(),
            control_steps=ends["length"].clone(),
            reward=ends["total"].clone(),
            held=ends["held"].clone(),
        )

    def take_episodes(self) -> List[Episode]:
        """Hand over the episodes finished since the last call, in order."""
        self._collect()
        episodes, self._finished = self._finished, []
        return episodes

    @property
    def success_rate(self) -> float:
        """Share of the last `RECENT` finished episodes that succeeded; 0 before the first."""
        self._collect()
        return sum(self._recent) / max(len(self._recent), 1)

    def take_reward_terms(self) -> Dict[str, float]:
        """Hand over each reward term's mean per control step and agent since the last call."""
        terms = self._episodes["terms"]
        means = (terms.mean(dim=0) / max(self._term_count, 1)).tolist()
        terms.zero_()
        self._term_count = 0
        return dict(zip(self._program.terms, means))

    def state_dict(self) -> Dict[str, Any]:
        """Capture the bodies, the episodes in flight and what their starts depend on."""
        self._collect()
        episodes = self._episodes
        return {
            "simulator": {name: episodes[name].clone() for name in ("state", "friction")},
            **{name: episodes[name].clone() for name in ("memory", "number", "clock")},
            "return": episodes["earned"].clone(),
            "recent": torch.tensor(list(self._recent), dtype=torch.bool),
            "seed": self._seed,
        }

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Restore a capture; sums for the log begin at zero, as at every boundary."""
        own = self.state_dict()
        check_capture(state["simulator"], own["simulator"], REMEDY)
        check_capture(state, {name: own[name] for name in ("memory", "number", "clock")}, REMEDY)
        if not isinstance(state.get("seed"), int):
            raise CheckpointError(f"environment_state: no seed of starts; resume with {REMEDY}")
        for name in ("state", "friction"):
            self._episodes[name].copy_(state["simulator"][name])
        for name in ("memory", "number", "clock"):
            self._episodes[name].copy_(state[name])
        self._episodes["earned"].copy_(state["return"])
        self._recent = deque(state["recent"].tolist(), maxlen=RECENT)
        self._seed = state["seed"]
        self._launcher.set(_SEED, self._seed)
        self._forget()
        self._run(kernels.LOOK)

    def close(self) -> None:
        """End its threads."""
        self._launcher.close()

    def _run(self, mode: int) -> None:
        self._launcher.set(_MODE, mode)
        self._launcher.run()

    def _by_agent(self, rows: torch.Tensor) -> torch.Tensor:
        return rows.reshape(self.num_envs, self.agents, -1)

    def _collect(self) -> None:
        """Look at what has finished, decision by decision and environment by environment."""
        rows, self._filled = self._filled, 0
        if not rows:
            return
        done, success, failure = self._ends[:rows].unbind(dim=1)
        found = zip(
            self._totals[:rows][done].tolist(),
            self._lengths[:rows][done].tolist(),
            success[done].tolist(),
            failure[done].tolist(),
        )
        finished = [Episode(*each) for each in found]
        self._finished += finished
        self._recent.extend(each.success for each in finished)

    def _forget(self) -> None:
        self._filled = self._term_count = 0
        self._episodes["terms"].zero_()
        self._finished = []


def open_environment(
    task: TaskSpec, num_envs: int, device: str, seed: int, decimation: int
) -> FusedEnvironment:
    """Build it, as the registry asks for it."""
    return FusedEnvironment(task, num_envs, resolve_device(device), seed, decimation)


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)
