"""Simulators: scenes in, states out. They know nothing of observations, rewards or episodes."""

from mapush.simulators.registry import (
    DEFAULT,
    DEVICES,
    SimulatorChoice,
    SimulatorKind,
    builder,
    check_choice,
    check_device,
    check_options,
    known_simulators,
    load_before_torch,
    make_drawn_simulator,
    make_simulator,
    register,
    simulator_kind,
    uses_gpu,
)
from mapush.simulators.scene import Arena, Box, Cylinder, Marker, Object, Scene

__all__ = [
    "DEFAULT",
    "DEVICES",
    "Arena",
    "Box",
    "Cylinder",
    "Marker",
    "Object",
    "Scene",
    "SimulatorChoice",
    "SimulatorKind",
    "builder",
    "check_choice",
    "check_device",
    "check_options",
    "known_simulators",
    "load_before_torch",
    "make_drawn_simulator",
    "make_simulator",
    "register",
    "simulator_kind",
    "uses_gpu",
]
