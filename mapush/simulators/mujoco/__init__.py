"""The embedded simulator: MuJoCo, planar robots, on every core of the CPU."""

from mapush.simulators.registry import SimulatorKind, register

register(
    SimulatorKind(
        name="mujoco",
        build="mapush.simulators.mujoco.simulator:open_simulator",
        install=" (needs Python 3.10 or newer); install it with: pip install 'mapush[mujoco]'",
        python=(3, 10),
        modules={"mjbatch": "mjbatch", "mujoco": "mujoco"},
    )
)
