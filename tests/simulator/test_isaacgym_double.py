"""The double is strict: what it takes, Isaac Gym's API has; what the API forbids, it refuses."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any, Callable, Dict

import pytest
import torch
from gym_doubles import gym, robot_assets

from mapush.simulator.isaacgym import imports
from mapush.simulator.isaacgym.assets import ROBOT
from tests.support import PROJECT

__all__ = ["gym", "robot_assets"]

API = PROJECT.parent / "shared" / "container" / "isaacgym_api.json"


@pytest.mark.skipif(not API.is_file(), reason=f"the list of the API is not at {API}")
def test_every_name_and_signature_is_the_api_s(gym: Any) -> None:
    api = json.loads(API.read_text(encoding="utf-8"))
    for name, kind in vars(gym).items():
        fields = getattr(kind, "FIELDS", None)
        if fields:
            known = api["classes"][name]["attributes"]
            assert {each: known.get(each) for each in fields} == {
                each: sort.__name__ for each, (sort, _) in fields.items()
            }, name
    methods = api["classes"]["Gym"]["methods"]
    for name, method in vars(gym.Gym).items():
        if name.startswith("_"):
            continue
        inside = re.sub(r"\[[^\]]*\]", "", methods[name][len(name) + 1 : methods[name].rindex(")")])
        known = [part.partition(":")[0].strip() for part in inside.split(",")]
        own = list(inspect.signature(method).parameters.values())
        if any(part.startswith("arg") for part in known):
            assert len(own) == len(known), name
            kinds = {each.kind for each in own}
            assert kinds == {inspect.Parameter.POSITIONAL_ONLY}, name
        else:
            assert [each.name for each in own] == known, name
    for name in ("SIM_PHYSX", "UP_AXIS_Z", "CC_NEVER", "DOMAIN_SIM", "DOF_MODE_EFFORT"):
        assert name in api["constants"]
        assert hasattr(gym, name)


def simulation(api: Any) -> Any:
    parameters = api.SimParams()
    parameters.up_axis, parameters.gravity = api.UP_AXIS_Z, api.Vec3(0, 0, -9.81)
    sim = api.acquire_gym().create_sim(0, -1, api.SIM_PHYSX, parameters)
    plane = api.PlaneParams()
    plane.normal = api.Vec3(0, 0, 1)
    api.acquire_gym().add_ground(sim, plane)
    return sim


@pytest.fixture
def prepared(gym: Any, robot_assets: Any) -> Any:
    """Two environments with a robot each, prepared."""
    sim, calls = simulation(gym), gym.acquire_gym()
    options = gym.AssetOptions()
    options.default_dof_drive_mode = int(gym.DOF_MODE_EFFORT)
    path = robot_assets / ROBOT
    asset = calls.load_asset(sim, str(path.parent), path.name, options)
    for index in range(2):
        env = calls.create_env(sim, gym.Vec3(-1, -1, 0), gym.Vec3(1, 1, 1), 2)
        calls.create_actor(env, asset, gym.Transform(), "robot", index, 0, 0)
    assert calls.prepare_sim(sim)
    return sim


def indices(*values: int, dtype: torch.dtype = torch.int32) -> Any:
    return imports.gymtorch().unwrap_tensor(torch.tensor(values, dtype=dtype))


def roots(api: Any, sim: Any) -> Any:
    return api.acquire_gym().acquire_actor_root_state_tensor(sim)


REFUSED: Dict[str, Callable[[Any, Any], object]] = {
    "a name that is none": lambda g, s: g.acquire_gym().set_actor_position(s),
    "a second simulation": lambda g, s: simulation(g),
    "an environment after prepare_sim": lambda g, s: g.acquire_gym().create_env(
        s, g.Vec3(-1, -1, 0), g.Vec3(1, 1, 1), 1
    ),
    "an actor after prepare_sim": lambda g, s: g.acquire_gym().create_actor(
        s.envs[1], s.actors[0].asset, g.Transform(), "late", 1, 0, 0
    ),
    "prepare_sim twice": lambda g, s: g.acquire_gym().prepare_sim(s),
    "a refresh of what was not acquired": lambda g, s: g.acquire_gym().refresh_dof_state_tensor(s),
    "indices of 64 bits": lambda g, s: g.acquire_gym().set_actor_root_state_tensor_indexed(
        s, roots(g, s), indices(0, dtype=torch.int64), 1
    ),
    "an actor that is none": lambda g, s: g.acquire_gym().set_actor_root_state_tensor_indexed(
        s, roots(g, s), indices(2), 1
    ),
    "a count beyond the indices": lambda g, s: g.acquire_gym().set_actor_root_state_tensor_indexed(
        s, roots(g, s), indices(0), 2
    ),
    "a set of roots twice": lambda g, s: [
        g.acquire_gym().set_actor_root_state_tensor_indexed(s, roots(g, s), indices(i), 1)
        for i in range(2)
    ],
    "a refresh before what was set took effect": lambda g, s: [
        g.acquire_gym().set_actor_root_state_tensor_indexed(s, roots(g, s), indices(0), 1),
        g.acquire_gym().refresh_actor_root_state_tensor(s),
    ],
    "torques in double precision": lambda g, s: g.acquire_gym().set_dof_actuation_force_tensor(
        s, imports.gymtorch().unwrap_tensor(torch.zeros(24).double())
    ),
    "too few torques": lambda g, s: g.acquire_gym().set_dof_actuation_force_tensor(
        s, imports.gymtorch().unwrap_tensor(torch.zeros(12))
    ),
    "a tensor with gaps": lambda g, s: imports.gymtorch().unwrap_tensor(torch.zeros(4, 4)[:, 0]),
    "a plain tensor": lambda g, s: g.acquire_gym().set_dof_actuation_force_tensor(
        s, torch.zeros(24)
    ),
    "named arguments that have no names": lambda g, s: g.acquire_gym().simulate(sim=s),
    "a field that is none": lambda g, s: setattr(g.SimParams(), "timestep", 0.1),
    "a number that is a text": lambda g, s: setattr(g.SimParams(), "dt", "0.1"),
    "a drive mode that is no number": lambda g, s: setattr(
        g.AssetOptions(), "default_dof_drive_mode", g.DOF_MODE_EFFORT
    ),
    "a constant that is none": lambda g, s: g.SIM_BULLET,
}


SAYS = {
    "a name that is none": "no attribute 'set_actor_position'",
    "a second simulation": "second simulation",
    "an environment after prepare_sim": "environments are created before",
    "an actor after prepare_sim": "actors are created before",
    "prepare_sim twice": "called before",
    "a refresh of what was not acquired": "was not acquired",
    "indices of 64 bits": "int32, not int64",
    "an actor that is none": "no such actor",
    "a count beyond the indices": "count and indices differ",
    "a set of roots twice": "set twice before a substep",
    "a refresh before what was set took effect": "undoes what was set",
    "torques in double precision": "float32, not float64",
    "too few torques": "one torque for each joint",
    "a tensor with gaps": "must be contiguous",
    "a plain tensor": "is no Tensor",
    "named arguments that have no names": "positional-only",
    "a field that is none": "SimParams has no timestep",
    "a number that is a text": "dt takes float",
    "a drive mode that is no number": "default_dof_drive_mode takes int",
    "a constant that is none": "no attribute 'SIM_BULLET'",
}


@pytest.mark.parametrize("what", REFUSED)
def test_refuses(what: str, gym: Any, prepared: Any) -> None:
    with pytest.raises(Exception, match=SAYS[what]):
        REFUSED[what](gym, prepared)


def test_tensors_come_after_prepare_sim_and_hold_nothing_before_a_refresh(
    gym: Any, prepared: Any
) -> None:
    calls = gym.acquire_gym()
    wrapped = imports.gymtorch().wrap_tensor(calls.acquire_actor_root_state_tensor(prepared))
    assert wrapped.isnan().all()
    calls.refresh_actor_root_state_tensor(prepared)
    assert wrapped.shape == (2, 13)
    assert wrapped.dtype == torch.float32
    assert not wrapped.isnan().any()
    calls.simulate(prepared)
    before = wrapped.clone()
    assert torch.equal(wrapped, before)  # the same until the next refresh


def test_joints_are_ordered_by_name_not_as_in_the_file(prepared: Any) -> None:
    names = prepared.actors[0].asset.dofs
    assert [name[:2] for name in names[::3]] == ["FL", "FR", "RL", "RR"]


def test_an_unprepared_simulation_has_no_tensors(gym: Any) -> None:
    sim = simulation(gym)
    with pytest.raises(gym.GymError, match="after prepare_sim"):
        gym.acquire_gym().acquire_dof_state_tensor(sim)
    with pytest.raises(gym.GymError, match="before simulate"):
        gym.acquire_gym().simulate(sim)
