from __future__ import annotations

import colorsys
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("mujoco", reason="pictures need the mujoco extra")

import imageio_ffmpeg
from PIL import Image

from mapush.environment.vector import VectorEnvironment
from mapush.errors import RequestError, StorageError
from mapush.evaluation.evaluator import evaluate
from mapush.rendering import camera, colors, encoding, episode, opengl, stage, video
from mapush.rendering.motion import STAND, Motion, gait
from mapush.simulators.mujoco.simulator import MujocoSimulator
from mapush.tasks import PushTask, Termination, load_task

TASKS = Path(__file__).resolve().parents[2] / "task"
SIZE = (192, 108)
STEPS = 40


def task_of(name: str, steps: int = STEPS) -> PushTask:
    termination = Termination(control_steps=steps)
    task = load_task(TASKS / name)
    assert isinstance(task, PushTask)
    return task.model_copy(update={"termination": termination})


def environment_of(task: PushTask, num_envs: int = 2) -> VectorEnvironment:
    return VectorEnvironment(task, MujocoSimulator(task.scene, num_envs, threads=1), seed=3)


def forward(observation: torch.Tensor) -> torch.Tensor:
    return torch.tensor([2.0, 0.0, 0.4]).expand(*observation.shape[:2], 3)


def motion_of(task: PushTask, seed: int, frames: int = 60) -> Motion:
    """Robots and object that wander about."""
    random = np.random.default_rng(seed)
    robots = np.zeros((frames, task.robots.count, 6))
    robots[..., :2] = random.uniform(-2.5, 2.5, (task.robots.count, 2))
    robots[..., :2] += np.cumsum(random.normal(0.0, 0.02, (frames, task.robots.count, 2)), axis=0)
    robots[..., 2], robots[..., 5] = STAND, random.uniform(0, 6, task.robots.count)
    thing = np.zeros((frames, 4))
    thing[:, :2] = np.linspace((0.0, 0.0), random.uniform(-1, 1, 2), frames)
    thing[:, 2], thing[:, 3] = task.object.height / 2, np.linspace(0, 2, frames)
    return Motion(0.02, random.uniform(-3, 3, 2), thing, robots)


@pytest.fixture(scope="module")
def has_opengl() -> None:
    try:
        opengl.open_context().close()
    except RequestError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


def hue(color: np.ndarray) -> float:
    return colorsys.rgb_to_hsv(*(float(part) for part in color[:3]))[0]


def read(path: Path) -> tuple[dict, list[np.ndarray]]:
    frames = imageio_ffmpeg.read_frames(str(path))
    meta = next(frames)
    width, height = meta["size"]
    return meta, [np.frombuffer(data, np.uint8).reshape(height, width, 3) for data in frames]


