"""What is known of a simulator without importing it."""

from __future__ import annotations

import pytest

from mapush.errors import RequestError
from mapush.simulators import SIMULATORS, make_simulator, uses_gpu
from mapush.tasks import load_task
from tests.support import PROJECT


def test_a_simulator_tells_whether_it_uses_a_gpu() -> None:
    assert {name: uses_gpu(name) for name in SIMULATORS} == {"mujoco": False, "isaacgym": True}


def test_an_unknown_simulator_is_refused_with_the_nearest() -> None:
    task = load_task(PROJECT / "task" / "cuboid")
    says = r"--sim 'mujocco': did you mean mujoco\? there are: mujoco, isaacgym"
    with pytest.raises(RequestError, match=says):
        uses_gpu("mujocco")
    with pytest.raises(RequestError, match=says):
        make_simulator("mujocco", task, 1)


def test_a_simulator_of_the_cpu_refuses_to_run_on_a_gpu() -> None:
    task = load_task(PROJECT / "task" / "cuboid")
    with pytest.raises(RequestError, match="--device cuda: --sim mujoco simulates on the CPU"):
        make_simulator("mujoco", task, 1, device="cuda")
