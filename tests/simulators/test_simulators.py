"""What is known of a simulator without importing it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mapush.errors import RequestError
from mapush.simulators import (
    Scene,
    SimulatorChoice,
    SimulatorKind,
    check_device,
    known_simulators,
    make_simulator,
    register,
    simulator_kind,
    uses_gpu,
)
from tests.support import PROJECT

SCENE = Scene(name="nothing", robots=1)


def test_a_simulator_tells_whether_it_uses_a_gpu() -> None:
    assert {name: uses_gpu(name) for name in known_simulators()} == {
        "planar": True,
        "mujoco": False,
        "isaacgym": True,
    }


def test_an_unknown_simulator_is_refused_with_the_nearest() -> None:
    says = r"--sim 'mujocco': did you mean mujoco\? there are: planar, mujoco, isaacgym"
    with pytest.raises(RequestError, match=says):
        uses_gpu("mujocco")
    with pytest.raises(RequestError, match=says):
        make_simulator(SimulatorChoice("mujocco"), SCENE, 1)


def test_a_simulator_of_the_cpu_refuses_to_run_on_a_gpu() -> None:
    with pytest.raises(RequestError, match="--device cuda: --sim mujoco simulates on the CPU"):
        make_simulator(SimulatorChoice("mujoco", device="cuda"), SCENE, 1)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:12"])
def test_a_gpu_may_be_named_by_its_number(device: str) -> None:
    check_device(device)
    assert simulator_kind("isaacgym").device(device) == ("cuda" if device == "auto" else device)


@pytest.mark.parametrize("device", ["", "gpu", "cuda:", "cuda:x", "cpu:0", "cuda:-1"])
def test_what_is_no_device_is_refused(device: str) -> None:
    with pytest.raises(RequestError, match=r"--device .*there are: auto, cpu, cuda, cuda:N"):
        check_device(device)


def test_options_of_a_simulator_that_has_none_are_refused() -> None:
    with pytest.raises(RequestError, match="--sim_options 'a=1': --sim mujoco has none"):
        make_simulator(SimulatorChoice("mujoco", options="a=1"), SCENE, 1)


def test_two_simulators_of_one_name_are_refused() -> None:
    simulator_kind("mujoco")
    with pytest.raises(RequestError, match="--sim mujoco: two plugins"):
        register(SimulatorKind(name="mujoco", build="somewhere:else"))


def test_the_description_of_a_simulator_imports_neither_it_nor_torch() -> None:
    program = (
        "import sys; from mapush.simulators import simulator_kind, known_simulators\n"
        "print([simulator_kind(name).exact_resume for name in known_simulators()])\n"
        "print(sorted({'torch', 'warp', 'mujoco', 'mjbatch', 'isaacgym'} & set(sys.modules)))"
    )
    said = subprocess.check_output([sys.executable, "-c", program], cwd=PROJECT, text=True)
    assert said.splitlines() == ["[('cpu', 'cuda'), ('cpu',), ()]", "[]"]
