"""`python -m benchmarks.throughput`: how fast the simulator and the whole training are.

The training is the real command in a process of its own, with its checkpoints on disk; where its
time goes is what its metrics.jsonl says.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, Tuple

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe_machine
from mapush.arguments import Parser
from mapush.environment.vector import VectorEnvironment
from mapush.errors import EXIT_COMPLETE, exit_with
from mapush.runs import metrics
from mapush.simulators import SimulatorChoice, make_simulator
from mapush.tasks import load_task, task_folder
from mapush.tasks.registry import make_logic

_WARM_UP = 100  # control steps


def simulator_speed(exp: str, num_envs: int, control_steps: int) -> Tuple[float, float]:
    """Environment steps/s of the simulator alone and of the environment around it.

    Commands are random and change every fifth control step, as under the default recipe.
    """
    task = load_task(task_folder(exp))
    generator = torch.Generator().manual_seed(1)
    shape = (num_envs, task.agents, task.action_size)
    simulator = make_simulator(SimulatorChoice(), task.scene, num_envs)
    logic = make_logic(task, num_envs, simulator.device)
    everyone = torch.ones(num_envs, dtype=torch.bool)
    simulator.reset(everyone, logic.draw(num_envs, generator))
    spent, command = 0.0, torch.zeros(shape)
    for control_step in range(_WARM_UP + control_steps):
        if control_step % 5 == 0:
            command = logic.command(4 * torch.rand(shape, generator=generator) - 2)
        begun = time.perf_counter()
        simulator.step(command)
        if control_step >= _WARM_UP:
            spent += time.perf_counter() - begun
    another = make_simulator(SimulatorChoice(), task.scene, num_envs)
    environment = VectorEnvironment(task, another, seed=1, decimation=5)
    begun = time.perf_counter()
    for _ in range(control_steps // 5):
        environment.step(2 * torch.randn(shape, generator=generator))
        environment.observe()
    whole = time.perf_counter() - begun
    steps = num_envs * control_steps
    return steps / spent, steps / whole


def training_speed(exp: str, options: List[str]) -> Tuple[List[Dict[str, float]], float, float]:
    """Speed and stalls of every update of a real run, its wall time in s, and its memory in GB."""
    with tempfile.TemporaryDirectory(prefix="mapush-throughput-") as root:
        command = [sys.executable, "-m", "mapush.train", "--exp", exp, "--root", root, *options]
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        wall = time.perf_counter() - begun
        recorded = list(metrics.entries(next(Path(root).glob(f"results/*/{metrics.FILE_NAME}"))))
    updates = [
        {"steps": each["step"], **each["speed"], **each["checkpoint"]}
        for each in recorded
        if each["kind"] == metrics.UPDATE
    ]
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    return updates, wall, memory


def main() -> int:
    """Measure and print."""
    parser = Parser(prog="benchmarks.throughput", description=__doc__)
    parser.add_argument("--exp", default="cuboid", help="task (default: cuboid)")
    parser.add_argument("--num_envs", type=int, default=200, help="(default: 200)")
    parser.add_argument("--control_steps", type=int, default=1000, help="(default: 1000)")
    parser.add_argument("--train_timesteps", type=int, default=2_000_000, help="(default: 2000000)")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    console.print(describe_machine())

    alone, around = simulator_speed(arguments.exp, arguments.num_envs, arguments.control_steps)
    updates, wall, memory = training_speed(
        arguments.exp,
        [f"--num_envs={arguments.num_envs}", f"--train_timesteps={arguments.train_timesteps}"],
    )
    steps = updates[-1]["steps"] - updates[0]["steps"]
    parts = {
        name: sum(update[f"seconds_{name}"] for update in updates[1:])
        for name in ("simulate", "act", "update", "save", "evaluate")
    }
    looped = sum(
        (after["steps"] - before["steps"]) / after["steps_per_second"]
        for before, after in zip(updates, updates[1:])
    )
    speed = Table(title=f"{arguments.exp}, {arguments.num_envs} environments")
    for heading in ("what", "measured", "goal"):
        speed.add_column(heading, justify="left" if heading == "what" else "right")
    speed.add_row("simulator alone, environment steps/s", f"{alone:,.0f}", "90,000")
    speed.add_row("environment (observation, reward, resets), steps/s", f"{around:,.0f}", "")
    speed.add_row("training with checkpoints, steps/s", f"{steps / looped:,.0f}", "40,000")
    whole = updates[-1]["steps"] / wall
    speed.add_row("the whole command, start to results, steps/s", f"{whole:,.0f}", "")
    speed.add_row("peak memory, GB", f"{memory:.2f}", "1.50")
    stalls = [update["stall_ms"] for update in updates[1:]]
    speed.add_row("stall per checkpoint, median ms", f"{statistics.median(stalls):.1f}", "20.0")
    speed.add_row("stall, share of training time", f"{parts['save'] / looped:.2%}", "2.00%")
    console.print(speed)

    where = Table(title="where the time goes")
    where.add_column("part")
    where.add_column("us per step", justify="right")
    where.add_column("share", justify="right")
    parts["log and the rest"] = looped - sum(parts.values())
    for name, seconds in parts.items():
        where.add_row(name, f"{1e6 * seconds / steps:.2f}", f"{seconds / looped:.1%}")
    console.print(where)
    return EXIT_COMPLETE


if __name__ == "__main__":
    exit_with(main)
