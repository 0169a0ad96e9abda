"""What a check has found."""

from __future__ import annotations

import dataclasses
from typing import List, Sequence

OK = "ok"
NOTE = "note"
WARNING = "warning"
LOSS = "loss"
LEVELS = (OK, NOTE, WARNING, LOSS)
"""As it should be; worth knowing; would cost time or a person's attention; a run would fail or
lose work."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    section: str
    """Such as `slurm` or `storage`."""
    name: str
    level: str
    what: str
    """What it is, in one line."""
    cost: str = ""
    """What it would cost a run; empty where nothing."""
    mend: str = ""
    """What to do about it; empty where nothing."""

    @property
    def title(self) -> str:
        """How the verdict refers to it."""
        return f"{self.section}: {self.name}"


def losses(findings: Sequence[Finding]) -> List[Finding]:
    """Those with which a run would fail or lose work."""
    return [finding for finding in findings if finding.level == LOSS]


def one_line(text: str, length: int = 300) -> str:
    """What a program or a file says, fit to be printed."""
    words = "".join(each if each.isprintable() else " " for each in text).split()
    return " ".join(words)[:length]
