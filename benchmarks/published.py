"""The published checkpoints: where they lie, and what their authors measured of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import yaml

from mapush.errors import RequestError

EPISODES = 300  # of each published figure
_FIGURES = Path(__file__).with_name("published.yaml")
_NAME = re.compile(r"rl_model_(\d{1,18})_steps")


@dataclass(frozen=True)
class Published:
    """What was measured of one checkpoint in Isaac Gym.

    Attributes:
        success: share of the episodes that arrived.
        time: mean time to that, s; an episode that does not arrive counts its full length.
        collaboration: collaboration degree, a mean over the episodes that arrived.
    """

    success: float
    time: float
    collaboration: float


def published_figures() -> Dict[str, Dict[float, Published]]:
    """What was published, by task and million steps."""
    known = yaml.safe_load(_FIGURES.read_text(encoding="utf-8"))
    return {
        exp: {float(millions): Published(**row) for millions, row in rows.items()}
        for exp, rows in known.items()
    }


def find_checkpoints(
    root: Path, exps: List[str], only: Optional[List[float]]
) -> Dict[str, List[Tuple[float, Path]]]:
    """The module.pt of every task under `root`, with their million steps, in order of steps.

    Raises:
        RequestError: there is none, or none of those asked for.
    """
    if not root.is_dir():
        raise RequestError(f"--checkpoints {root}: no such directory; name one with <exp>/ in it")
    found = {}
    for exp in exps:
        steps = [
            (int(named.group(1)) / 1e6, path)
            for path in root.glob(f"{exp}/rl_model_*_steps/module.pt")
            if (named := _NAME.fullmatch(path.parent.name))
        ]
        chosen = sorted(each for each in steps if only is None or each[0] in only)
        if chosen:
            found[exp] = chosen
    if not found:
        wanted = "" if only is None else " of " + ", ".join(f"{each:g}" for each in only) + " M"
        raise RequestError(
            f"--checkpoints {root}: holds no <exp>/rl_model_<N>_steps/module.pt{wanted} for "
            f"{', '.join(exps)}"
        )
    return found
