"""What a scene looks like: a MuJoCo model for the eye alone, posed and drawn, never simulated.

Every simulator reports where things are in the same way, so one stage shows them all. The robots
are look-alikes of the Unitree Go1, with its link lengths; their legs trot with the distance walked.
"""

# MuJoCo's compiled modules say nothing of what they hold.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import itertools
import math
from typing import List, Tuple

import numpy as np

from mapush.errors import RequestError
from mapush.rendering.camera import FOV, View
from mapush.rendering.colors import DARK, OBJECT, OBJECT_TOP, TARGET, WALL, Color, robot_color
from mapush.rendering.motion import ABDUCTION, FOOT, HIP, LEGS, LINK, TRUNK, Motion
from mapush.rendering.opengl import FIX, open_context
from mapush.simulators.mujoco.headless import mujoco
from mapush.simulators.scene import Box, Marker, Object, Scene

GROUND = ((0.80, 0.83, 0.86), (0.76, 0.79, 0.83))

_DECAL = 0.002  # m between surfaces that would flicker if they lay in one another


class Stage:
    """A scene's visual model with a camera; free it with `close`.

    Args:
        scene: what is to be seen.
        size: width and height of the pictures, pixels.

    Raises:
        RequestError: this machine has no OpenGL.
    """

    def __init__(self, scene: Scene, size: Tuple[int, int]) -> None:
        self.scene = scene
        self.size = size
        self.model = build_stage(scene, size).compile()
        self.data = mujoco.MjData(self.model)
        self._opengl = open_context()
        try:
            self._context = mujoco.MjrContext(
                self.model, int(mujoco.mjtFontScale.mjFONTSCALE_100.value)
            )
        except mujoco.FatalError as error:
            self._opengl.close()
            raise RequestError(f"MuJoCo cannot draw with this OpenGL ({error}): {FIX}") from error
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._scene = mujoco.MjvScene(self.model, maxgeom=4 * self.model.ngeom + 100)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = True
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._option = mujoco.MjvOption()
        self._camera = mujoco.MjvCamera()

    def look(self, view: View) -> None:
        """Put the camera, and with it the lights, so that every view is lit alike."""
        self._camera.lookat[:] = view.lookat
        self._camera.distance = view.distance
        self._camera.azimuth = view.azimuth
        self._camera.elevation = view.elevation
        right, _, forward = view.axes()
        ahead = np.array([forward[0], forward[1], 0.0]) / math.cos(math.radians(view.elevation))
        for light, (x, y, z) in enumerate(_LIGHTS):
            toward = x * right + y * ahead + np.array([0.0, 0.0, z])
            self.model.light_dir[light] = toward / np.linalg.norm(toward)
            self.model.light_pos[light] = np.array(view.lookat) - 5 * self.model.light_dir[light]
        # The shadow's pixels cover what is in view and no more, so that its edge is sharp; where
        # they end in view, MuJoCo draws specks.
        self._context.shadowClip = 1.1 * view.distance

    def pose(self, motion: Motion, angles: np.ndarray, frame: int) -> None:
        """Put everything where it is at one state of an episode.

        Args:
            motion: the episode.
            angles: its `gait`.
            frame: which of its states.
        """
        data = self.data
        body = 0  # they are numbered in the order in which `build_stage` adds them
        if self.scene.marker is not None:
            data.mocap_pos[body] = (*motion.target, 0.0)
            body += 1
        if self.scene.object is not None:
            data.mocap_pos[body] = motion.thing[frame, :3]
            data.mocap_quat[body] = _quaternion(0.0, 0.0, motion.thing[frame, 3])
            body += 1
        for robot, state in enumerate(motion.robots[frame], body):
            data.mocap_pos[robot] = state[:3]
            data.mocap_quat[robot] = _quaternion(*state[3:])
        data.qpos[:] = angles[frame].ravel()
        mujoco.mj_kinematics(self.model, data)
        mujoco.mj_comPos(self.model, data)
        mujoco.mj_camlight(self.model, data)

    def draw(self) -> np.ndarray:
        """The picture (height, width, 3), uint8 red, green, blue."""
        mujoco.mjv_updateScene(
            self.model,
            self.data,
            self._option,
            mujoco.MjvPerturb(),
            self._camera,
            mujoco.mjtCatBit.mjCAT_ALL.value,
            self._scene,
        )
        width, height = self.size
        rectangle = mujoco.MjrRect(0, 0, width, height)
        mujoco.mjr_render(rectangle, self._scene, self._context)
        picture = np.empty((height, width, 3), dtype=np.uint8)
        mujoco.mjr_readPixels(picture, None, rectangle, self._context)
        return picture[::-1]

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the OpenGL context."""
        self._context.free()
        self._opengl.close()


_LIGHTS = ((0.55, 0.45, -1.2), (-0.9, 0.6, -0.5))  # key and fill: right, ahead, up


def _quaternion(roll: float, pitch: float, yaw: float) -> np.ndarray:
    quaternion = np.empty(4)
    mujoco.mju_euler2Quat(quaternion, np.array([yaw, pitch, roll]), "ZYX")
    return quaternion


def build_stage(scene: Scene, size: Tuple[int, int]) -> mujoco.MjSpec:
    """Describe the visual model; bodies are posed from outside and nothing touches anything."""
    spec = mujoco.MjSpec()
    spec.modelname = f"{scene.name} to look at"
    spec.stat.extent = 10.0
    spec.stat.center = [0.0, 0.0, 0.0]
    visual = spec.visual
    visual.global_.fovy = FOV
    visual.global_.offwidth, visual.global_.offheight = size
    visual.quality.shadowsize = 2048
    visual.quality.offsamples = 4
    visual.quality.numslices = 40
    visual.headlight.ambient = [0.42, 0.42, 0.44]
    visual.headlight.diffuse = [0.20, 0.20, 0.20]
    visual.headlight.specular = [0.0, 0.0, 0.0]
    visual.map.znear, visual.map.zfar = 0.02, 8.0
    _add_surroundings(spec, scene)
    if scene.marker is not None:
        _add_target(spec, scene.marker)
    if scene.object is not None:
        _add_object(spec, scene.object)
    spec.add_mesh(name="trunk", uservert=_rounded_box(TRUNK, 0.035).ravel().tolist())
    spec.add_mesh(name="head", uservert=_rounded_box((0.13, 0.09, 0.10), 0.03).ravel().tolist())
    for index in range(scene.robots):
        _add_robot(spec, index)
    return spec


def _add_surroundings(spec: mujoco.MjSpec, scene: Scene) -> None:
    spec.add_texture(
        name="checker",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=GROUND[0],
        rgb2=GROUND[1],
        width=512,
        height=512,
    )
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.86, 0.90, 0.94],
        rgb2=[0.80, 0.83, 0.86],
        width=256,
        height=1536,
    )
    ground = spec.add_material(name="ground", texrepeat=[0.5, 0.5], texuniform=True)
    ground.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "checker"
    ground.specular = 0.1
    world = spec.worldbody
    for index, strength in enumerate((0.50, 0.22)):
        world.add_light(
            name=f"light_{index}",
            type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
            castshadow=index == 0,
            diffuse=[strength] * 3,
            specular=[0.25 * (index == 0)] * 3,
        )
    half = [length / 2 for length in scene.arena.size]
    _add(world, "PLANE", [*half, 1.0], material="ground")
    for axis, sign in itertools.product((0, 1), (-1, 1)):
        position, extent = [0.0, 0.0, scene.arena.wall_height / 2], [0.05, 0.05, 0.0]
        position[axis] = sign * (half[axis] + 0.05)
        extent[1 - axis] = half[1 - axis] + 0.1
        extent[2] = scene.arena.wall_height / 2
        _add(world, "BOX", extent, position, WALL)


def _add_target(spec: mujoco.MjSpec, marker: Marker) -> None:
    body = spec.worldbody.add_body(name="target", mocap=True)
    half, radius = marker.height / 2, marker.goal_radius
    _add(body, "CYLINDER", [marker.radius, half, 0.0], [0, 0, half], TARGET, name="target")
    dashes = max(24, 2 * round(radius * 16)) if radius else 0
    for angle in np.arange(dashes) * 2 * math.pi / dashes:
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[0.018, radius * math.pi / dashes * 0.62, _DECAL / 2],
            pos=[radius * math.cos(angle), radius * math.sin(angle), _DECAL],
            quat=_quaternion(0.0, 0.0, angle),
            rgba=TARGET,
        )


def _add_object(spec: mujoco.MjSpec, thing: Object) -> None:
    body = spec.worldbody.add_body(name="object", mocap=True)
    for index, shape in enumerate(thing.shapes):
        position = [*shape.center, (shape.height - thing.height) / 2]
        lid = [*shape.center, position[2] + shape.height / 2]
        if isinstance(shape, Box):
            x, y, z = (length / 2 for length in shape.size)
            _add(body, "BOX", [x, y, z], position, OBJECT, name=f"object_{index}")
            inset = 0.08 * min(x, y)
            _add(body, "BOX", [x - inset, y - inset, _DECAL], lid, OBJECT_TOP)
        else:
            size = [shape.radius, shape.height / 2, 0.0]
            _add(body, "CYLINDER", size, position, OBJECT, name=f"object_{index}")
            _add(body, "CYLINDER", [0.95 * shape.radius, _DECAL, 0.0], lid, OBJECT_TOP)
    top = thing.height / 2 + 2 * _DECAL
    _add(body, "CYLINDER", [0.07, _DECAL, 0.0], [0, 0, top], TARGET)  # what is to arrive
    _add(body, "BOX", [0.09, 0.018, _DECAL], [0.22, 0, top], OBJECT)  # shows how it turns


def _add_robot(spec: mujoco.MjSpec, index: int) -> None:
    color = robot_color(index)
    shade: Color = (0.55 * color[0], 0.55 * color[1], 0.55 * color[2], 1.0)
    body = spec.worldbody.add_body(name=f"robot_{index}", mocap=True)
    _add(body, "MESH", None, [0, 0, 0], color, mesh="trunk", name=f"robot_{index}")
    _add(body, "BOX", [0.11, 0.035, 0.012], [-0.01, 0, TRUNK[2] / 2], DARK)  # what it carries
    _add(body, "MESH", None, [0.255, 0, 0.035], color, mesh="head")
    _add(body, "ELLIPSOID", [0.02, 0.04, 0.035], [0.312, 0, 0.04], DARK)  # its face
    for front, side in LEGS:
        hip = body.add_body(pos=[front * HIP[0], side * HIP[1], 0.0])
        hip.add_joint(axis=[1, 0, 0], type=mujoco.mjtJoint.mjJNT_HINGE)
        _add_link(hip, [0, -side * 0.01, 0], [0, side * 0.03, 0], 0.044, DARK, kind="CYLINDER")
        thigh = hip.add_body(pos=[0, side * ABDUCTION, 0.0])
        thigh.add_joint(axis=[0, -1, 0], type=mujoco.mjtJoint.mjJNT_HINGE)
        _add_link(thigh, [0, -side * 0.035, 0], [0, side * 0.018, 0], 0.04, shade, kind="CYLINDER")
        _add_link(thigh, [0, 0, 0], [0, 0, -LINK], 0.023, color)
        calf = thigh.add_body(pos=[0, 0, -LINK])
        calf.add_joint(axis=[0, -1, 0], type=mujoco.mjtJoint.mjJNT_HINGE)
        _add_link(calf, [0, 0, 0], [0, 0, -LINK], 0.013, DARK)
        _add(calf, "SPHERE", [FOOT, 0, 0], [0, 0, -LINK], DARK)


def _add_link(
    body: mujoco.MjsBody,
    start: List[float],
    end: List[float],
    radius: float,
    color: Color,
    kind: str = "CAPSULE",
) -> None:
    body.add_geom(
        type=getattr(mujoco.mjtGeom, f"mjGEOM_{kind}"),
        fromto=[*start, *end],
        size=[radius, 0.0, 0.0],
        rgba=color,
    )


def _add(
    body: mujoco.MjsBody,
    kind: str,
    size: object,
    position: object = (0.0, 0.0, 0.0),
    color: Color = (1.0, 1.0, 1.0, 1.0),
    name: str = "",
    mesh: str = "",
    material: str = "",
) -> None:
    geom = body.add_geom(type=getattr(mujoco.mjtGeom, f"mjGEOM_{kind}"), pos=position, rgba=color)
    if size is not None:
        geom.size = size
    geom.name, geom.meshname, geom.material = name, mesh, material


def _rounded_box(size: Tuple[float, float, float], radius: float) -> np.ndarray:
    """Points (n, 3) whose convex hull is a box with round edges."""
    turns = np.linspace(0, math.pi / 2, 5)
    ball = np.array(
        [
            (math.cos(a) * math.cos(b), math.sin(a) * math.cos(b), math.sin(b))
            for a in turns
            for b in turns
        ]
    )
    core = np.array(size) / 2 - radius
    signs = np.array(list(itertools.product((-1, 1), repeat=3)))
    return np.concatenate([sign * (core + radius * ball) for sign in signs])
