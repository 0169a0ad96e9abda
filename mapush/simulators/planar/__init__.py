"""The embedded simulator: the scene in the plane, one kernel for the CPU and the GPU."""

from mapush.simulators.registry import SimulatorKind, register

register(
    SimulatorKind(
        name="planar",
        build="mapush.simulators.planar.simulator:open_simulator",
        devices=("cpu", "cuda"),
        exact_resume=("cpu", "cuda"),
        environment="mapush.environment.fused.environment:open_environment",
        install=" (needs Python 3.10 or newer); install it with: pip install 'mapush[planar]'",
        python=(3, 10),
        modules={"warp": "warp-lang"},
    )
)
