"""The double of isaacgym.gymapi: what mapush uses, strictly."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from isaacgym import gymdeps

# isort: split
import numpy as np

from isaacgym._assets import Asset
from isaacgym._engine import Engine
from isaacgym._structures import (
    AssetOptions,
    ContactCollection,
    DofDriveMode,
    IndexDomain,
    MeshNormalMode,
    PhysXParams,
    PlaneParams,
    Quat,
    RigidShapeProperties,
    SimParams,
    SimType,
    Tensor,
    Transform,
    UpAxis,
    Vec3,
)

assert gymdeps
for _kind in (SimType, UpAxis, ContactCollection, IndexDomain, DofDriveMode, MeshNormalMode):
    globals().update(_kind.__members__)

__all__ = ["AssetOptions", "Gym", "PhysXParams", "PlaneParams", "Quat", "SimParams", "Tensor"]


class GymError(RuntimeError):
    """What the real Isaac Gym answers with a message, wrong numbers or a segmentation fault."""


class Sim:
    """One simulation, from `create_sim` to the end of the process."""

    def __init__(self, params: SimParams) -> None:
        self.params = params
        self.envs: List[Env] = []
        self.actors: List[Any] = []
        self.ground: Optional[PlaneParams] = None
        self.engine: Optional[Engine] = None
        self.buffers: Dict[str, np.ndarray] = {}
        self.set_since_substep: set = set()
        self.torque: Optional[np.ndarray] = None
        self.substeps_done = 0


class Env:
    """One environment; its actors are added before the next environment is created."""

    def __init__(self, sim: Sim, origin: Vec3) -> None:
        self.sim, self.origin = sim, origin
        self.actors: List[Actor] = []
        self.room: Optional[List[int]] = None  # bodies, shapes left in the open aggregate


class Actor:
    """An asset in an environment."""

    def __init__(self, asset: Asset, env: Env, pose: Transform, group: int, index: int) -> None:
        self.asset, self.env, self.pose, self.group, self.index = asset, env, pose, group, index
        self.first_dof = -1
        self.shapes = [RigidShapeProperties() for _ in range(asset.shapes)]


def _need(condition: Any, text: str) -> None:
    if not condition:
        raise GymError(text)


def _typed(*pairs: Any) -> None:
    for value, kind in pairs:
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise TypeError(f"incompatible function arguments: {value!r} is no {kind.__name__}")


_sims: List[Sim] = []
_LEGS = [
    f"{leg}_{joint}_joint" for leg in ("FL", "FR", "RL", "RR") for joint in ("hip", "thigh", "calf")
]


class Gym:
    """Every method that mapush calls; any other name is an AttributeError."""

    # Building
    def create_sim(
        self,
        compute_device: int = 0,
        graphics_device: int = 0,
        type: SimType = SimType.SIM_FLEX,
        params: Optional[SimParams] = None,
    ) -> Sim:
        _typed((compute_device, int), (graphics_device, int), (type, SimType), (params, SimParams))
        _need(not _sims, "a second simulation in one process breaks the GPU pipeline")
        _need(type is SimType.SIM_PHYSX, "the double has PhysX only")
        _need(graphics_device == -1, "the double has no graphics")
        _need(params.up_axis is UpAxis.UP_AXIS_Z and params.gravity.z < 0, "gravity is not down")
        _need(params.use_gpu_pipeline == params.physx.use_gpu, "GPU pipeline without GPU PhysX")
        _sims.append(Sim(params.copy()))
        return _sims[0]

    def add_ground(self, sim: Sim, params: PlaneParams) -> None:
        _typed((sim, Sim), (params, PlaneParams))
        _need(params.normal.z == 1.0, "the ground does not face up")
        _need(sim.ground is None, "there is a ground already")
        sim.ground = params.copy()

    def load_asset(
        self, sim: Sim, rootpath: str, filename: str, options: Optional[AssetOptions] = None
    ) -> Asset:
        _typed((sim, Sim), (rootpath, str), (filename, str))
        _need(sim.engine is None, "assets are loaded before prepare_sim")
        return Asset(rootpath, filename, options or AssetOptions())

    def get_asset_dof_names(self, asset: Asset, /) -> List[str]:
        _typed((asset, Asset))
        return list(asset.dofs)

    def get_asset_rigid_body_count(self, asset: Asset, /) -> int:
        _typed((asset, Asset))
        return asset.bodies

    def get_asset_rigid_shape_count(self, asset: Asset, /) -> int:
        _typed((asset, Asset))
        return asset.shapes

    def create_env(self, sim: Sim, lower: Vec3, upper: Vec3, per_row: int, /) -> Env:
        _typed((sim, Sim), (lower, Vec3), (upper, Vec3), (per_row, int))
        _need(sim.engine is None, "environments are created before prepare_sim")
        _need(per_row >= 1 and lower.x < upper.x and lower.y < upper.y, "an empty environment")
        _need(not sim.envs or sim.envs[-1].room is None, "the last aggregate is still open")
        row, column = divmod(len(sim.envs), per_row)
        origin = Vec3(column * (upper.x - lower.x), row * (upper.y - lower.y), 0.0)
        sim.envs.append(Env(sim, origin))
        return sim.envs[-1]

    def get_env_origin(self, env: Env, /) -> Vec3:
        _typed((env, Env))
        return env.origin.copy()

    def begin_aggregate(self, env: Env, bodies: int, shapes: int, self_collide: bool, /) -> bool:
        _typed((env, Env), (bodies, int), (shapes, int), (self_collide, bool))
        _need(env.room is None, "an aggregate is open already")
        env.room = [bodies, shapes]
        return True

    def end_aggregate(self, env: Env, /) -> bool:
        _typed((env, Env))
        _need(env.room is not None, "no aggregate is open")
        env.room = None
        return True

    def create_actor(
        self,
        env: Env,
        asset: Asset,
        pose: Transform,
        name: Optional[str] = None,
        group: int = -1,
        filter: int = -1,
        segmentationId: int = 0,
    ) -> int:
        _typed((env, Env), (asset, Asset), (pose, Transform), (name, str), (group, int))
        _typed((filter, int), (segmentationId, int))
        sim = env.sim
        _need(sim.engine is None, "actors are created before prepare_sim")
        _need(env is sim.envs[-1], "actors are added to the newest environment only")
        _need(group == len(sim.envs) - 1, "environments collide unless each has its group")
        if env.room is not None:
            env.room = [env.room[0] - asset.bodies, env.room[1] - asset.shapes]
            _need(min(env.room) >= 0, "the aggregate is smaller than what is put into it")
        actor = Actor(asset, env, pose.copy(), group, len(sim.actors))
        sim.actors.append(actor)
        env.actors.append(actor)
        return len(env.actors) - 1

    def get_actor_index(self, env: Env, handle: int, domain: IndexDomain, /) -> int:
        _typed((env, Env), (handle, int), (domain, IndexDomain))
        _need(domain is IndexDomain.DOMAIN_SIM, "the double numbers actors over the simulation")
        return env.actors[handle].index

    def get_actor_rigid_shape_properties(
        self, env: Env, handle: int, /
    ) -> List[RigidShapeProperties]:
        _typed((env, Env), (handle, int))
        return [shape.copy() for shape in env.actors[handle].shapes]

    def set_actor_rigid_shape_properties(
        self, env: Env, handle: int, properties: List[RigidShapeProperties], /
    ) -> bool:
        _typed((env, Env), (handle, int), (properties, list))
        actor = env.actors[handle]
        _need(len(properties) == len(actor.shapes), "one entry for each shape")
        _typed(*((shape, RigidShapeProperties) for shape in properties))
        actor.shapes = [shape.copy() for shape in properties]
        if env.sim.engine is not None:
            self._once(env.sim, f"shapes of actor {actor.index}")
            env.sim.engine.friction[actor.index] = actor.shapes[0].friction
        return True

    def prepare_sim(self, sim: Sim, /) -> bool:
        _typed((sim, Sim))
        _need(sim.engine is None, "prepare_sim was called before")
        _need(sim.ground is not None and sim.actors, "nothing to simulate")
        described, dofs = [], 0
        numbers = {id(env): number for number, env in enumerate(sim.envs)}
        for actor in sim.actors:
            asset = actor.asset
            kind = "robot" if asset.dofs else "fixed" if asset.options.fix_base_link else "free"
            if asset.dofs:
                _need(
                    asset.options.default_dof_drive_mode == int(DofDriveMode.DOF_MODE_EFFORT),
                    "joints take torques in effort mode only",
                )
                actor.first_dof, dofs = dofs, dofs + len(asset.dofs)
            legs = [actor.first_dof + asset.dofs.index(name) for name in _LEGS if asset.dofs]
            described.append((numbers[id(actor.env)], kind, asset.radius, legs))
        engine = sim.engine = Engine(described, dofs)
        for actor in sim.actors:
            place, origin = actor.pose.p, actor.env.origin
            engine.root[actor.index, :3] = (place.x + origin.x, place.y + origin.y, place.z)
            turn = actor.pose.r
            engine.root[actor.index, 3:7] = (turn.x, turn.y, turn.z, turn.w)
            if actor.shapes:
                engine.friction[actor.index] = actor.shapes[0].friction
        return True

    # Tensors
    def acquire_actor_root_state_tensor(self, sim: Sim, /) -> Tensor:
        return self._acquire(sim, "root")

    def acquire_dof_state_tensor(self, sim: Sim, /) -> Tensor:
        return self._acquire(sim, "joint")

    def refresh_actor_root_state_tensor(self, sim: Sim, /) -> bool:
        return self._refresh(sim, "root")

    def refresh_dof_state_tensor(self, sim: Sim, /) -> bool:
        return self._refresh(sim, "joint")

    def set_actor_root_state_tensor_indexed(
        self, sim: Sim, states: Tensor, indices: Tensor, count: int, /
    ) -> bool:
        rows = self._rows(sim, states, indices, count, sim.engine.root.size)
        self._once(sim, "root")
        sim.engine.root[rows] = states._array.reshape(-1, 13)[rows]
        return True

    def set_dof_state_tensor_indexed(
        self, sim: Sim, states: Tensor, indices: Tensor, count: int, /
    ) -> bool:
        rows = self._rows(sim, states, indices, count, sim.engine.joint.size)
        self._once(sim, "joint")
        given = states._array.reshape(-1, 2)
        for row in rows:
            actor = sim.actors[row]
            _need(actor.asset.dofs, "set_dof_state_tensor_indexed takes actors with joints only")
            own = slice(actor.first_dof, actor.first_dof + len(actor.asset.dofs))
            sim.engine.joint[own] = given[own]
        return True

    def set_dof_actuation_force_tensor(self, sim: Sim, torques: Tensor, /) -> bool:
        _typed((sim, Sim), (torques, Tensor))
        _need(sim.engine is not None, "prepare_sim comes first")
        array = torques._array
        _need(array.dtype == np.float32, f"torques are float32, not {array.dtype}")
        _need(array.size == len(sim.engine.joint), "one torque for each joint")
        self._once(sim, "torque")
        sim.torque = array.reshape(-1)
        return True

    # Stepping
    def simulate(self, sim: Sim, /) -> None:
        _typed((sim, Sim))
        _need(sim.engine is not None, "prepare_sim comes before simulate")
        torque = sim.torque if sim.torque is not None else np.zeros(len(sim.engine.joint), "f4")
        sim.engine.substep(torque, sim.params.dt)
        sim.torque = None
        sim.set_since_substep.clear()
        sim.substeps_done += 1

    def fetch_results(self, sim: Sim, wait: bool, /) -> None:
        _typed((sim, Sim), (wait, bool))

    def _acquire(self, sim: Sim, name: str) -> Tensor:
        _typed((sim, Sim))
        _need(sim.engine is not None, "tensors are acquired after prepare_sim")
        # What is acquired holds nothing until it is refreshed.
        empty = np.full_like(getattr(sim.engine, name), np.nan)
        return Tensor(sim.buffers.setdefault(name, empty))

    def _refresh(self, sim: Sim, name: str) -> bool:
        _typed((sim, Sim))
        _need(name in sim.buffers, f"the {name} tensor was not acquired")
        _need(name not in sim.set_since_substep, "a refresh before the substep undoes what was set")
        sim.buffers[name][:] = getattr(sim.engine, name)
        return True

    def _rows(self, sim: Sim, states: Tensor, indices: Tensor, count: int, size: int) -> np.ndarray:
        _typed((sim, Sim), (states, Tensor), (indices, Tensor), (count, int))
        _need(states._array.dtype == np.float32 and states._array.size == size, "not all states")
        array = indices._array
        _need(array.dtype == np.int32, f"indices are int32, not {array.dtype}")
        _need(array.ndim == 1 and 0 < count <= len(array), "count and indices differ")
        rows = array[:count]
        _need(len(set(rows.tolist())) == count, "an actor is named twice")
        _need(rows.min() >= 0 and rows.max() < len(sim.actors), "there is no such actor")
        return rows

    def _once(self, sim: Sim, what: str) -> None:
        _need(
            what not in sim.set_since_substep,
            f"{what} was set twice before a substep; only the last counts",
        )
        sim.set_since_substep.add(what)


def acquire_gym() -> Gym:
    return Gym()
