"""Cameras and the viewer of the double: discs on a plain ground, and the order of the calls.

What a person's machine may lack is said by the environment: GYM_DOUBLE_VULKAN=0 for no Vulkan
device, GYM_DOUBLE_DISPLAY=0 for no display; GYM_DOUBLE_VIEWER_FRAMES=N closes the window once N
frames were drawn in it.
"""

from __future__ import annotations

import math
import os
from typing import Any, Optional

import numpy as np

from isaacgym._simulation import Actor, Camera, Env, Sim, need, typed
from isaacgym._structures import CameraProperties, ImageType, MeshType, Vec3

GROUND = (200, 204, 208)
_ROBOT = 0.2  # m, the disc of what has joints
_MARKER = 0.1  # m, the disc of what touches nothing
_WALLS = 2.0  # m; what reaches further is not drawn


class Viewer:
    """A window."""

    def __init__(self, sim: Sim, properties: CameraProperties) -> None:
        self.sim, self.properties = sim, properties
        self.frames, self.destroyed = 0, False
        self.looked: list = []  # (environment, eye, target), as it was told


class Drawing:
    """The calls that need a graphics device."""

    def set_rigid_body_color(
        self, env: Env, handle: int, body: int, mesh: MeshType, color: Vec3, /
    ) -> None:
        typed((env, Env), (handle, int), (body, int), (mesh, MeshType), (color, Vec3))
        _graphics(env.sim)
        need(0 <= handle < len(env.actors), "there is no such actor")
        need(0 <= body < len(env.actors[handle].colors), "there is no such body")
        need(all(0 <= part <= 1 for part in (color.x, color.y, color.z)), "colours are 0 to 1")
        env.actors[handle].colors[body] = color.copy()

    def create_camera_sensor(self, env: Env, properties: CameraProperties, /) -> int:
        typed((env, Env), (properties, CameraProperties))
        _graphics(env.sim)
        need(env.sim.engine is None, "cameras are created before prepare_sim")
        need(min(properties.width, properties.height) > 0, "a picture without pixels")
        need(0 < properties.horizontal_fov < 180, "no field of view")
        if os.environ.get("GYM_DOUBLE_VULKAN") == "0":
            return -1
        env.cameras.append(Camera(properties.copy()))
        return len(env.cameras) - 1

    def set_camera_location(self, handle: int, env: Env, eye: Vec3, target: Vec3, /) -> None:
        typed((handle, int), (env, Env), (eye, Vec3), (target, Vec3))
        _graphics(env.sim)
        camera = _camera(env, handle)
        need((eye.x, eye.y) != (target.x, target.y), "the camera looks straight down or nowhere")
        camera.eye, camera.target = eye.copy(), target.copy()

    def step_graphics(self, sim: Sim, /) -> None:
        typed((sim, Sim))
        _graphics(sim)
        need(sim.engine is not None, "prepare_sim comes before step_graphics")
        done = sim.done_since_substep
        need(not sim.substeps_done or "fetch_results" in done, "fetch_results comes before it")
        # What was set since the last substep is not yet where it was set to.
        sim.shown = sim.simulated
        done.discard("render_all_camera_sensors")
        done.add("step_graphics")

    def render_all_camera_sensors(self, sim: Sim, /) -> None:
        typed((sim, Sim))
        _stepped(sim)
        for env in sim.envs:
            for camera in env.cameras:
                camera.image = _draw(env, camera)
        sim.done_since_substep.add("render_all_camera_sensors")

    def get_camera_image(self, sim: Sim, env: Env, handle: int, kind: ImageType, /) -> np.ndarray:
        typed((sim, Sim), (env, Env), (handle, int), (kind, ImageType))
        _stepped(sim)
        need(kind is ImageType.IMAGE_COLOR, "the double draws colours only")
        camera = _camera(env, handle)
        need(
            "render_all_camera_sensors" in sim.done_since_substep,
            "render_all_camera_sensors comes between step_graphics and get_camera_image",
        )
        return camera.image.copy()

    def create_viewer(self, sim: Sim, properties: CameraProperties, /) -> Optional[Viewer]:
        typed((sim, Sim), (properties, CameraProperties))
        _graphics(sim)
        if os.environ.get("GYM_DOUBLE_DISPLAY") == "0":
            return None
        sim.viewers.append(Viewer(sim, properties.copy()))
        return sim.viewers[-1]

    def viewer_camera_look_at(
        self, viewer: Viewer, env: Optional[Env], eye: Vec3, target: Vec3, /
    ) -> None:
        _open(viewer)
        typed(*([] if env is None else [(env, Env)]), (eye, Vec3), (target, Vec3))
        viewer.looked.append((env, eye.copy(), target.copy()))

    def draw_viewer(self, viewer: Viewer, sim: Sim, render_collision: bool = True) -> None:
        _open(viewer)
        typed((sim, Sim), (render_collision, bool))
        _stepped(sim)
        need(viewer.looked, "nobody said where the viewer looks")
        viewer.frames += 1

    def query_viewer_has_closed(self, viewer: Viewer, /) -> bool:
        _open(viewer)
        limit = os.environ.get("GYM_DOUBLE_VIEWER_FRAMES")
        return limit is not None and viewer.frames >= int(limit)

    def destroy_viewer(self, viewer: Viewer, /) -> None:
        _open(viewer)
        viewer.destroyed = True

    def sync_frame_time(self, sim: Sim, /) -> None:
        typed((sim, Sim))
        _stepped(sim)


