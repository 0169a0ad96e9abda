"""Isaac Gym's cameras and its viewer on the strict double: asked for, and not asked for."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
import pytest
import torch
from gym_doubles import environment, gym, project, robot_assets
from scenes import task_of

pytest.importorskip("PIL", reason="videos need pillow")
pytest.importorskip("imageio_ffmpeg", reason="videos need imageio[ffmpeg]")

import imageio_ffmpeg

from mapush import test as evaluate
from mapush import train
from mapush.checkpoint import module
from mapush.environment.vector import VectorEnvironment
from mapush.errors import MapushError, RequestError
from mapush.learners.network import Actor, Architecture
from mapush.rendering import filming, viewing
from mapush.rendering.camera import View, frame_motion, horizontal_fov
from mapush.rendering.colors import OBJECT, TARGET, actor_colors
from mapush.rendering.episode import EpisodeSummary, foresee, play
from mapush.simulators import SimulatorChoice, make_simulator
from mapush.simulators.isaacgym.simulator import IsaacGymSimulator, open_simulator
from mapush.simulators.view import Drawing
from mapush.tasks import PushTask, Termination

__all__ = ["environment", "gym", "project", "robot_assets"]

SEED = 2
STEPS = 45  # an odd number: the last state is none of every second one
SIZE = (960, 540)
CPU = SimulatorChoice("isaacgym", "cpu")


class Pusher:
    """A policy that walks at the object."""

    decimation = 5

    def __call__(self, observation: torch.Tensor) -> torch.Tensor:
        return torch.tensor([2.0, 2.0, 0.0]) * observation[..., [2, 3, 4]]


def short(exp: str, control_steps: int = STEPS) -> PushTask:
    termination = Termination(control_steps=control_steps)
    return task_of(exp).model_copy(update={"termination": termination})


@pytest.fixture
def checkpoint(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module.pt for the task `short` of the folder that the commands then run in."""
    monkeypatch.chdir(project)
    torch.manual_seed(0)
    architecture = Architecture(observation_size=8, action_size=3)
    state = {
        "actor_network": Actor(architecture).state_dict(),
        "critic_network": {},
        "value_normalizer": {},
        "optimizer_state": {},
        "training_step": 400,
        "epoch": 1,
        "network_architecture": architecture.as_dict(),
        "rng": {},
        "environment_state": {},
        "config": {"exp": "short", "recipe_values": {"hold": 5}},
    }
    path = project / "module.pt"
    path.write_bytes(module.dumps(state))
    return path


def arguments(checkpoint: Path, *options: str) -> List[str]:
    chosen = ["--checkpoint", str(checkpoint), "--exp", "short", "--sim", "isaacgym"]
    return [*chosen, "--device", "cpu", *options]


def pictures_of(path: Path) -> Tuple[Dict[str, Any], List[np.ndarray]]:
    frames = imageio_ffmpeg.read_frames(str(path))
    meta = next(frames)
    width, height = meta["size"]
    return meta, [np.frombuffer(data, np.uint8).reshape(height, width, 3) for data in frames]


