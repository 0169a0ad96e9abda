"""Shows findings: a list by section for people, JSON for programs."""

from __future__ import annotations

import json
from typing import List, Sequence

from rich.console import Console
from rich.text import Text

from mapush.doctor.ask import one_line
from mapush.doctor.finding import LEVELS, LOSS, NOTE, OK, WARNING, Finding, losses
from mapush.doctor.question import Question

_STYLES = {OK: "green", NOTE: "cyan", WARNING: "yellow", LOSS: "bold red"}
_LEVEL_WIDTH = max(map(len, LEVELS))
_LENGTH = 400  # of one text; a message of another program may be long


def show(out: Console, question: Question, findings: Sequence[Finding]) -> None:
    """Print the findings by section and the verdict."""
    profile = question.profile
    where = f"SLURM, partition {profile.partition or 'by default'}"
    out.print(f"root {question.root}; {where if question.cluster == 'slurm' else 'this machine'}")
    width = max(len(finding.name) for finding in findings)
    section = ""
    for finding in findings:
        if finding.section != section:
            section = finding.section
            out.print(f"\n{section}", style="bold")
        for line in _lines(finding, width):
            out.print(line)
    out.print()
    style = _STYLES[LOSS] if losses(findings) else "bold"
    out.print(f"verdict: {verdict(findings)}", style=style)


def verdict(findings: Sequence[Finding]) -> str:
    """One line for all."""
    counts = [
        f"{count} {level}{'s' if count > 1 else ''}"
        for level in (WARNING, NOTE)
        for count in [sum(finding.level == level for finding in findings)]
        if count
    ]
    rest = f" ({', '.join(counts)})" if counts else ""
    bad = list(dict.fromkeys(finding.title for finding in losses(findings)))
    if bad:
        return f"a run would fail or lose work: {'; '.join(bad)}{rest}"
    return f"nothing found by which a run would fail or lose work{rest}"


def as_json(question: Question, findings: Sequence[Finding]) -> str:
    """The findings for a program."""
    content = {
        "root": str(question.root),
        "cluster": question.cluster,
        "loses_work": bool(losses(findings)),
        "verdict": verdict(findings),
        "findings": [finding._asdict() for finding in findings],
    }
    return json.dumps(content, indent=2)


def _lines(finding: Finding, width: int) -> List[Text]:
    head = Text("  ")
    head.append(finding.level.ljust(_LEVEL_WIDTH), _STYLES[finding.level])
    head.append(f"  {finding.name.ljust(width)}  {one_line(finding.what, _LENGTH)}")
    lines = [head]
    margin = " " * (_LEVEL_WIDTH + 4)
    for word, text in (("costs", finding.cost), ("fix", finding.fix)):
        if text:
            lines.append(Text(f"{margin}{word.ljust(5)}  {one_line(text, _LENGTH)}"))
    return lines