@pytest.mark.usefixtures("has_opengl")
class TestRecord:
    @pytest.mark.slow
    def test_writes_a_video_that_browsers_play(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "episode.mp4"
        task = task_of("cuboid")
        (summary,) = video.record_episodes(environment_of(task), forward, path, fps=10, size=SIZE)
        meta, frames = read(path)
        assert meta["codec"] == "h264"
        assert meta["pix_fmt"].startswith("yuv420p")
        assert meta["size"] == SIZE
        assert meta["fps"] == 10
        # Every fifth of the control steps, the last one, and that for the rest of a second.
        assert len(frames) == math.ceil(summary.control_steps / 5) + 10
        changes = [
            np.abs(a.astype(int) - b).max() for a, b in zip(frames, frames[1 : len(frames) - 9])
        ]
        assert min(changes) > 40
        assert os.listdir(path.parent) == ["episode.mp4"]

    @pytest.mark.slow
    def test_joins_several_episodes(self, tmp_path: Path) -> None:
        path = tmp_path / "both.mp4"
        summaries = video.record_episodes(
            environment_of(task_of("cylinder")), forward, path, episodes=2, fps=5, size=SIZE
        )
        assert len(summaries) == 2
        expected = sum(math.ceil(each.control_steps / 10) + 5 for each in summaries)
        assert len(read(path)[1]) == expected

    @pytest.mark.slow
    def test_stopped_in_the_middle_leaves_the_file_of_before(self, tmp_path: Path) -> None:
        path = tmp_path / "episode.mp4"
        path.write_bytes(b"of before")
        calls = []

        def stop() -> None:
            calls.append(None)
            if len(calls) > STEPS + 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            video.record_episodes(
                environment_of(task_of("cuboid")), forward, path, size=SIZE, check=stop
            )
        assert path.read_bytes() == b"of before"
        assert os.listdir(tmp_path) == ["episode.mp4"]

    @pytest.mark.slow
    def test_killed_in_the_middle_leaves_no_file_of_the_name(self, tmp_path: Path) -> None:
        path = tmp_path / "episode.mp4"
        script = f"""
import os, signal, sys
sys.path[:0] = [{str(Path(__file__).parent)!r}]
from test_video import *
calls = []
def kill():
    calls.append(None)
    if len(calls) > STEPS + 3:
        os.kill(os.getpid(), signal.SIGKILL)
environment, path = environment_of(task_of("cuboid")), Path({str(path)!r})
video.record_episodes(environment, forward, path, size=SIZE, check=kill)
"""
        done = subprocess.run([sys.executable, "-c", script], cwd=TASKS.parent, check=False)
        assert done.returncode == -signal.SIGKILL
        assert not path.exists()

    @pytest.mark.slow
    def test_ffmpeg_that_cannot_write_is_a_storage_error(self, tmp_path: Path) -> None:
        path = tmp_path / "episode.mp4"
        script = f"""
import resource, sys
sys.path[:0] = [{str(Path(__file__).parent)!r}]
from test_video import *
from mapush.errors import exit_with
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
exit_with(lambda: video.record_episodes(
    environment_of(task_of("cuboid")), forward, Path({str(path)!r}), size=SIZE) and 0)
"""
        done = subprocess.run(
            [sys.executable, "-B", "-c", script],
            cwd=TASKS.parent,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith(f"mapush: {path}: ffmpeg could not write it")
        assert os.listdir(tmp_path) == []

    def test_a_directory_that_cannot_be_is_a_storage_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        path = tmp_path / "file" / "episode.mp4"
        with pytest.raises(StorageError, match="file"):
            video.record_episodes(environment_of(task_of("cuboid")), forward, path, size=SIZE)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"fps": 0}, "fps = 0: from 1 to 50"),
        ({"fps": 51}, "fps = 51"),
        ({"size": (191, 108)}, "size = 191x108"),
        ({"size": (192, 0)}, "size = 192x0"),
        ({"size": (192, 9000)}, "size = 192x9000"),
    ],
)
def test_refuses_what_cannot_be_drawn(wrong: dict, message: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / "episode.mp4"
    with pytest.raises(RequestError, match=message):
        video.record_episodes(
            environment_of(task_of("cuboid")), forward, path, **{"size": SIZE, **wrong}
        )
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("episodes", [0, 3])
def test_refuses_more_episodes_than_environments(episodes: int) -> None:
    with pytest.raises(RequestError, match=f"episodes = {episodes}: from 1 to 2"):
        episode.play(environment_of(task_of("cuboid")), forward, episodes)


def test_without_opengl_nothing_is_played_or_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "disabled")
    environment = environment_of(task_of("cuboid"))
    with pytest.raises(RequestError, match="MUJOCO_GL = 'disabled'"):
        video.record_episodes(environment, forward, tmp_path / "new" / "episode.mp4", size=SIZE)
    assert os.listdir(tmp_path) == []
    assert environment.state.object_velocity.abs().max() == 0


@pytest.mark.slow
def test_plays_what_the_evaluation_judges() -> None:
    task = task_of("cuboid", steps=300)
    aim = torch.tensor([2.0, 2.0, 0.0])

    def push(observation: torch.Tensor) -> torch.Tensor:
        return aim * observation[..., [2, 3, 4]]

    recordings = episode.play(environment_of(task, 24), push, 24)
    figures = evaluate(environment_of(task, 24), push)
    outcomes = [recording.summary.outcome for recording in recordings]
    assert outcomes.count(episode.SUCCESS) / 24 == pytest.approx(figures.success_rate)
    assert outcomes.count(episode.EXCEPTION) / 24 == pytest.approx(figures.failure_rate)
    assert len(set(outcomes)) > 1
    for recording in recordings:
        assert len(recording.motion.thing) == recording.summary.control_steps + 1
        gap = np.linalg.norm(recording.motion.thing[:, :2] - recording.motion.target, axis=1)
        assert (gap[-1] < task.goal.radius) == recording.summary.success
        assert (gap[:-1] >= task.goal.radius).all()


@pytest.mark.parametrize(
    ("last", "fps", "frames"),
    [
        (4, 25, [0, 2, 4]),
        (5, 25, [0, 2, 4, 5]),
        (3, 50, [0, 1, 2, 3]),
        (1, 10, [0, 1]),
        (50, 1, [0, 50]),
        (4, 30, [0, 2, 3, 4]),
    ],
)
def test_pictures_keep_the_pace_and_end_with_the_end(
    last: int, fps: int, frames: list[int]
) -> None:
    task = task_of("cuboid")
    summary = episode.EpisodeSummary(episode.TIMEOUT, last, last * 0.02)
    recording = episode.Recording(task.scene, motion_of(task, 0, last + 1), summary)
    assert episode.frame_indices(recording, fps) == frames


