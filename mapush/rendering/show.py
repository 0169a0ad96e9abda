"""Shows a checkpoint's episodes as `mapush.test` does: in a video, or in a window."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from rich.console import Console

from mapush.environment.build import make_vector_environment
from mapush.evaluation.checkpoints import open_policy
from mapush.rendering.episode import EpisodeSummary
from mapush.simulators import SimulatorChoice, simulator_kind

_out = Console(highlight=False, markup=False, soft_wrap=True)


def record(
    path: Path,
    exp: Optional[str],
    simulator: SimulatorChoice,
    episodes: int,
    seed: int,
    video: Optional[Path],
) -> None:
    """Write an mp4 of a checkpoint's first episodes.

    A simulator that draws films with its own cameras. What another plays is drawn on a stage.

    Raises:
        RequestError: this machine has no graphics library to render with.
        StorageError: the file cannot be written.
    """
    policy, task = open_policy(path, exp)
    target = video or Path(f"{task.name}_{policy.step}.mp4")
    if simulator_kind(simulator.name).draw is not None:
        from mapush.rendering.filming import film_episodes

        summaries = film_episodes(task, policy, target, episodes, seed, simulator)
    else:
        from mapush.rendering.video import record_episodes

        environment = make_vector_environment(task, episodes, simulator, seed, policy.decimation)
        summaries = record_episodes(environment, policy, target, episodes)
    for number, summary in enumerate(summaries, 1):
        _out.print(_episode_line(number, summary))
    _out.print(f"video: {target}")


def watch(
    path: Path,
    exp: Optional[str],
    simulator: SimulatorChoice,
    episodes: int,
    seed: int,
) -> None:
    """Play a checkpoint's first episodes in the simulator's own window, until it is closed.

    Raises:
        RequestError: the simulator cannot run here, or cannot open a window.
    """
    from mapush.rendering.viewing import watch_episodes

    policy, task = open_policy(path, exp)
    played = 0
    for summary in watch_episodes(task, policy, episodes, seed, simulator):
        played += 1
        _out.print(_episode_line(played, summary))
    if played < episodes:
        _out.print(f"the window was closed; {played} of {episodes} episodes were over")


def _episode_line(number: int, summary: EpisodeSummary) -> str:
    return f"episode {number}: {summary.outcome} after {summary.seconds:.1f} s"
