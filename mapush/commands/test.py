"""`python -m mapush.test`: what a trained policy achieves, in figures or to be seen."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import List, Optional

from pydantic import Field

from mapush.arguments import NUMBERS, Parser, add_root, add_section, given
from mapush.errors import EXIT_COMPLETE, RequestError
from mapush.schema import Section, build
from mapush.simulators import SimulatorChoice, load_before_torch, simulator_kind
from mapush.training.config import Algorithm, Environments, Episodes, Family, Seed, SimulatorConfig

_HERE = Path()  # `--record_video` without a path


class TestConfig(Section):
    """What is played."""

    num_envs: Environments = Field(default=300, description="episodes to evaluate")
    episodes: Episodes = Field(default=3, ge=1, description="episodes in viewer mode")
    seed: Seed = Field(default=0, description="of the episodes' starts")
    algo: Algorithm = Field(default="ppo", description="the algorithm")
    task: Family = Field(default="go1push_mid", description="the task family")


def build_parser() -> Parser:
    """The command's options."""
    parser = Parser(
        prog="mapush.test",
        description="Evaluate a checkpoint, or every checkpoint of a run, by the published "
        "protocol: the first episode of every environment, deterministic actions.",
        epilog=NUMBERS,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--checkpoint", type=Path, metavar="PATH", help="one module.pt")
    what.add_argument(
        "--run",
        metavar="NAME",
        help="every checkpoint of a run, into its success_rate.txt; what is done is skipped",
    )
    parser.add_argument(
        "--exp",
        metavar="NAME",
        help="task of a checkpoint that lies in no run (default: the run's own copy)",
    )
    parser.add_argument(
        "--test_mode",
        choices=("calculator", "viewer"),
        default="calculator",
        help="figures; or episodes to be seen, as a video with --record_video, without it in "
        "the window of a simulator that has one (default: calculator)",
    )
    parser.add_argument(
        "--record_video",
        type=Path,
        nargs="?",
        const=_HERE,
        metavar="PATH",
        help="mp4 to write in viewer mode (default: <task>_<steps>.mp4 here); with --sim isaacgym "
        "its cameras film it",
    )
    parser.add_argument(
        "--headless",
        action="store_true",
        help="open no window; only --sim isaacgym --test_mode viewer without --record_video does",
    )
    add_root(parser)
    add_section(parser.add_argument_group("episodes"), TestConfig)
    add_section(parser.add_argument_group("simulator"), SimulatorConfig)
    return parser


def main(arguments: Optional[List[str]] = None) -> int:
    """Parse, evaluate, print, return the exit code."""
    parsed = build_parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    episodes = build(TestConfig, given(parsed, TestConfig))
    simulator = build(SimulatorConfig, given(parsed, SimulatorConfig)).choice
    load_before_torch()
    from mapush.evaluation import checkpoints

    if parsed.test_mode == "viewer":
        _show(parsed, simulator, episodes)
    elif parsed.record_video is not None:
        raise RequestError("--record_video: goes with --test_mode viewer")
    elif parsed.run is not None:
        checkpoints.evaluate_run(
            parsed.root, parsed.run, simulator, episodes.num_envs, episodes.seed
        )
    else:
        checkpoints.evaluate_one(
            parsed.checkpoint, parsed.exp, simulator, episodes.num_envs, episodes.seed
        )
    return EXIT_COMPLETE


def _show(parsed: Namespace, simulator: SimulatorChoice, wanted: TestConfig) -> None:
    """Record or show the episodes of one checkpoint."""
    _require_a_view(parsed, simulator)
    from mapush.rendering import show

    path, exp, count = parsed.checkpoint, parsed.exp, wanted.episodes
    if parsed.record_video is None:
        show.watch(path, exp, simulator, count, wanted.seed)
    else:
        video = None if parsed.record_video == _HERE else parsed.record_video
        show.record(path, exp, simulator, count, wanted.seed, video)


def _require_a_view(parsed: Namespace, simulator: SimulatorChoice) -> None:
    """Refuse the viewer mode where there is nothing to see."""
    has_window = simulator_kind(simulator.name).draw is not None
    if parsed.checkpoint is None or (parsed.record_video is None and not has_window):
        raise RequestError(
            "--test_mode viewer: records the episodes of one checkpoint; "
            "give --checkpoint PATH and --record_video [FILE.mp4]"
        )
    if parsed.record_video is None and parsed.headless:
        raise RequestError(
            "--test_mode viewer --headless: opens no window; give --record_video [FILE.mp4], or "
            "leave it out"
        )