def _graphics(sim: Sim) -> None:
    need(sim.graphics_device >= 0, "the simulation has no graphics device")


def _stepped(sim: Sim) -> None:
    _graphics(sim)
    need("step_graphics" in sim.done_since_substep, "step_graphics comes first after simulate")


def _open(viewer: Any) -> None:
    typed((viewer, Viewer))
    need(not viewer.destroyed, "the viewer was destroyed")


def _camera(env: Env, handle: int) -> Camera:
    need(0 <= handle < len(env.cameras), "there is no such camera in this environment")
    return env.cameras[handle]


def _draw(env: Env, camera: Camera) -> np.ndarray:
    """What a pinhole camera sees of its own environment's actors, each a disc of its colour."""
    width, height = camera.properties.width, camera.properties.height
    picture = np.full((height, width, 4), (*GROUND, 255), np.uint8)
    eye, target = (np.array((at.x, at.y, at.z)) for at in (camera.eye, camera.target))
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    up = np.cross(right, forward)
    focal = width / 2 / math.tan(math.radians(camera.properties.horizontal_fov) / 2)
    origin = np.array((env.origin.x, env.origin.y, env.origin.z))
    discs = []
    for actor in env.actors:
        radius, offset = _disc(actor), env.sim.shown[actor.index, :3] - origin - eye
        depth = float(offset @ forward)
        if radius and depth > radius:
            column = width / 2 + focal * float(offset @ right) / depth
            row = height / 2 - focal * float(offset @ up) / depth
            discs.append((depth, column, row, focal * radius / depth, actor.colors[0]))
    for _, column, row, radius, color in sorted(discs, key=lambda disc: -disc[0]):
        top, left = (max(0, int(middle - radius)) for middle in (row, column))
        part = picture[top : max(0, int(row + radius) + 2), left : max(0, int(column + radius) + 2)]
        rows, columns = np.ogrid[: part.shape[0], : part.shape[1]]
        inside = (columns + left - column) ** 2 + (rows + top - row) ** 2 <= radius**2
        part[inside, :3] = np.round(np.array((color.x, color.y, color.z)) * 255)
    return picture.reshape(height, width * 4)


def _disc(actor: Actor) -> float:
    asset = actor.asset
    if asset.dofs:
        return _ROBOT
    return 0.0 if asset.radius > _WALLS else asset.radius or _MARKER
