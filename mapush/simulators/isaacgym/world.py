"""The one simulation that a process can have, stepped through Isaac Gym's tensors."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Tuple

import torch

from mapush.errors import MapushError
from mapush.robots.assets import find_assets
from mapush.robots.walking import JOINTS, STANCE, WalkingController, load_networks
from mapush.simulators.base import Start, State
from mapush.simulators.isaacgym import preflight
from mapush.simulators.isaacgym.actors import SUBSTEPS, build_simulation, set_friction
from mapush.simulators.isaacgym.drawing import Cameras, Viewer
from mapush.simulators.isaacgym.imports import gymapi, gymtorch
from mapush.simulators.isaacgym.options import Options
from mapush.simulators.isaacgym.rotation import from_yaw, gravity_direction, roll_pitch_yaw
from mapush.simulators.scene import Scene
from mapush.simulators.view import NOTHING, Drawing

_CLEARANCE = 1.5  # m, from the object to robots of environments that are not in use
_ROOT = 13  # position 3, quaternion 4, linear and angular velocity 3 each


class World:
    """`capacity` environments.

    Isaac Gym keeps what is set until the next substep, takes one set of each kind per substep, and
    a refresh before that brings the old state back. So what is placed is written into the tensors
    here and handed over once, at the beginning of `step`.

    Raises:
        RequestError: something this needs is missing or unfit, in one line.
    """

    def __init__(
        self,
        scene: Scene,
        capacity: int,
        device: str,
        options: Options,
        drawing: Drawing = NOTHING,
    ) -> None:
        api = gymapi()
        assets = find_assets()
        gpu = None if device == "cpu" else int(device.partition(":")[2] or 0)
        if gpu is not None:
            preflight.check_gpu(preflight.find_gpu(gpu), capacity, scene.robots, options)
        torch_side = gymtorch()
        self.scene, self.capacity, self.options, self.asked = scene, capacity, options, device
        networks = load_networks(assets, torch.device("cpu" if gpu is None else f"cuda:{gpu}"))
        with preflight.last_words(capacity, drawing.wanted):
            built = build_simulation(api, scene, capacity, gpu, assets, options, drawing)
            gym, sim = built.gym, built.sim
            root = torch_side.wrap_tensor(gym.acquire_actor_root_state_tensor(sim))
            joints = torch_side.wrap_tensor(gym.acquire_dof_state_tensor(sim))
            gym.refresh_actor_root_state_tensor(sim)
            gym.refresh_dof_state_tensor(sim)
        self._unwrap = torch_side.unwrap_tensor
        self._gym, self._sim, self._built, self._gpu = gym, sim, built, gpu is not None
        self._api, self.drawing = api, drawing
        self._robots = robots = scene.robots
        self.device = root.device
        self._root_tensor, self._joint_tensor = root, joints
        self._root = root.view(capacity, built.actors, _ROOT)
        self._joint = joints.view(capacity, robots, len(JOINTS), 2)
        self._torque = torch.zeros(capacity * robots * len(JOINTS), device=self.device)
        self._order = torch.tensor(built.joints, device=self.device)
        self._inverse_order = torch.argsort(self._order)
        self._controller = WalkingController(networks, capacity * robots, self.device)
        self._stance = torch.tensor(STANCE, device=self.device)
        self._origin = torch.tensor(built.origins, device=self.device)
        self._actors = torch.arange(
            capacity * built.actors, dtype=torch.int32, device=self.device
        ).view(capacity, built.actors)
        self._friction = torch.zeros(capacity)
        self._moved = torch.zeros(capacity, dtype=torch.bool, device=self.device)
        self._pending = False
        self._keep: Tuple[torch.Tensor, ...] = ()
        self._park()

    def place(self, mask: torch.Tensor, start: Start) -> None:
        """Put the environments of `mask` (capacity,) where `start` says, from the next step on."""
        envs = torch.nonzero(mask).flatten()
        robots, origin = self._robots, self._origin[envs]
        root = self._root[envs]
        root[:, :, :] = 0.0
        root[..., 6] = 1.0
        root[:, :robots, :2] = start.robots[envs][..., :2] + origin[:, None]
        root[:, :robots, 2] = self.options.robot_height
        root[:, :robots, 3:7] = from_yaw(start.robots[envs][..., 2])
        root[:, :robots, 7:9] = start.robot_velocity[envs]
        for place, part in enumerate(self._built.parts, robots):
            actor = root[:, place]
            actor[:, :2] = origin
            if part == "object" and self.scene.object is not None:
                actor[:, :2] += start.object[envs][:, :2]
                actor[:, 2] = self.scene.object.height / 2
                actor[:, 3:7] = from_yaw(start.object[envs][:, 2])
                self._friction[envs.cpu()] = start.friction[envs].cpu()
            elif part == "target" and self.scene.marker is not None:
                actor[:, :2] += start.target[envs]
                actor[:, 2] = self.scene.marker.height / 2
        self._root[envs] = root
        joint = self._joint[envs]
        joint[..., 0] = self._stance[self._inverse_order]
        joint[..., 1] = 0.0
        self._joint[envs] = joint
        self._controller.forget(self._robots_of(envs))
        self._touch(envs)

    def step(self, command: torch.Tensor) -> None:
        """Advance one control step under `command` (capacity, robots, 3)."""
        self._hand_over()
        position, velocity = self._joints()
        self._controller.decide(
            command.reshape(-1, 3),
            gravity_direction(self._root[:, : self._robots, 3:7]).reshape(-1, 3),
            position,
            velocity,
        )
        gym, sim = self._gym, self._sim
        for _ in range(SUBSTEPS):
            torque = self._controller.torque(position, velocity)
            self._torque.copy_(torque[:, self._inverse_order].reshape(-1))
            gym.set_dof_actuation_force_tensor(sim, self._unwrap(self._torque))
            gym.simulate(sim)
            if not self._gpu:
                gym.fetch_results(sim, True)
            gym.refresh_dof_state_tensor(sim)
            position, velocity = self._joints()
        gym.refresh_actor_root_state_tensor(sim)
        self._controller.advance_gait(self.scene.step)

    def read(self, count: int) -> State:
        """Where everything is in the first `count` environments, until the next step.

        Raises:
            MapushError: the simulation is lost, as after an error on the GPU.
        """
        root = self._root[:count]
        if not bool(torch.isfinite(root).all()):
            raise MapushError(
                "Isaac Gym has lost its state (not a number), as it does when a buffer on the GPU "
                "ran over; give fewer --num_envs or --sim_options contact_pairs="
                f"{2 * self.options.contact_pairs}, and resume from the last checkpoint"
            )
        robots = root[:, : self._robots]
        origin = self._origin[:count]
        turned = roll_pitch_yaw(robots[..., 3:7])
        place = robots[..., :2] - origin[:, None]
        state = State(
            robots=torch.cat((place, turned[..., 2:]), dim=-1),
            robot_height=robots[..., 2],
            robot_tilt=turned[..., :2],
        )
        if self.scene.object is None:
            return state
        thing = root[:, self._robots]
        yaw = roll_pitch_yaw(thing[:, 3:7])[:, 2:]
        return replace(
            state,
            object=torch.cat((thing[:, :2] - origin, yaw), dim=-1),
            object_velocity=thing[:, 7:9],
            object_height=thing[:, 2],
        )

    def cameras(self) -> Cameras:
        """The camera sensors that this was built with."""
        return Cameras(self._api, self._built, self.drawing)

    def open_viewer(self) -> Viewer:
        """Open the window that this was built for.

        Raises:
            RequestError: there is no display to open it on.
        """
        return Viewer(self._api, self._built)

    def capture(self, count: int) -> Dict[str, torch.Tensor]:
        """What the tensors and the controller hold of the first `count` environments."""
        memory = self._controller.memory
        rows = count * self._robots
        return {
            "root": self._root[:count].clone(),
            "joints": self._joint[:count].clone(),
            "friction": self._friction[:count].clone(),
            **{f"walking_{name}": value[:rows].clone() for name, value in memory.items()},
        }

    def restore(self, state: Dict[str, torch.Tensor]) -> None:
        """Go back to a capture, whose shapes fit."""
        count = len(state["root"])
        self._root[:count] = state["root"].to(self.device)
        self._joint[:count] = state["joints"].to(self.device)
        self._friction[:count] = state["friction"].cpu()
        for name, value in self._controller.memory.items():
            # A new tensor: what another capture refers to must not change.
            kept = value.clone()
            kept[: count * self._robots] = state[f"walking_{name}"].to(self.device)
            self._controller.memory[name] = kept
        self._touch(torch.arange(count, device=self.device))

    def _park(self) -> None:
        """Put every environment somewhere sensible, for not all of them need be reset."""
        count, robots = self.capacity, self._robots
        ring = torch.zeros(count, robots, 3, device=self.device)
        reach = 0.0 if self.scene.object is None else self.scene.object.reach
        ring[..., 0] = reach + _CLEARANCE
        ring[..., 1] = torch.arange(robots, device=self.device) - (robots - 1) / 2
        friction = (0.0, 0.0) if self.scene.object is None else self.scene.object.friction
        start = Start(
            robots=ring,
            robot_velocity=torch.zeros(count, robots, 2, device=self.device),
            object=torch.zeros(count, 3, device=self.device),
            target=torch.zeros(count, 2, device=self.device),
            friction=torch.full((count,), sum(friction) / 2, device=self.device),
        )
        self.place(torch.ones(count, dtype=torch.bool, device=self.device), start)

    def _touch(self, envs: torch.Tensor) -> None:
        self._moved[envs] = True
        self._pending = True

    def _hand_over(self) -> None:
        """Tell the simulation of what was placed since the last step, each kind at once."""
        if not self._pending:
            return
        envs = torch.nonzero(self._moved).flatten()
        actors = self._actors[envs].reshape(-1).contiguous()
        walkers = self._actors[envs, : self._robots].reshape(-1).contiguous()
        self._keep = (actors, walkers)  # until the GPU has read them
        gym, sim, unwrap = self._gym, self._sim, self._unwrap
        gym.set_actor_root_state_tensor_indexed(
            sim, unwrap(self._root_tensor), unwrap(actors), len(actors)
        )
        gym.set_dof_state_tensor_indexed(
            sim, unwrap(self._joint_tensor), unwrap(walkers), len(walkers)
        )
        for env in envs.tolist() if self._built.objects else ():
            set_friction(
                gym, self._built.envs[env], self._built.objects[env], float(self._friction[env])
            )
        self._moved.zero_()
        self._pending = False

    def _joints(self) -> Tuple[torch.Tensor, torch.Tensor]:
        """Positions and velocities of all joints (robots, 12), in the order of `JOINTS`."""
        ordered = self._joint.view(-1, len(JOINTS), 2)[:, self._order]
        return ordered[..., 0], ordered[..., 1]

    def _robots_of(self, envs: torch.Tensor) -> torch.Tensor:
        first = envs[:, None] * self._robots
        return (first + torch.arange(self._robots, device=self.device)).reshape(-1)