def where(picture: np.ndarray, color: Tuple[float, ...] = OBJECT) -> np.ndarray:
    """Middle (column, row) of what has a colour."""
    away = np.abs(picture.astype(int) - np.round(np.array(color[:3]) * 255).astype(int))
    rows, columns = np.nonzero((away < 25).all(axis=-1))
    assert len(rows) > 100
    # Between the edges: a robot before it hides a part.
    return np.array([(columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2])


def video_frames(summary: EpisodeSummary) -> int:
    """Every second control step, the last one, and that for the rest of a second."""
    return math.ceil(summary.control_steps / 2) + 25


@pytest.mark.parametrize(("exp", "env"), [("cuboid", 0), ("cuboid", 2), ("Tblock", 1)])
def test_a_camera_sees_its_own_environment_from_where_it_is_put(
    exp: str, env: int, gym: Any
) -> None:
    task = short(exp)
    drawing = Drawing(
        cameras=3,
        size=SIZE,
        horizontal_fov=horizontal_fov(16 / 9),
        colors=actor_colors(task.scene),
    )
    simulator = open_simulator(task.scene, 3, "cpu", "", drawing=drawing)
    environment = VectorEnvironment(task, simulator, SEED)
    view = frame_motion(foresee(environment, env), task.scene, 16 / 9)
    cameras = simulator.cameras()
    cameras.look(env, view.eye.tolist(), view.lookat)
    simulator.step(torch.zeros(3, task.robots.count, 3))
    environment.load_state_dict(environment.state_dict())
    picture = cameras.picture(env)
    assert (picture.shape, picture.dtype) == ((540, 960, 3), np.uint8)
    state = foresee(environment, env)
    assert where(picture) == pytest.approx(view.project(state.thing[0, :3], SIZE), abs=4)
    marker = np.array([*state.target, task.goal.marker_height / 2])
    assert where(picture, TARGET) == pytest.approx(view.project(marker, SIZE), abs=4)
    (sim,) = gym._sims
    assert sim.graphics_device == 0
    assert [len(each.cameras) for each in sim.envs] == [1, 1, 1]


def test_results_of_the_gpu_pipeline_are_fetched_before_they_are_drawn(
    gym: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = short("cuboid")
    simulator = open_simulator(task.scene, 1, "cpu", "", drawing=Drawing(cameras=1))
    monkeypatch.setattr(simulator._world, "_gpu", True)  # which fetches nothing by itself
    simulator.step(torch.zeros(1, 2, 3))
    (sim,) = gym._sims
    assert not sim.done_since_substep
    cameras = simulator.cameras()
    cameras.look(0, (3.0, 0.0, 2.0), (0.0, 0.0, 0.0))
    assert cameras.picture(0).shape == (540, 960, 3)


def start_of(simulator: IsaacGymSimulator, task: PushTask, env: int) -> Tuple[View, np.ndarray]:
    """The view of an episode and the pixel of its object when it begins."""
    first = foresee(VectorEnvironment(task, simulator, SEED, Pusher.decimation), env)
    view = frame_motion(first, task.scene, 16 / 9)
    return view, view.project(first.thing[0, :3], SIZE)


@pytest.mark.slow
def test_a_video_shows_each_episode_from_its_start_at_its_own_pace(
    gym: Any, tmp_path: Path
) -> None:
    task, path = short("cuboid", 155), tmp_path / "new" / "episodes.mp4"
    policy: Any = Pusher()
    summaries = filming.film_episodes(task, policy, path, 2, SEED, CPU)
    meta, pictures = pictures_of(path)
    assert (meta["codec"], meta["size"], meta["fps"]) == ("h264", SIZE, 25)
    assert len(pictures) == sum(map(video_frames, summaries))
    assert [each.name for each in path.parent.iterdir()] == ["episodes.mp4"]
    (sim,) = gym._sims
    assert sim.substeps_done == 4 * sum(each.control_steps for each in summaries)
    # Where the object of the second environment was at last, which was not reset since.
    origin = sim.envs[1].origin
    last = sim.simulated[sim.envs[1].actors[2].index, :3] - (origin.x, origin.y, origin.z)
    simulator = make_simulator(SimulatorChoice("isaacgym"), task.scene, 2)
    begin = 0
    moved = []
    for index, summary in enumerate(summaries):
        end = begin + video_frames(summary)
        view, start = start_of(simulator, task, index)
        # Not where the episode filmed before had left it.
        assert where(pictures[begin]) == pytest.approx(start, abs=8)
        if index == 1:
            assert where(pictures[end - 1]) == pytest.approx(view.project(last, SIZE), abs=8)
        moved.append(np.abs(where(pictures[end - 1]) - where(pictures[begin])).max())
        changed = [
            np.abs(before.astype(int) - after).mean()
            for before, after in zip(pictures[end - 25 : end], pictures[end - 24 : end])
        ]
        assert max(changed) < 0.5  # held; what differs is the encoder's
        begin = end
    assert max(moved) > 30


@pytest.mark.slow
def test_episodes_filmed_one_after_another_are_those_played_side_by_side(
    gym: Any, tmp_path: Path
) -> None:
    task = short("cuboid")
    policy: Any = Pusher()
    filmed = filming.film_episodes(task, policy, tmp_path / "a.mp4", 3, SEED, CPU)
    simulator = make_simulator(SimulatorChoice("isaacgym"), task.scene, 3)
    played = play(VectorEnvironment(task, simulator, SEED, Pusher.decimation), policy, 3)
    assert [each.summary for each in played] == filmed


def test_a_film_that_is_stopped_leaves_the_file_of_before(gym: Any, tmp_path: Path) -> None:
    path = tmp_path / "episodes.mp4"
    path.write_bytes(b"of before")
    calls = []

    def stop() -> None:
        calls.append(None)
        if len(calls) > 20:
            raise KeyboardInterrupt

    policy: Any = Pusher()
    with pytest.raises(KeyboardInterrupt):
        filming.film_episodes(short("cuboid"), policy, path, 1, SEED, CPU, check=stop)
    assert path.read_bytes() == b"of before"
    assert [each.name for each in tmp_path.iterdir() if each.suffix] == ["episodes.mp4"]


@pytest.mark.slow
def test_the_command_films_and_says_how_the_episodes_went(
    gym: Any, checkpoint: Path, capsys: pytest.CaptureFixture
) -> None:
    more = ("--test_mode", "viewer", "--record_video", "--episodes", "2", "--headless")
    options = ("--sim_options", "contact_pairs=4096,graphics_device=1")
    assert evaluate.main(arguments(checkpoint, *more, *options)) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("episode 1: ")
    assert said[1].startswith("episode 2: ")
    assert said[2:] == ["video: short_400.mp4"]
    meta, pictures = pictures_of(Path("short_400.mp4"))
    assert meta["size"] == SIZE
    lengths = [round(float(line.split(" after ")[1].split()[0]) / 0.02) for line in said[:2]]
    # What is said is rounded to 0.1 s.
    assert len(pictures) == pytest.approx(sum(length / 2 + 25 for length in lengths), abs=8)
    (sim,) = gym._sims
    assert sim.graphics_device == 1
    assert sim.params.physx.max_gpu_contact_pairs == 4096


COMMANDS = {
    "mapush.test --test_mode calculator": lambda path, _: evaluate.main(
        arguments(path, "--num_envs", "2", "--sim_options", "graphics_device=1")
    ),
    "mapush.train": lambda _, root: train.main(
        "--exp short --sim isaacgym --device cpu --num_envs 4 --decisions 2 --train_timesteps 80 "
        f"--save_freq 80 --eval_freq 80 --eval_envs 2 --final_envs 2 --root {root}".split()
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_what_draws_nothing_has_no_graphics_device(
    command: str, gym: Any, checkpoint: Path, tmp_path: Path
) -> None:
    assert COMMANDS[command](checkpoint, tmp_path / "root") == 0
    (sim,) = gym._sims
    assert sim.substeps_done > 0
    assert sim.graphics_device == -1
    assert not any(env.cameras for env in sim.envs)
    assert not sim.viewers


@pytest.mark.parametrize(
    ("options", "variables", "says", "built"),
    [
        ("--record_video", {"GYM_DOUBLE_VULKAN": "0"}, "Vulkan finds no GPU", 1),
        ("", {"GYM_DOUBLE_DISPLAY": "0"}, "give --record_video", 1),
        ("", {"DISPLAY": ""}, "give --record_video", 0),
        ("--headless", {}, "opens no window", 0),
        ("--record_video --episodes 101", {}, "--episodes 101: at most 100", 0),
        ("--episodes 101", {}, "--episodes 101: at most 100", 0),
        ("--sim mujoco", {}, r"--record_video \[FILE.mp4\]", 0),
        ("--record_video --sim_options cameras=1", {}, "isaacgym has contact_pairs", 0),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(
    options: str,
    variables: Dict[str, str],
    says: str,
    built: int,
    gym: Any,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"DISPLAY": ":0", **variables}.items():
        monkeypatch.setenv(name, value)
    before = sorted(Path().iterdir())
    with pytest.raises(RequestError, match=says) as refusal:
        evaluate.main(arguments(checkpoint, "--test_mode", "viewer", *options.split()))
    assert "\n" not in str(refusal.value)
    assert len(gym._sims) == built
    assert sorted(Path().iterdir()) == before


def test_a_picture_that_isaac_gym_does_not_give_is_said_in_one_line(
    gym: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gym.Gym, "get_camera_image", lambda *_: np.zeros(0, np.uint8))
    policy: Any = Pusher()
    with pytest.raises(MapushError, match="960 x 540 pixels were due"):
        filming.film_episodes(short("cuboid"), policy, tmp_path / "a.mp4", 1, SEED, CPU)
    assert not list(tmp_path.glob("*.mp4"))


@pytest.mark.parametrize(
    ("frames", "played", "drawn"),
    [("", 2, 2 * STEPS), ("1", 0, 1), (str(STEPS), 0, STEPS), (str(STEPS + 10), 1, STEPS + 10)],
)
def test_the_viewer_ends_with_the_window_or_with_the_episodes(
    frames: str, played: int, drawn: int, gym: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    if frames:
        monkeypatch.setenv("GYM_DOUBLE_VIEWER_FRAMES", frames)
    policy: Any = Pusher()
    summaries = list(viewing.watch_episodes(short("cuboid"), policy, 2, SEED, CPU))
    assert [each.control_steps for each in summaries] == [STEPS] * played
    (sim,) = gym._sims
    (viewer,) = sim.viewers
    assert (viewer.frames, viewer.destroyed) == (drawn, True)
    assert [env for env, _, _ in viewer.looked] == sim.envs[: len(viewer.looked)]
    assert not any(env.cameras for env in sim.envs)


def test_the_command_opens_the_viewer(
    gym: Any,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("GYM_DOUBLE_VIEWER_FRAMES", "3")
    assert evaluate.main(arguments(checkpoint, "--test_mode", "viewer")) == 0
    assert capsys.readouterr().out == "the window was closed; 0 of 3 episodes were over\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "options", "says"),
    [
        (("mujoco", "mjbatch"), ["--record_video", "seen.mp4", "--episodes", "1"], "video: seen"),
        (("mujoco", "mjbatch", "PIL", "imageio_ffmpeg"), [], "the window was closed"),
    ],
)
def test_a_python_without_mujoco_is_enough(
    missing: Tuple[str, ...],
    options: List[str],
    says: str,
    checkpoint: Path,
    environment: Dict[str, str],
    tmp_path: Path,
) -> None:
    for name in missing:
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError(name={name!r})")
    path = f"{tmp_path}:{environment['PYTHONPATH']}"
    command = [sys.executable, "-m", "mapush.test", "--test_mode", "viewer", *options]
    done = subprocess.run(
        [*command, *arguments(checkpoint)],
        env={**environment, "PYTHONPATH": path, "DISPLAY": ":0", "GYM_DOUBLE_VIEWER_FRAMES": "2"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert says in done.stdout


@pytest.mark.slow
def test_a_machine_without_vulkan_gets_one_line_and_no_video(
    checkpoint: Path, environment: Dict[str, str]
) -> None:
    options = ("--test_mode", "viewer", "--record_video", "new/seen.mp4")
    done = subprocess.run(
        [sys.executable, "-m", "mapush.test", *arguments(checkpoint, *options)],
        env={**environment, "GYM_DOUBLE_VULKAN": "0"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("mapush: --sim isaacgym: Isaac Gym cannot draw here")
    assert done.stderr.count("\n") == 1
    assert not Path("new").exists()
