"""`python -m mapush.train`: trains in the foreground."""

from __future__ import annotations

import sys
from typing import List, Optional

from mapush.arguments import given
from mapush.learners.recipe import Recipe
from mapush.simulators import load_before_torch
from mapush.training.interruption import SignalFlag
from mapush.training.options import build_parser
from mapush.training.settings import Settings


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
