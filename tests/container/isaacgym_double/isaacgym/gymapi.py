"""The double of isaacgym.gymapi: what mapush uses, strictly."""

from __future__ import annotations

from typing import List, Optional

from isaacgym import gymdeps

# isort: split
import numpy as np

from isaacgym._assets import Asset
from isaacgym._drawing import Drawing
from isaacgym._engine import Engine
from isaacgym._simulation import Actor, Env, GymError, Sim, need, typed
from isaacgym._structures import (
    AssetOptions,
    CameraProperties,
    ContactCollection,
    DofDriveMode,
    ImageType,
    IndexDomain,
    MeshNormalMode,
    MeshType,
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
_ENUMS = (
    *(SimType, UpAxis, ContactCollection, IndexDomain, DofDriveMode, MeshNormalMode),
    *(ImageType, MeshType),
)
for _kind in _ENUMS:
    globals().update(_kind.__members__)
INVALID_HANDLE = -1

__all__ = [
    "AssetOptions",
    "CameraProperties",
    "Gym",
    "GymError",
    "PhysXParams",
    "PlaneParams",
    "Quat",
    "SimParams",
    "Tensor",
]

_sims: List[Sim] = []
_LEGS = [
    f"{leg}_{joint}_joint" for leg in ("FL", "FR", "RL", "RR") for joint in ("hip", "thigh", "calf")
]


class Gym(Drawing):
    """Every method that mapush calls; any other name is an AttributeError."""

    # Building
    def create_sim(
        self,
        compute_device: int = 0,
        graphics_device: int = 0,
        type: SimType = SimType.SIM_FLEX,
        params: Optional[SimParams] = None,
    ) -> Sim:
        typed((compute_device, int), (graphics_device, int), (type, SimType), (params, SimParams))
        need(not _sims, "a second simulation in one process breaks the GPU pipeline")
        need(type is SimType.SIM_PHYSX, "the double has PhysX only")
        need(graphics_device >= -1, "there is no such graphics device")
        need(params.up_axis is UpAxis.UP_AXIS_Z and params.gravity.z < 0, "gravity is not down")
        need(params.use_gpu_pipeline == params.physx.use_gpu, "GPU pipeline without GPU PhysX")
        _sims.append(Sim(params.copy(), graphics_device))
        return _sims[0]

    def add_ground(self, sim: Sim, params: PlaneParams) -> None:
        typed((sim, Sim), (params, PlaneParams))
        need(params.normal.z == 1.0, "the ground does not face up")
        need(sim.ground is None, "there is a ground already")
        sim.ground = params.copy()

    def load_asset(
        self, sim: Sim, rootpath: str, filename: str, options: Optional[AssetOptions] = None
    ) -> Asset:
        typed((sim, Sim), (rootpath, str), (filename, str))
        need(sim.engine is None, "assets are loaded before prepare_sim")
        return Asset(rootpath, filename, options or AssetOptions())

    def get_asset_dof_names(self, asset: Asset, /) -> List[str]:
        typed((asset, Asset))
        return list(asset.dofs)

    def get_asset_rigid_body_count(self, asset: Asset, /) -> int:
        typed((asset, Asset))
        return asset.bodies

    def get_asset_rigid_shape_count(self, asset: Asset, /) -> int:
        typed((asset, Asset))
        return asset.shapes

    def create_env(self, sim: Sim, lower: Vec3, upper: Vec3, per_row: int, /) -> Env:
        typed((sim, Sim), (lower, Vec3), (upper, Vec3), (per_row, int))
        need(sim.engine is None, "environments are created before prepare_sim")
        need(per_row >= 1 and lower.x < upper.x and lower.y < upper.y, "an empty environment")
        need(not sim.envs or sim.envs[-1].room is None, "the last aggregate is still open")
        row, column = divmod(len(sim.envs), per_row)
        origin = Vec3(column * (upper.x - lower.x), row * (upper.y - lower.y), 0.0)
        sim.envs.append(Env(sim, origin))
        return sim.envs[-1]

    def get_env_origin(self, env: Env, /) -> Vec3:
        typed((env, Env))
        return env.origin.copy()

    def begin_aggregate(self, env: Env, bodies: int, shapes: int, self_collide: bool, /) -> bool:
        typed((env, Env), (bodies, int), (shapes, int), (self_collide, bool))
        need(env.room is None, "an aggregate is open already")
        env.room = [bodies, shapes]
        return True

    def end_aggregate(self, env: Env, /) -> bool:
        typed((env, Env))
        need(env.room is not None, "no aggregate is open")
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
        typed((env, Env), (asset, Asset), (pose, Transform), (name, str), (group, int))
        typed((filter, int), (segmentationId, int))
        sim = env.sim
        need(sim.engine is None, "actors are created before prepare_sim")
        need(env is sim.envs[-1], "actors are added to the newest environment only")
        need(group == len(sim.envs) - 1, "environments collide unless each has its group")
        if env.room is not None:
            env.room = [env.room[0] - asset.bodies, env.room[1] - asset.shapes]
            need(min(env.room) >= 0, "the aggregate is smaller than what is put into it")
        actor = Actor(asset, env, pose.copy(), group, len(sim.actors))
        sim.actors.append(actor)
        env.actors.append(actor)
        return len(env.actors) - 1

    def get_actor_index(self, env: Env, handle: int, domain: IndexDomain, /) -> int:
        typed((env, Env), (handle, int), (domain, IndexDomain))
        need(domain is IndexDomain.DOMAIN_SIM, "the double numbers actors over the simulation")
        return env.actors[handle].index

    def get_actor_rigid_shape_properties(
        self, env: Env, handle: int, /
    ) -> List[RigidShapeProperties]:
        typed((env, Env), (handle, int))
        return [shape.copy() for shape in env.actors[handle].shapes]

    def set_actor_rigid_shape_properties(
        self, env: Env, handle: int, properties: List[RigidShapeProperties], /
    ) -> bool:
        typed((env, Env), (handle, int), (properties, list))
        actor = env.actors[handle]
        need(len(properties) == len(actor.shapes), "one entry for each shape")
        typed(*((shape, RigidShapeProperties) for shape in properties))
        actor.shapes = [shape.copy() for shape in properties]
        if env.sim.engine is not None:
            self._once(env.sim, f"shapes of actor {actor.index}")
            env.sim.engine.friction[actor.index] = actor.shapes[0].friction
        return True

    def prepare_sim(self, sim: Sim, /) -> bool:
        typed((sim, Sim))
        need(sim.engine is None, "prepare_sim was called before")
        need(sim.ground is not None and sim.actors, "nothing to simulate")
        described, dofs = [], 0
        numbers = {id(env): number for number, env in enumerate(sim.envs)}
        for actor in sim.actors:
            asset = actor.asset
            kind = "robot" if asset.dofs else "fixed" if asset.options.fix_base_link else "free"
            if asset.dofs:
                need(
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
        sim.simulated = engine.root.copy()
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
            need(actor.asset.dofs, "set_dof_state_tensor_indexed takes actors with joints only")
            own = slice(actor.first_dof, actor.first_dof + len(actor.asset.dofs))
            sim.engine.joint[own] = given[own]
        return True

    def set_dof_actuation_force_tensor(self, sim: Sim, torques: Tensor, /) -> bool:
        typed((sim, Sim), (torques, Tensor))
        need(sim.engine is not None, "prepare_sim comes first")
        array = torques._array
        need(array.dtype == np.float32, f"torques are float32, not {array.dtype}")
        need(array.size == len(sim.engine.joint), "one torque for each joint")
        self._once(sim, "torque")
        sim.torque = array.reshape(-1)
        return True

    # Stepping
    def simulate(self, sim: Sim, /) -> None:
        typed((sim, Sim))
        need(sim.engine is not None, "prepare_sim comes before simulate")
        torque = sim.torque if sim.torque is not None else np.zeros(len(sim.engine.joint), "f4")
        sim.engine.substep(torque, sim.params.dt)
        sim.torque = None
        sim.set_since_substep.clear()
        sim.done_since_substep.clear()
        sim.simulated = sim.engine.root.copy()
        sim.substeps_done += 1

    def fetch_results(self, sim: Sim, wait: bool, /) -> None:
        typed((sim, Sim), (wait, bool))
        if wait:
            sim.done_since_substep.add("fetch_results")

    def _acquire(self, sim: Sim, name: str) -> Tensor:
        typed((sim, Sim))
        need(sim.engine is not None, "tensors are acquired after prepare_sim")
        # What is acquired holds nothing until it is refreshed.
        empty = np.full_like(getattr(sim.engine, name), np.nan)
        return Tensor(sim.buffers.setdefault(name, empty))

    def _refresh(self, sim: Sim, name: str) -> bool:
        typed((sim, Sim))
        need(name in sim.buffers, f"the {name} tensor was not acquired")
        need(name not in sim.set_since_substep, "a refresh before the substep undoes what was set")
        sim.buffers[name][:] = getattr(sim.engine, name)
        return True

    def _rows(self, sim: Sim, states: Tensor, indices: Tensor, count: int, size: int) -> np.ndarray:
        typed((sim, Sim), (states, Tensor), (indices, Tensor), (count, int))
        need(states._array.dtype == np.float32 and states._array.size == size, "not all states")
        array = indices._array
        need(array.dtype == np.int32, f"indices are int32, not {array.dtype}")
        need(array.ndim == 1 and 0 < count <= len(array), "count and indices differ")
        rows = array[:count]
        need(len(set(rows.tolist())) == count, "an actor is named twice")
        need(rows.min() >= 0 and rows.max() < len(sim.actors), "there is no such actor")
        return rows

    def _once(self, sim: Sim, what: str) -> None:
        need(
            what not in sim.set_since_substep,
            f"{what} was set twice before a substep; only the last counts",
        )
        sim.set_since_substep.add(what)


def acquire_gym() -> Gym:
    return Gym()
