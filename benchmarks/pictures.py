r"""Make the project's own pictures: play episodes of a checkpoint and draw a typical success.

    python -m benchmarks.pictures --exp cuboid --checkpoint .../module.pt \
        --out docs/images/cuboid.gif

The ending of `--out` chooses: .gif and .webp an animation, .mp4 a video, .png a still.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import List, Optional

from mapush.arguments import Parser
from mapush.environment.vector import VectorEnvironment
from mapush.errors import RequestError, exit_with
from mapush.evaluation.policy import load_policy
from mapush.rendering import encoding, episode, video
from mapush.rendering.stage import Stage
from mapush.simulators.mujoco.simulator import MujocoSimulator
from mapush.tasks import load_task, task_folder

_ENDINGS = (".gif", ".webp", ".mp4", ".png")


def main(arguments: Optional[List[str]] = None) -> int:
    """Draw one picture and say what is in it."""
    options = _parser().parse_args(arguments)
    width, height = _size(options.size)
    if options.out.suffix not in _ENDINGS:
        raise RequestError(f"--out {options.out}: ends in none of {', '.join(_ENDINGS)}")
    if options.num_envs < 1:
        raise RequestError(f"--num_envs {options.num_envs}: at least 1")
    task = load_task(task_folder(options.exp))
    policy = load_policy(options.checkpoint, task)
    simulator = MujocoSimulator(task.scene, options.num_envs)
    environment = VectorEnvironment(
        task, simulator, seed=options.seed, decimation=policy.decimation
    )
    recordings = episode.play(environment, policy, options.num_envs)
    index = _typical(recordings) if options.episode is None else options.episode
    if not 0 <= index < len(recordings):
        raise RequestError(f"--episode {index}: from 0 to {len(recordings) - 1} (--num_envs)")
    chosen = recordings[index]
    if options.out.suffix == ".png":
        encoding.write_still(video.still(chosen, (width, height), options.moment), options.out)
    else:
        with Stage(task.scene, (width, height)) as stage:
            pictures = video.draw(stage, chosen, options.fps)
            if options.out.suffix == ".mp4":
                encoding.write_video(pictures, options.out, options.fps, (width, height))
            else:
                encoding.write_animation(list(pictures), options.out, options.fps, options.colors)
    summary, successes = chosen.summary, sum(each.summary.success for each in recordings)
    print(
        f"{options.out}: {options.out.stat().st_size:,} bytes; episode {index} of "
        f"{len(recordings)} (seed {options.seed}), {summary.outcome} after {summary.seconds:.1f} s;"
        f" {successes} of {len(recordings)} arrived"
    )
    return 0


def _typical(recordings: List[episode.Recording]) -> int:
    """The success of median length, so that the picture promises no more than is usual."""
    successes = [
        (recording.summary.control_steps, index)
        for index, recording in enumerate(recordings)
        if recording.summary.success
    ]
    if not successes:
        raise RequestError(
            f"none of {len(recordings)} episodes succeeds; choose another --checkpoint, more "
            "--num_envs, or an --episode to show all the same"
        )
    return sorted(successes)[len(successes) // 2][1]


def _size(text: str) -> encoding.Size:
    width, cross, height = text.partition("x")
    if not (cross and width.isdigit() and height.isdigit()):
        raise RequestError(f"--size {text!r}: is WIDTHxHEIGHT, such as 640x360")
    return int(width), int(height)


def _parser() -> Parser:
    parser = Parser(
        prog="benchmarks.pictures",
        description=__doc__.splitlines()[0] if __doc__ else None,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--exp", required=True, help="folder under task/")
    parser.add_argument("--checkpoint", type=Path, required=True, help="a module.pt")
    parser.add_argument("--out", type=Path, required=True, help="a " + ", ".join(_ENDINGS))
    parser.add_argument("--size", default="480x270", help="width x height, pixels")
    parser.add_argument("--fps", type=int, default=10, help="pictures per second")
    parser.add_argument("--colors", type=int, default=96, help="of a .gif, at most 256")
    parser.add_argument("--moment", type=float, default=0.6, help="of a .png, 0 begin to 1 end")
    parser.add_argument("--num_envs", type=int, default=32, help="episodes to choose from")
    parser.add_argument("--episode", type=int, help="which; a success of median length if not said")
    parser.add_argument("--seed", type=int, default=1, help="of the starts")
    return parser


if __name__ == "__main__":
    exit_with(main)
