"""Isaac Gym Preview 4: legged robots under a learned walking policy, on a GPU.

Nothing here is imported but when `--sim isaacgym` is used, save `imports`, which must come before
torch, and `options`.
"""

from mapush.simulators.registry import SimulatorKind, register

register(
    SimulatorKind(
        name="isaacgym",
        build="mapush.simulators.isaacgym.simulator:build_simulator",
        draw="mapush.simulators.isaacgym.simulator:build_drawn_simulator",
        devices=("cuda", "cpu"),
        robots=("legs",),
        exact_resume=(),  # PhysX keeps contacts and warm starts to itself
        simultaneous=False,
        parse_options="mapush.simulators.isaacgym.options:parse",
        before_torch="mapush.simulators.isaacgym.imports:load_before_torch",
        check="mapush.simulators.isaacgym.imports:check",
    )
)
