"""`python -m mapush.test`: what a trained policy achieves, in figures or to be seen."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import List, Optional

from mapush.arguments import NUMBERS, Parser, add_root
from mapush.errors import EXIT_COMPLETE, RequestError
from mapush.simulators import (
    DEFAULT,
    DEVICES,
    SimulatorChoice,
    check_device,
    check_options,
    known_simulators,
    load_before_torch,
    simulator_kind,
)

_HERE = Path()  # `--record_video` without a path


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
        "--num_envs", type=int, default=300, help="episodes to evaluate (default: 300)"
    )
    parser.add_argument("--seed", type=int, help="of the episodes' starts (default: 0)")
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
        "--episodes", type=int, default=3, help="episodes in viewer mode (default: 3)"
    )
    parser.add_argument(
        "--sim",
        default=DEFAULT,
        metavar="NAME",
        help=f"simulator: {', '.join(known_simulators())} (default: %(default)s)",
    )
    parser.add_argument(
        "--sim_options",
        default="",
        metavar="NAME=VALUE,...",
        help="what is set of the simulator (default: nothing)",
    )
    parser.add_argument(
        "--device",
        default="auto",
        metavar="DEVICE",
        help=f"where all tensors live, {', '.join(DEVICES)}; auto: a GPU for simulators that need "
        "one, else cpu (default: auto)",
    )
    parser.add_argument("--algo", choices=("ppo",), default="ppo", help="algorithm (default: ppo)")
    parser.add_argument(
        "--task", choices=("go1push_mid",), default="go1push_mid", help="(default: go1push_mid)"
    )
    parser.add_argument(
        "--headless",
        action="store_true",
        help="open no window; only --sim isaacgym --test_mode viewer without --record_video does",
    )
    add_root(parser)
    return parser


def main(arguments: Optional[List[str]] = None) -> int:
    """Parse, evaluate, print, return the exit code."""
    parsed = build_parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    for name in ("num_envs", "episodes"):
        if not 1 <= getattr(parsed, name) <= 100_000:
            value = getattr(parsed, name)
            raise RequestError(f"--{name} {value}: must be a whole number from 1 to 100000")
    if parsed.seed is not None and not 0 <= parsed.seed < 2**31:
        raise RequestError(f"--seed {parsed.seed}: must be a whole number from 0 to {2**31 - 1}")
    check_device(parsed.device)
    simulator = SimulatorChoice(parsed.sim, parsed.device, parsed.sim_options)
    check_options(simulator)
    load_before_torch()
    from mapush.evaluation import checkpoints
    from mapush.evaluation.evaluator import TEST_SEED

    seed = TEST_SEED if parsed.seed is None else parsed.seed
    if parsed.test_mode == "viewer":
        _show(parsed, simulator, seed)
    elif parsed.record_video is not None:
        raise RequestError("--record_video: goes with --test_mode viewer")
    elif parsed.run is not None:
        checkpoints.evaluate_run(parsed.root, parsed.run, simulator, parsed.num_envs, seed)
    else:
        checkpoints.evaluate_one(parsed.checkpoint, parsed.exp, simulator, parsed.num_envs, seed)
    return EXIT_COMPLETE


def _show(parsed: Namespace, simulator: SimulatorChoice, seed: int) -> None:
    """Record or show the episodes of one checkpoint."""
    _require_a_view(parsed)
    from mapush.rendering import show

    if parsed.record_video is None:
        show.watch(parsed.checkpoint, parsed.exp, simulator, parsed.episodes, seed)
    else:
        video = None if parsed.record_video == _HERE else parsed.record_video
        show.record(parsed.checkpoint, parsed.exp, simulator, parsed.episodes, seed, video)


def _require_a_view(parsed: Namespace) -> None:
    """Refuse the viewer mode where there is nothing to see."""
    has_window = simulator_kind(parsed.sim).draw is not None
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
