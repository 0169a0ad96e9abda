"""`python -m mapush.doctor`: what would make a job fail or lose work here, and the fix."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import List, Optional

from mapush.arguments import NUMBERS, Parser, add_root, add_section, given
from mapush.doctor.examine import examine
from mapush.doctor.finding import losses
from mapush.doctor.question import Question
from mapush.doctor.report import as_json, show
from mapush.errors import EXIT_COMPLETE, EXIT_FAILURE, RequestError
from mapush.launch.node import slurm
from mapush.launch.profile import DEFAULT, load_profile
from mapush.launch.profile_options import add_profile, profile_changes
from mapush.launch.request import LOCAL, SLURM
from mapush.learners.config import PPOConfig
from mapush.training.config import SECTIONS, build_config
from mapush.views.tables import screen

# Options of the trainer on which it depends what is written and what must be installed.
_OF_SPACE = (
    *("sim", "learner", "device", "recipe", "num_envs", "train_timesteps", "save_freq", "keep"),
    *("hidden_size", "decimation", "rollout_steps"),
)
_RUNS = 100_000
_WAIT = 60.0  # seconds for a free node


def build_parser() -> Parser:
    """The command's options."""
    parser = Parser(
        prog="mapush.doctor",
        description="Say what on this machine or cluster would make a job fail or lose work, what "
        "it would cost, and how to fix it. Files are tried in a hidden directory under --root, "
        "which is gone afterwards. Exit code 0: nothing would; 1: something would; 2: the request "
        "is wrong.",
        epilog=NUMBERS,
    )
    add_root(parser)
    parser.add_argument(
        "--cluster",
        choices=("auto", SLURM, LOCAL),
        default="auto",
        help="what runs the jobs; auto is slurm where sbatch is there (default: auto)",
    )
    parser.add_argument(
        "--gpus", type=int, default=0, metavar="N", help="GPUs that a job asks for (default: 0)"
    )
    parser.add_argument(
        "--runs", type=int, default=1, metavar="N", help="runs that are to fit (default: 1)"
    )
    parser.add_argument(
        "--on-node",
        action="store_true",
        help="look from a compute node too, by a job of some seconds (default: only from here)",
    )
    parser.add_argument(
        "--node-wait",
        type=float,
        default=_WAIT,
        metavar="SECONDS",
        help=f"how long that job may wait for a node (default: {_WAIT:.0f})",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    space = parser.add_argument_group("what a run trains and writes", "As of mapush.train.")
    for kind in (*SECTIONS.values(), PPOConfig):
        add_section(space, kind, _OF_SPACE)
    add_profile(parser.add_argument_group("what jobs ask the cluster for"))
    return parser


def main(arguments: Optional[List[str]] = None) -> int:
    """Look at everything, say what was found, return the exit code."""
    options = build_parser().parse_args(arguments)
    question = _question(options)
    findings = examine(question)
    if options.json:
        sys.stdout.write(as_json(question, findings) + "\n")
    else:
        show(screen(), question, findings)
    return EXIT_FAILURE if losses(findings) else EXIT_COMPLETE


def _question(options: argparse.Namespace) -> Question:
    if not 0 <= options.gpus <= 1024:
        raise RequestError(f"--gpus {options.gpus}: must be from 0 to 1024")
    if not 1 <= options.runs <= _RUNS:
        raise RequestError(f"--runs {options.runs}: must be from 1 to {_RUNS}")
    if not 1 <= options.node_wait <= 3600:
        raise RequestError(f"--node-wait {options.node_wait}: must be from 1 to 3600 seconds")
    cluster = options.cluster
    if cluster == "auto":
        cluster = SLURM if slurm.find("sbatch") is not None else LOCAL
    if options.on_node and cluster != SLURM:
        raise RequestError("--on-node: jobs run on this machine, there is no node to look from")
    profile = load_profile(options.profile or DEFAULT, profile_changes(options))
    if profile.container and Path(profile.container).exists():
        image = str(Path(profile.container).absolute())
        profile = profile.model_copy(update={"container": image})
    own = given(options, *SECTIONS.values())
    changes = given(options, PPOConfig)
    settings = build_config({"exp": "doctor", "exp_name": "doctor", **own, "changes": changes})
    return Question(
        root=options.root.absolute(),
        profile=profile,
        cluster=cluster,
        gpus=options.gpus,
        settings=settings,
        recipe=settings.ppo,
        runs=options.runs,
        on_node=options.on_node,
        node_seconds=options.node_wait,
    )
