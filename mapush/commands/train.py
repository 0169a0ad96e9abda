"""`python -m mapush.train`: trains in the foreground."""

from __future__ import annotations

import sys
from typing import List, Optional

from mapush.simulators import load_before_torch
from mapush.training.interruption import SignalFlag
from mapush.training.options import build_parser, read_options


def main(arguments: Optional[List[str]] = None) -> int:
    """Parse, train, return the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    parsed = build_parser().parse_args(words)
    asked = read_options(parsed)
    with SignalFlag() as flag:
        load_before_torch()
        from mapush.training.request import Request
        from mapush.training.trainer import train

        request = Request(
            root=parsed.root,
            asked=asked,
            checkpoint=parsed.checkpoint,
            run=parsed.run,
            use_tensorboard=parsed.use_tensorboard,
            command=("python", "-m", "mapush.train", *words),
        )
        return train(request, flag)
