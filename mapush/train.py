"""`python -m mapush.train`: trains in the foreground."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import List, Optional

from mapush.arguments import Parser, add_fields, add_root, given, truth
from mapush.errors import exit_with
from mapush.learner.recipe import Recipe
from mapush.simulator.isaacgym.imports import load_before_torch
from mapush.training.interruption import SignalFlag
from mapush.training.settings import Settings


def build_parser() -> Parser:
    """The command's options."""
    parser = Parser(
        prog="mapush.train",
        description="Train a pushing policy in the foreground. Exit code 0: complete; 75: stopped "
        "by a signal with a durable checkpoint, run it again; 2: the request is wrong.",
    )
    add_fields(parser.add_argument_group("the run"), Settings, skip=("changes",))
    start = parser.add_argument_group("where it starts")
    start.add_argument(
        "--checkpoint",
        type=Path,
        metavar="PATH",
        help="module.pt that a new run starts from; steps count on from its own",
    )
    start.add_argument(
        "--run",
        metavar="NAME",
        help="resume this run from its newest valid checkpoint; its job's id names it too; a "
        "complete one is trained no further, but a new run may start with --checkpoint from it",
    )
    add_root(start)
    start.add_argument(
        "--use_tensorboard",
        type=truth,
        nargs="?",
        const=True,
        default=True,
        metavar="BOOL",
        help="write TensorBoard scalars (default: true)",
    )
    start.add_argument(
        "--headless", action="store_true", help="accepted; training never opens a window"
    )
    add_fields(
        parser.add_argument_group(
            "hyper-parameters", "Defaults are those of --recipe default; --recipe changes them."
        ),
        Recipe,
    )
    return parser


def main(arguments: Optional[List[str]] = None) -> int:
    """Parse, train, return the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    parsed = build_parser().parse_args(words)
    with SignalFlag() as flag:
        load_before_torch()
        from mapush.training.plan import Request
        from mapush.training.run import train

        request = Request(
            root=parsed.root,
            options=given(parsed, Settings),
            changes=given(parsed, Recipe),
            checkpoint=parsed.checkpoint,
            run=parsed.run,
            use_tensorboard=parsed.use_tensorboard,
            command=("python", "-m", "mapush.train", *words),
        )
        return train(request, flag)


if __name__ == "__main__":
    exit_with(main)
