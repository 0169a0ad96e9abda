"""What Isaac Gym draws, if it is asked to: pictures of camera sensors, and the viewer's window.

Where things are drawn is where they were after the last substep: what was placed since shows with
the next one.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any, List, Sequence

import numpy as np

from mapush.errors import MapushError, RequestError
from mapush.simulators.isaacgym.simulation import Simulation
from mapush.simulators.view import Color, Drawing, Point

MOST_SHOWN = 100  # environments; each camera keeps its picture in GPU memory
NO_VULKAN = (
    "--sim isaacgym: Isaac Gym cannot draw here, for Vulkan finds no GPU: the NVIDIA driver's "
    "Vulkan part must be visible, in a container by NVIDIA_DRIVER_CAPABILITIES=all and --gpus all "
    "(Docker) or --nv (Apptainer); see docs/isaac-gym.md"
)
NO_DISPLAY = (
    "--sim isaacgym: Isaac Gym cannot open its viewer's window here: it takes a desktop on this "
    "machine's own GPU (ssh -X does not do); give --record_video for an mp4, which needs none"
)


def require_few(episodes: int) -> None:
    """Refuse more episodes than are shown in one simulation, each in an environment of its own.

    Raises:
        RequestError: naming the number.
    """
    if episodes > MOST_SHOWN:
        raise RequestError(
            f"--episodes {episodes}: at most {MOST_SHOWN} are shown of --sim isaacgym, for each "
            "takes an environment of its own, and a camera"
        )


def require_display() -> None:
    """Refuse a window where there can be none, before the simulation is built.

    Raises:
        RequestError: this process has no display.
    """
    if not os.environ.get("DISPLAY"):
        raise RequestError(NO_DISPLAY)


def paint(
    api: ModuleType,
    gym: Any,  # noqa: ANN401
    env: Any,  # noqa: ANN401
    actor: int,
    bodies: int,
    color: Color,
) -> None:
    """Give all bodies of an actor a colour."""
    for body in range(bodies):
        gym.set_rigid_body_color(env, actor, body, api.MESH_VISUAL, api.Vec3(*color))


def add_cameras(
    api: ModuleType,
    gym: Any,  # noqa: ANN401
    envs: Sequence[Any],
    drawing: Drawing,
) -> List[int]:
    """Put a camera sensor into each of the first environments; before the simulation is prepared.

    Raises:
        RequestError: Isaac Gym cannot draw on this machine.
    """
    properties = api.CameraProperties()
    properties.width, properties.height = drawing.size
    properties.horizontal_fov = drawing.horizontal_fov
    handles = []
    for env in envs[: drawing.cameras]:
        handle = gym.create_camera_sensor(env, properties)
        if handle == api.INVALID_HANDLE:
            raise RequestError(NO_VULKAN)
        handles.append(handle)
    return handles


class Cameras:
    """The camera sensors of a simulation; each sees its own environment alone."""

    def __init__(self, api: ModuleType, simulation: Simulation, drawing: Drawing) -> None:
        self._api, self._simulation = api, simulation
        self.size = drawing.size

    def look(self, env: int, eye: Point, target: Point) -> None:
        """Put the camera of an environment."""
        vector, built = self._api.Vec3, self._simulation
        built.gym.set_camera_location(
            built.cameras[env], built.envs[env], vector(*eye), vector(*target)
        )

    def picture(self, env: int) -> np.ndarray:
        """What the camera of an environment sees (height, width, 3), uint8 red, green, blue.

        Raises:
            MapushError: Isaac Gym gives no picture.
        """
        built = self._simulation
        gym, sim = built.gym, built.sim
        step_graphics(built)
        gym.render_all_camera_sensors(sim)
        image = np.asarray(
            gym.get_camera_image(
                sim,
                self._simulation.envs[env],
                self._simulation.cameras[env],
                self._api.IMAGE_COLOR,
            )
        )
        width, height = self.size
        if image.size != height * width * 4 or image.dtype != np.uint8:
            raise MapushError(
                f"Isaac Gym gave a picture of {image.dtype} {image.shape} where {width} x "
                f"{height} pixels were due; its own message is above, and docs/isaac-gym.md says "
                "what drawing takes"
            )
        return image.reshape(height, width, 4)[..., :3]


class Viewer:
    """Isaac Gym's window.

    Raises:
        RequestError: there is no display to open it on.
    """

    def __init__(self, api: ModuleType, simulation: Simulation) -> None:
        self._api, self._simulation = api, simulation
        self._viewer = simulation.gym.create_viewer(simulation.sim, api.CameraProperties())
        if self._viewer is None:
            raise RequestError(NO_DISPLAY)

    def look(self, env: int, eye: Point, target: Point) -> None:
        """Put the viewer's camera beside an environment; the user may move it from there."""
        vector, built = self._api.Vec3, self._simulation
        built.gym.viewer_camera_look_at(
            self._viewer, built.envs[env], vector(*eye), vector(*target)
        )

    def draw(self) -> bool:
        """Show what is now, at the pace of the clock; whether the window is still open."""
        gym, sim = self._simulation.gym, self._simulation.sim
        if gym.query_viewer_has_closed(self._viewer):
            return False
        step_graphics(self._simulation)
        gym.draw_viewer(self._viewer, sim, True)
        gym.sync_frame_time(sim)
        return not gym.query_viewer_has_closed(self._viewer)

    def close(self) -> None:
        """Close the window; it is not opened again."""
        self._simulation.gym.destroy_viewer(self._viewer)


def step_graphics(simulation: Simulation) -> None:
    """Bring what is drawn up to where the simulation is."""
    # The GPU pipeline does not wait for results elsewhere, and graphics takes them.
    simulation.gym.fetch_results(simulation.sim, True)
    simulation.gym.step_graphics(simulation.sim)
