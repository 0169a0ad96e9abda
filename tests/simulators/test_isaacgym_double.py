"""The double is strict: what it takes, Isaac Gym's API has; what the API forbids, it refuses."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any, Callable, Dict, Tuple

import pytest
import torch
from gym_doubles import gym, robot_assets

from mapush.robots.assets import ROBOT
from mapush.simulators.isaacgym import imports
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
    own_methods = {**vars(gym.Drawing), **vars(gym.Gym)}
    for name, method in own_methods.items():
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
    for name in (
        *("SIM_PHYSX", "UP_AXIS_Z", "CC_NEVER", "DOMAIN_SIM", "DOF_MODE_EFFORT"),
        *("IMAGE_COLOR", "MESH_VISUAL", "INVALID_HANDLE"),
    ):
        assert name in api["constants"]
        assert hasattr(gym, name)
    assert api["constants"]["INVALID_HANDLE"] == f"int = {gym.INVALID_HANDLE}"
    for kind in (gym.ImageType, gym.MeshType):
        known = api["classes"][kind.__name__]["attributes"]
        assert set(kind.__members__) == {each for each in known if each.isupper()}


def simulation(api: Any, graphics_device: int = -1) -> Any:
    parameters = api.SimParams()
    parameters.up_axis, parameters.gravity = api.UP_AXIS_Z, api.Vec3(0, 0, -9.81)
    sim = api.acquire_gym().create_sim(0, graphics_device, api.SIM_PHYSX, parameters)
    plane = api.PlaneParams()
    plane.normal = api.Vec3(0, 0, 1)
    api.acquire_gym().add_ground(sim, plane)
    return sim


@pytest.fixture
def prepared(gym: Any, robot_assets: Any) -> Any:
    """Two environments with a robot each, prepared."""
    sim = populated(gym, robot_assets)
    assert gym.acquire_gym().prepare_sim(sim)
    return sim


@pytest.fixture
def drawing(gym: Any, robot_assets: Any) -> Any:
    """The same with a graphics device and a camera in the first environment."""
    sim, calls = populated(gym, robot_assets, graphics_device=0), gym.acquire_gym()
    assert calls.create_camera_sensor(sim.envs[0], small_camera(gym)) == 0
    calls.set_camera_location(0, sim.envs[0], gym.Vec3(3, 0, 2), gym.Vec3(0, 0, 0))
    assert calls.prepare_sim(sim)
    return sim


def small_camera(api: Any) -> Any:
    properties = api.CameraProperties()
    properties.width, properties.height = 96, 54
    return properties


def populated(gym: Any, robot_assets: Any, graphics_device: int = -1) -> Any:
    sim, calls = simulation(gym, graphics_device), gym.acquire_gym()
    options = gym.AssetOptions()
    options.default_dof_drive_mode = int(gym.DOF_MODE_EFFORT)
    path = robot_assets / ROBOT
    asset = calls.load_asset(sim, str(path.parent), path.name, options)
    for index in range(2):
        env = calls.create_env(sim, gym.Vec3(-1, -1, 0), gym.Vec3(1, 1, 1), 2)
        calls.create_actor(env, asset, gym.Transform(), "robot", index, 0, 0)
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


def steps(gym: Any, sim: Any, *names: str) -> None:
    """Call these methods with the simulation."""
    for name in names:
        more = (True,) if name == "fetch_results" else ()
        getattr(gym.acquire_gym(), name)(sim, *more)


def image(gym: Any, sim: Any) -> Any:
    return gym.acquire_gym().get_camera_image(sim, sim.envs[0], 0, gym.IMAGE_COLOR)


ALL = ("simulate", "fetch_results", "step_graphics", "render_all_camera_sensors")

OUT_OF_ORDER: Dict[str, Tuple[Callable[[Any, Any], object], str]] = {
    "a picture without simulate's results": (
        lambda g, s: steps(g, s, "simulate", "step_graphics"),
        "fetch_results comes before",
    ),
    "cameras drawn before graphics are brought up": (
        lambda g, s: steps(g, s, "simulate", "fetch_results", "render_all_camera_sensors"),
        "step_graphics comes first",
    ),
    "a picture that was not drawn": (
        lambda g, s: [steps(g, s, *ALL[:-1]), image(g, s)],
        "render_all_camera_sensors comes between",
    ),
    "a picture drawn before graphics were brought up": (
        lambda g, s: [steps(g, s, *ALL, "step_graphics"), image(g, s)],
        "render_all_camera_sensors comes between",
    ),
    "a picture of before the last substep": (
        lambda g, s: [steps(g, s, *ALL, "simulate", "fetch_results"), image(g, s)],
        "step_graphics comes first",
    ),
    "a camera after prepare_sim": (
        lambda g, s: g.acquire_gym().create_camera_sensor(s.envs[1], small_camera(g)),
        "cameras are created before",
    ),
    "a camera that is none": (
        lambda g, s: g.acquire_gym().set_camera_location(
            0, s.envs[1], g.Vec3(3, 0, 2), g.Vec3(0, 0, 0)
        ),
        "no such camera",
    ),
    "a place that is a tuple": (
        lambda g, s: g.acquire_gym().set_camera_location(0, s.envs[0], (3, 0, 2), g.Vec3(0, 0, 0)),
        "is no Vec3",
    ),
    "a field of view that is none": (
        lambda g, s: setattr(g.CameraProperties(), "fov", 60.0),
        "CameraProperties has no fov",
    ),
    "a width with a fraction": (
        lambda g, s: setattr(g.CameraProperties(), "width", 960.0),
        "width takes int",
    ),
    "a frame before graphics are brought up": (
        lambda g, s: g.acquire_gym().draw_viewer(viewer(g, s), s, True),
        "step_graphics comes first",
    ),
    "a frame of a window that looks nowhere": (
        lambda g, s: [steps(g, s, *ALL[:-1]), g.acquire_gym().draw_viewer(viewer(g, s), s, True)],
        "nobody said where the viewer looks",
    ),
    "a window that was destroyed": (
        lambda g, s: [g.acquire_gym().destroy_viewer(v) for v in [viewer(g, s)] * 2],
        "was destroyed",
    ),
}


def viewer(gym: Any, sim: Any) -> Any:
    return gym.acquire_gym().create_viewer(sim, gym.CameraProperties())


@pytest.mark.parametrize("what", OUT_OF_ORDER)
def test_refuses_of_drawing(what: str, gym: Any, drawing: Any) -> None:
    call, says = OUT_OF_ORDER[what]
    with pytest.raises(Exception, match=says):
        call(gym, drawing)


def test_in_order_there_is_a_picture_of_rows_of_four_bytes_a_pixel(gym: Any, drawing: Any) -> None:
    steps(gym, drawing, *ALL)
    assert image(gym, drawing).shape == (54, 96 * 4)
    assert str(image(gym, drawing).dtype) == "uint8"


def test_what_was_set_is_seen_with_the_next_substep(gym: Any, drawing: Any) -> None:
    calls = gym.acquire_gym()
    steps(gym, drawing, *ALL)
    before = image(gym, drawing)
    wrapped = imports.gymtorch().wrap_tensor(roots(gym, drawing))
    calls.refresh_actor_root_state_tensor(drawing)
    wrapped[0, 1] = 0.5
    rows = indices(0)
    calls.set_actor_root_state_tensor_indexed(drawing, roots(gym, drawing), rows, 1)
    steps(gym, drawing, *ALL[2:])
    assert (image(gym, drawing) == before).all()
    steps(gym, drawing, *ALL)
    assert (image(gym, drawing) != before).any()


WITHOUT_GRAPHICS: Dict[str, Callable[[Any, Any], object]] = {
    "create_camera_sensor": lambda g, s: g.acquire_gym().create_camera_sensor(
        s.envs[0], g.CameraProperties()
    ),
    "create_viewer": lambda g, s: g.acquire_gym().create_viewer(s, g.CameraProperties()),
    "set_rigid_body_color": lambda g, s: g.acquire_gym().set_rigid_body_color(
        s.envs[0], 0, 0, g.MESH_VISUAL, g.Vec3(1, 0, 0)
    ),
    "step_graphics": lambda g, s: g.acquire_gym().step_graphics(s),
    "render_all_camera_sensors": lambda g, s: g.acquire_gym().render_all_camera_sensors(s),
    "sync_frame_time": lambda g, s: g.acquire_gym().sync_frame_time(s),
}


@pytest.mark.parametrize("call", WITHOUT_GRAPHICS)
def test_nothing_is_drawn_without_a_graphics_device(call: str, gym: Any, prepared: Any) -> None:
    with pytest.raises(gym.GymError, match="no graphics device"):
        WITHOUT_GRAPHICS[call](gym, prepared)
