"""Builds a scene in Isaac Gym: environments side by side, ready for the tensor API."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, Optional, Tuple

from mapush.errors import MapushError, RequestError
from mapush.robots.assets import ROBOT, Assets
from mapush.robots.walking import joint_order
from mapush.simulators.isaacgym import objects
from mapush.simulators.isaacgym.drawing import NO_VULKAN, add_cameras, paint
from mapush.simulators.isaacgym.options import Options
from mapush.simulators.isaacgym.simulation import Simulation
from mapush.simulators.scene import Scene
from mapush.simulators.view import NOTHING, Drawing

SUBSTEPS = 4  # per control step
_GAP = 2.0  # m between the walls of neighbouring environments
_ALL_TOUCH = 0  # collision filter: shapes touch unless they have a bit in common

# As in the published project, which took them from legged_gym.
_CONTACT_OFFSET = 0.01  # m
_BOUNCE_THRESHOLD = 0.5  # m/s
_MAX_DEPENETRATION = 1.0  # m/s
_ROBOT_MAX_SPEED = 1000.0


def build_simulation(
    api: ModuleType,
    scene: Scene,
    count: int,
    gpu: Optional[int],
    assets: Assets,
    options: Options,
    drawing: Drawing = NOTHING,
) -> Simulation:
    """Build `count` environments.

    Args:
        api: the module `isaacgym.gymapi`.
        scene: what is in each.
        count: how many.
        gpu: number of the GPU that simulates; None for the CPU.
        assets: the robot's description.
        options: as of `--sim_options`.
        drawing: what it must be able to draw.

    Raises:
        MapushError: Isaac Gym refuses a step.
    """
    gym = api.acquire_gym()
    # Graphics device -1: no Vulkan, so nothing of it can fail on a machine without a display.
    device = options.graphics_device if drawing.wanted else -1
    sim = gym.create_sim(gpu or 0, device, api.SIM_PHYSX, _parameters(api, scene, gpu, options))
    if sim is None and drawing.wanted:
        raise RequestError(NO_VULKAN)
    if sim is None:
        raise MapushError(
            "Isaac Gym could not create a simulation; its own message is above, and "
            "docs/isaac-gym.md says what each means"
        )
    _add_ground(api, gym, sim, scene)
    robot = _load(gym, sim, assets[ROBOT], _robot_options(api))
    fixed = _fixed_options(api, options)
    described: Dict[str, Tuple[str, Any]] = {}
    if scene.object is not None:
        described["object"] = (objects.object_urdf(scene.object), _object_options(api, options))
    if scene.marker is not None:
        described["target"] = (objects.marker_urdf(scene.marker), fixed)
    described["walls"] = (objects.walls_urdf(scene.arena), fixed)
    with tempfile.TemporaryDirectory() as folder:
        loaded = {
            name: _load_text(gym, sim, Path(folder) / f"{name}.urdf", text, chosen)
            for name, (text, chosen) in described.items()
        }
    joints = joint_order(gym.get_asset_dof_names(robot))
    assets_of_env = [(f"robot_{k}", robot) for k in range(scene.robots)] + [*loaded.items()]
    bodies = sum(gym.get_asset_rigid_body_count(asset) for _, asset in assets_of_env)
    shapes = sum(gym.get_asset_rigid_shape_count(asset) for _, asset in assets_of_env)
    half = [(side + _GAP) / 2 + objects.WALL_THICKNESS for side in scene.arena.size]
    lower = api.Vec3(-half[0], -half[1], 0.0)
    upper = api.Vec3(half[0], half[1], 2.0)
    envs, handles, origins = [], [], []
    for index in range(count):
        env = gym.create_env(sim, lower, upper, max(1, math.isqrt(count)))
        gym.begin_aggregate(env, bodies, shapes, True)
        for place, (name, asset) in enumerate(assets_of_env):
            pose = api.Transform(api.Vec3(0.0, 0.0, 1.0 + place), api.Quat(0.0, 0.0, 0.0, 1.0))
            handle = gym.create_actor(env, asset, pose, name, index, _ALL_TOUCH, 0)
            where = gym.get_actor_index(env, handle, api.DOMAIN_SIM)
            if where != index * len(assets_of_env) + place:
                raise MapushError(
                    f"Isaac Gym numbers {name} of environment {index} as actor {where}; this "
                    "version of it is not Preview 4"
                )
            if asset is robot:
                set_friction(gym, env, handle, options.robot_friction)
            elif name == "object":
                handles.append(handle)
            if drawing.wanted and drawing.colors:
                parts = gym.get_asset_rigid_body_count(asset)
                paint(api, gym, env, handle, parts, drawing.colors[place])
        gym.end_aggregate(env)
        origin = gym.get_env_origin(env)
        envs.append(env)
        origins.append((float(origin.x), float(origin.y)))
    cameras = add_cameras(api, gym, envs, drawing)
    if not gym.prepare_sim(sim):
        raise MapushError(
            f"Isaac Gym could not prepare {count} environments: its own message is above; fewer "
            "--num_envs or --sim_options contact_pairs=... need less GPU memory"
        )
    return Simulation(
        gym=gym,
        sim=sim,
        envs=envs,
        objects=handles,
        actors=len(assets_of_env),
        parts=tuple(loaded),
        origins=origins,
        joints=joints,
        cameras=cameras,
    )


def set_friction(gym: Any, env: Any, actor: int, friction: float) -> None:  # noqa: ANN401
    """Set the sliding friction of all shapes of an actor."""
    shapes = gym.get_actor_rigid_shape_properties(env, actor)
    for shape in shapes:
        shape.friction = friction
    gym.set_actor_rigid_shape_properties(env, actor, shapes)


def _parameters(api: ModuleType, scene: Scene, gpu: Optional[int], options: Options) -> Any:  # noqa: ANN401
    parameters = api.SimParams()
    parameters.dt = scene.step / SUBSTEPS
    parameters.substeps = 1
    parameters.up_axis = api.UP_AXIS_Z
    parameters.gravity = api.Vec3(0.0, 0.0, -9.81)
    parameters.use_gpu_pipeline = gpu is not None
    physx = parameters.physx
    physx.use_gpu = gpu is not None
    physx.solver_type = 1  # temporal Gauss-Seidel
    physx.num_position_iterations = options.position_iterations
    physx.num_velocity_iterations = options.velocity_iterations
    physx.contact_offset = _CONTACT_OFFSET
    physx.rest_offset = 0.0
    physx.bounce_threshold_velocity = _BOUNCE_THRESHOLD
    physx.max_depenetration_velocity = _MAX_DEPENETRATION
    physx.max_gpu_contact_pairs = options.contact_pairs
    physx.default_buffer_size_multiplier = options.buffer_multiplier
    physx.contact_collection = api.CC_NEVER  # no contact force is read; saves memory
    return parameters


def _add_ground(api: ModuleType, gym: Any, sim: Any, scene: Scene) -> None:  # noqa: ANN401
    plane = api.PlaneParams()
    plane.normal = api.Vec3(0.0, 0.0, 1.0)
    plane.static_friction = scene.arena.friction
    plane.dynamic_friction = scene.arena.friction
    plane.restitution = 0.0
    gym.add_ground(sim, plane)


def _robot_options(api: ModuleType) -> Any:  # noqa: ANN401
    chosen = api.AssetOptions()
    chosen.default_dof_drive_mode = int(api.DOF_MODE_EFFORT)
    chosen.collapse_fixed_joints = True
    chosen.replace_cylinder_with_capsule = True
    chosen.flip_visual_attachments = False
    chosen.density = 0.001  # of links without a mass
    chosen.angular_damping = 0.0
    chosen.linear_damping = 0.0
    chosen.max_angular_velocity = _ROBOT_MAX_SPEED
    chosen.max_linear_velocity = _ROBOT_MAX_SPEED
    chosen.armature = 0.0
    chosen.thickness = 0.01
    return chosen


def _object_options(api: ModuleType, options: Options) -> Any:  # noqa: ANN401
    chosen = api.AssetOptions()
    chosen.replace_cylinder_with_capsule = False  # it would round the object's edges off
    chosen.slices_per_cylinder = options.slices_per_cylinder
    chosen.angular_damping = 0.0
    chosen.linear_damping = 0.0
    return chosen


def _fixed_options(api: ModuleType, options: Options) -> Any:  # noqa: ANN401
    chosen = _object_options(api, options)
    chosen.fix_base_link = True
    chosen.disable_gravity = True
    return chosen


def _load(gym: Any, sim: Any, path: Path, chosen: Any) -> Any:  # noqa: ANN401
    asset = gym.load_asset(sim, str(path.parent), path.name, chosen)
    if asset is None:
        raise MapushError(f"{path}: Isaac Gym cannot read it; its own message is above")
    return asset


def _load_text(gym: Any, sim: Any, path: Path, text: str, chosen: Any) -> Any:  # noqa: ANN401
    path.write_text(text, encoding="utf-8")
    return _load(gym, sim, path, chosen)
