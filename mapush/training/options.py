"""The options of `mapush.train`; no torch, since a launcher checks them too."""

from __future__ import annotations

from pathlib import Path

from mapush.arguments import NUMBERS, Parser, add_fields, add_root, truth
from mapush.learners.recipe import Recipe
from mapush.training.settings import Settings


def build_parser() -> Parser:
    """The command's options."""
    parser = Parser(
        prog="mapush.train",
        description="Train a pushing policy in the foreground. Exit code 0: complete; 75: stopped "
        "by a signal with a durable checkpoint, run it again; 2: the request is wrong.",
        epilog=NUMBERS,
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
