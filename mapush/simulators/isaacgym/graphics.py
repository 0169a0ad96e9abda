"""What Isaac Gym draws, if it is asked to: pictures of camera sensors, and the viewer's window.

Where things are drawn is where they were after the last substep: what was placed since shows with
the next one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, List, Sequence, Tuple

import numpy as np

from mapush.errors import MapushError, RequestError

if TYPE_CHECKING:
    from mapush.simulators.isaacgym.scene import Scene

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

Color = Tuple[float, float, float]  # red, green, blue; 0 to 1
Point = Sequence[float]  # x, y, z in the frame of an environment, m


@dataclass(frozen=True)
class Drawing:
    """What a simulation is built to draw; by default nothing, and then nothing of Vulkan is loaded.

    Attributes:
        cameras: how many of the first environments have a camera sensor.
        size: width and height of their pictures, pixels.
        horizontal_fov: the angle they see across, degrees.
        window: whether the viewer will be opened.
        colors: of each actor of an environment, in order; empty for Isaac Gym's own.
    """

    cameras: int = 0
    size: Tuple[int, int] = (960, 540)
    horizontal_fov: float = 60.0
    window: bool = False
    colors: Tuple[Color, ...] = ()

    @property
    def wanted(self) -> bool:
        """Whether a graphics device is needed."""
        return self.window or self.cameras > 0


NOTHING = Drawing()


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
    """The camera sensors of a scene; each sees its own environment alone."""

    def __init__(self, api: ModuleType, scene: Scene, drawing: Drawing) -> None:
        self._api, self._scene = api, scene
        self.size = drawing.size

    def look(self, env: int, eye: Point, target: Point) -> None:
        """Put the camera of an environment."""
        vector, scene = self._api.Vec3, self._scene
        scene.gym.set_camera_location(
            scene.cameras[env], scene.envs[env], vector(*eye), vector(*target)
        )

    def picture(self, env: int) -> np.ndarray:
        """What the camera of an environment sees (height, width, 3), uint8 red, green, blue.

        Raises:
            MapushError: Isaac Gym gives no picture.
        """
        gym, sim = self._scene.gym, self._scene.sim
        step_graphics(self._scene)
        gym.render_all_camera_sensors(sim)
        image = np.asarray(
            gym.get_camera_image(
                sim, self._scene.envs[env], self._scene.cameras[env], self._api.IMAGE_COLOR
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

    def __init__(self, api: ModuleType, scene: Scene) -> None:
        self._api, self._scene = api, scene
        self._viewer = scene.gym.create_viewer(scene.sim, api.CameraProperties())
        if self._viewer is None:
            raise RequestError(NO_DISPLAY)

    def look(self, env: int, eye: Point, target: Point) -> None:
        """Put the viewer's camera beside an environment; the user may move it from there."""
        vector, scene = self._api.Vec3, self._scene
        scene.gym.viewer_camera_look_at(
            self._viewer, scene.envs[env], vector(*eye), vector(*target)
        )

    def draw(self) -> bool:
        """Show what is now, at the pace of the clock; whether the window is still open."""
        gym, sim = self._scene.gym, self._scene.sim
        if gym.query_viewer_has_closed(self._viewer):
            return False
        step_graphics(self._scene)
        gym.draw_viewer(self._viewer, sim, True)
        gym.sync_frame_time(sim)
        return not gym.query_viewer_has_closed(self._viewer)

    def close(self) -> None:
        """Close the window; it is not opened again."""
        self._scene.gym.destroy_viewer(self._viewer)


def step_graphics(scene: Scene) -> None:
    """Bring what is drawn up to where the simulation is."""
    # The GPU pipeline does not wait for results elsewhere, and graphics takes them.
    scene.gym.fetch_results(scene.sim, True)
    scene.gym.step_graphics(scene.sim)
