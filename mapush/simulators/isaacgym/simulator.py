"""The simulator `isaacgym`: a share of the process's one simulation."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import torch

from mapush.errors import RequestError
from mapush.simulators.base import Start, State, check_capture
from mapush.simulators.isaacgym.drawing import Cameras, Viewer, require_display, require_few
from mapush.simulators.isaacgym.options import parse
from mapush.simulators.isaacgym.world import World
from mapush.simulators.scene import Scene
from mapush.simulators.view import NOTHING, Drawing

_worlds: List[World] = []
_in_use: List[IsaacGymSimulator] = []


class IsaacGymSimulator:
    """The first `num_envs` environments of the world.

    Isaac Gym can make one simulation per process, once. So a simulator that is made while another
    is in use, as for an evaluation during training, borrows it: the other's state is captured, and
    put back by `close`.

    A capture holds what the tensor API gives and the walking controllers' memory. It is not all
    that PhysX knows: contacts and the solver's warm start are built up anew after it is restored,
    and GPU sums are not ordered. So a resumed run starts from the same bodies, but it is not
    bit-identical to one that was never interrupted, nor are two runs of one seed.
    """

    def __init__(self, world: World, num_envs: int) -> None:
        self._world = world
        self.num_envs = num_envs
        self.device = world.device
        self._borrowed = world.capture(world.capacity) if _in_use else None
        _in_use.append(self)

    def reset(self, mask: torch.Tensor, start: Start) -> None:
        """Put the environments of `mask` where `start` says."""
        self._own_turn()
        spare = self._world.capacity - self.num_envs
        self._world.place(torch.nn.functional.pad(mask, (0, spare)), start)

    def step(self, command: torch.Tensor) -> None:
        """Advance one control step; the environments of others in the world stand still."""
        self._own_turn()
        spare = self._world.capacity - self.num_envs
        if spare:
            rest = torch.zeros(spare, *command.shape[1:], device=self.device)
            command = torch.cat((command, rest))
        self._world.step(command)

    def read(self) -> State:
        """Say where everything is, until the next step."""
        return self._world.read(self.num_envs)

    def cameras(self) -> Cameras:
        """The camera sensors of the first environments, as many as were asked for."""
        return self._world.cameras()

    def open_viewer(self) -> Viewer:
        """Open the window that was asked for.

        Raises:
            RequestError: there is no display to open it on.
        """
        return self._world.open_viewer()

    def state_dict(self) -> Dict[str, Any]:
        """Capture what Isaac Gym gives; see the class for what that promises."""
        return dict(self._world.capture(self.num_envs))

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Go back to a capture, as far as Isaac Gym lets."""
        self._own_turn()
        own = dict(self._world.capture(self.num_envs))
        check_capture(state, own, "the simulator, task and --num_envs of the checkpoint")
        self._world.restore(state)

    def close(self) -> None:
        """Give the world back to whom it was borrowed from; it lives as long as the process."""
        if self not in _in_use:
            return
        self._own_turn()
        _in_use.remove(self)
        if self._borrowed is not None:
            self._world.restore(self._borrowed)

    def _own_turn(self) -> None:
        if _in_use[-1:] != [self]:
            raise RuntimeError("another simulator borrows Isaac Gym's world; close it first")


def build_simulator(
    scene: Scene, num_envs: int, device: str, options: str, room: int
) -> IsaacGymSimulator:
    """Build it, as the registry asks for it."""
    return open_simulator(scene, num_envs, _asked(device), options, room)


def build_drawn_simulator(
    scene: Scene, num_envs: int, device: str, options: str, drawing: Drawing
) -> IsaacGymSimulator:
    """Build one with cameras or a window.

    Raises:
        RequestError: Isaac Gym cannot run or draw here, or there are too many environments.
    """
    require_few(num_envs)
    if drawing.window:
        require_display()
    return open_simulator(scene, num_envs, _asked(device), options, drawing=drawing)


def _asked(device: str) -> Optional[str]:
    return None if device == "auto" else device


def open_simulator(
    scene: Scene,
    num_envs: int,
    device: Optional[str],
    options: str,
    room: int = 0,
    drawing: Drawing = NOTHING,
) -> IsaacGymSimulator:
    """The process's world, made now if there is none yet.

    Args:
        scene: what is simulated.
        num_envs: environments of this simulator.
        device: cpu, cuda or cuda:N; None for the GPU, or where the world is.
        options: as of `--sim_options`; empty for the defaults, or those of the world.
        room: environments that a later simulator of this process will need.
        drawing: what it must be able to draw.

    Raises:
        RequestError: Isaac Gym cannot run here, or the world there is does not fit.
    """
    if not _worlds:
        _worlds.append(World(scene, max(num_envs, room), device or "cuda", parse(options), drawing))
    world = _worlds[0]
    wanted = parse(options) if options else world.options
    same_scene = scene == world.scene.model_copy(update={"name": scene.name})
    same_device = (device or world.asked) == world.asked
    same_drawing = drawing in (NOTHING, world.drawing)
    if not (same_scene and wanted == world.options and same_device and same_drawing):
        raise RequestError(
            f"--sim isaacgym: this process already simulates {world.scene.name} on {world.asked}, "
            "and Isaac Gym makes one simulation per process; use a process for each"
        )
    if num_envs > world.capacity:
        raise RequestError(
            f"--sim isaacgym: {num_envs} environments are asked for, and this process's one "
            f"simulation has room for {world.capacity}; use another process"
        )
    return IsaacGymSimulator(world, num_envs)