@pytest.mark.parametrize("name", ["cuboid", "Tblock", "cylinder"])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [(960, 540), (400, 400)])
def test_everything_stays_in_the_picture(name: str, seed: int, size: tuple[int, int]) -> None:
    task = task_of(name)
    motion = motion_of(task, seed)
    view = camera.frame_motion(motion, task.scene, size[0] / size[1])
    angles = np.linspace(0, 2 * math.pi, 32)
    ring = np.stack((np.cos(angles), np.sin(angles), 0 * angles), axis=-1)
    shown = [
        (motion.robots[..., :3] + (0.0, 0.0, 0.1)).reshape(-1, 3),
        motion.robots[..., :3].reshape(-1, 3) * (1, 1, 0),
        np.array([*motion.target, 0.0]) + task.goal.radius * ring,
        motion.thing[:, :3],
    ]
    pixels = view.project(np.concatenate(shown), size)
    assert (pixels > 0).all()
    assert (pixels < size).all()
    # Not needlessly far: the things fill the picture one way or the other.
    assert (np.ptp(pixels, axis=0) / size).max() > 0.6


@pytest.mark.usefixtures("has_opengl")
@pytest.mark.parametrize("name", ["cuboid", "Tblock", "cylinder"])
def test_colors_are_where_the_things_are(name: str) -> None:
    task = task_of(name)
    count = task.robots.count
    robots = np.zeros((1, count, 6))
    robots[0, :, 0], robots[0, :, 1] = -2.4, np.arange(count) - (count - 1) / 2
    robots[0, :, 2] = STAND
    thing = np.array([[0.0, 0.0, task.object.height / 2, 0.5]])
    motion = Motion(0.02, np.array([2.9, 0.0]), thing, robots)
    size = (480, 270)
    view = camera.frame_motion(motion, task.scene, size[0] / size[1])
    with stage.Stage(task.scene, size) as scene:
        scene.look(view)
        scene.pose(motion, gait(motion), 0)
        picture = scene.draw()
    marks = [
        ((2.9, 0.0, task.goal.marker_height), colors.TARGET),
        ((-0.15, 0.0, task.object.height), colors.OBJECT_TOP),
    ]
    for index in range(count):
        # Beside what lies on its back.
        place = (robots[0, index, 0] + 0.16, robots[0, index, 1], STAND + 0.0575)
        marks.append((place, colors.robot_color(index)))
    for place, color in marks:
        column, row = view.project(np.array(place), size).round().astype(int)
        seen = picture[row - 1 : row + 2, column - 1 : column + 2].reshape(-1, 3)
        assert np.median([abs(hue(pixel) - hue(np.array(color))) for pixel in seen]) < 0.03, place


@pytest.mark.parametrize("index", range(16))
def test_no_robot_looks_like_another_thing(index: int) -> None:
    color = colors.robot_color(index)
    assert all(0.0 <= part <= 1.0 for part in color)
    for other in (colors.OBJECT, colors.TARGET, *(colors.robot_color(i) for i in range(index))):
        assert max(abs(a - b) for a, b in zip(color, other)) > 0.02


@pytest.mark.usefixtures("has_opengl")
def test_a_still_shows_the_moment_asked_for() -> None:
    task = task_of("cuboid")
    recording = episode.play(environment_of(task), forward)[0]
    first, last = (video.still(recording, SIZE, moment) for moment in (0.0, 1.0))
    assert first.shape == last.shape == (SIZE[1], SIZE[0], 3)
    assert np.abs(first.astype(int) - last).max() > 40
    with pytest.raises(RequestError, match=r"moment = 1\.5"):
        video.still(recording, SIZE, 1.5)


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_an_animation_holds_every_picture(ending: str, tmp_path: Path) -> None:
    pictures = [np.full((40, 60, 3), (shade, 90, 20), np.uint8) for shade in (10, 90, 170, 250)]
    path = tmp_path / f"small.{ending}"
    encoding.write_animation(pictures, path, fps=10)
    with Image.open(path) as image:
        assert (image.n_frames, image.size, image.info["loop"]) == (4, (60, 40), 0)
    assert os.listdir(tmp_path) == [path.name]


def test_an_animation_of_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"small\.bmp: an animation ends in"):
        encoding.write_animation([np.zeros((8, 8, 3), np.uint8)], tmp_path / "small.bmp", fps=10)
    assert os.listdir(tmp_path) == []
