"""The names of checkpoint directories, spelled here alone.

Python 3.6 and the standard library only: a supervisor reads them with a compute node's own Python.
"""

import re
from typing import Optional

STEM = "rl_model_"
ASIDE = ".bad-"  # and a number, behind the name of one that was set aside as damaged
_NAME = re.compile(STEM + r"(0|[1-9]\d{0,17})_steps")
_HIDDEN = re.compile(r"\." + STEM + r"\d+_steps\.[0-9a-f]+\.tmp")


def directory_name(step: object) -> str:
    """The name of the checkpoint directory of a step count; of what stands for one in a text."""
    return f"{STEM}{step}_steps"


def step_of(name: str) -> Optional[int]:
    """The step count in the name of a checkpoint directory; None for any other name."""
    match = _NAME.fullmatch(name)
    return int(match.group(1)) if match else None


def is_hidden(name: str) -> bool:
    """Whether a name is that of a checkpoint that is being written or deleted."""
    return _HIDDEN.fullmatch(name) is not None
