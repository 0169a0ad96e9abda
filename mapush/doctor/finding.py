"""What a check has found. Python 3.6, since a compute node's own Python makes some."""

from typing import List, NamedTuple, Sequence

OK = "ok"
NOTE = "note"
WARNING = "warning"
LOSS = "loss"
LEVELS = (OK, NOTE, WARNING, LOSS)
"""As it should be; worth knowing; would cost time or a person's attention; a run would fail or
lose work."""


class Finding(NamedTuple):
    """One thing that was looked at."""

    section: str
    """Such as `slurm` or `storage`."""
    name: str
    level: str
    what: str
    """What it is, in one line."""
    cost: str = ""
    """What it would cost a run; empty where nothing."""
    fix: str = ""
    """What to do about it; empty where nothing."""
    seconds: float = 0.0
    """What it takes, where that was measured."""

    @property
    def title(self) -> str:
        """How the verdict refers to it."""
        return f"{self.section}: {self.name}"


def losses(findings: Sequence[Finding]) -> List[Finding]:
    """Those with which a run would fail or lose work."""
    return [finding for finding in findings if finding.level == LOSS]
