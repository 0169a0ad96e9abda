"""Measurements of several contenders side by side, with their ratios and goals."""

from __future__ import annotations

import operator
import statistics
from dataclasses import dataclass
from typing import Callable, Dict, List, Mapping, Optional, Sequence, TypeVar

from rich.table import Table

from benchmarks.contender import Contender
from benchmarks.measure_training import PARTS, Training

T = TypeVar("T")


@dataclass(frozen=True)
class Goal:
    """What is asked of a figure.

    Attributes:
        value: the bound.
        is_most: whether it is an upper bound.
        is_ratio: whether the figure's ratio to that of the old commit is bounded.
    """

    value: float
    is_most: bool = False
    is_ratio: bool = False

    def __str__(self) -> str:
        sign = "<=" if self.is_most else ">="
        return f"{sign} {self.value:g}{'x' if self.is_ratio else ''}"

    def is_met(self, measured: float, old: Optional[float]) -> Optional[bool]:
        """Whether a figure meets it; None where there is nothing to compare with."""
        if self.is_ratio and old is None:
            return None
        value = measured / old if self.is_ratio and old is not None else measured
        return (operator.le if self.is_most else operator.ge)(value, self.value)


@dataclass(frozen=True)
class Row:
    """One figure of every contender.

    Attributes:
        what: it is, with its unit.
        values: by the contender's name, one of each round; a contender may have none.
        form: how a value is printed.
        goal: for the first contender of this checkout.
    """

    what: str
    values: Mapping[str, Sequence[float]]
    form: str = ",.0f"
    goal: Optional[Goal] = None

    def median(self, name: str) -> Optional[float]:
        """Of the rounds."""
        values = self.values.get(name)
        return statistics.median(values) if values else None


def in_turns(
    contenders: Sequence[Contender], rounds: int, measure: Callable[[Contender], T]
) -> Dict[str, List[T]]:
    """Measure all contenders, and again, so that a machine that slows down slows all of them."""
    found: Dict[str, List[T]] = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            found[contender.name].append(measure(contender))
    return found


def comparison(title: str, rows: Sequence[Row], old: Optional[str], new: Sequence[str]) -> Table:
    """The medians, and the ratios to the old commit where there is one.

    Args:
        title: of the table.
        rows: what was measured.
        old: name of the old commit.
        new: names of the contenders of this checkout; the goals are for the first.
    """
    table = Table(title=title)
    table.add_column("median")
    headings = [old] if old else []
    for name in new:
        headings += [name, f"{name} / {old}"] if old else [name]
    for heading in (*headings, "goal"):
        table.add_column(heading, justify="right")
    for row in rows:
        before = row.median(old) if old else None
        cells = [_shown(before, row.form)] if old else []
        for name in new:
            value = row.median(name)
            cells.append(_shown(value, row.form))
            if old:
                cells.append(_ratio(value, before))
        table.add_row(row.what, *cells, _verdict(row.goal, row.median(new[0]), before))
    return table


def where_time_goes(trainings: Mapping[str, Sequence[Training]]) -> Table:
    """Microseconds per environment step of each part of the training, and their shares."""
    table = Table(title="where the time goes, us per step")
    table.add_column("part")
    for name in trainings:
        table.add_column(name, justify="right")
        table.add_column("share", justify="right")
    spent = {name: _parts(runs) for name, runs in trainings.items()}
    for part in (*PARTS, "rest", "all"):
        cells = []
        for parts in spent.values():
            cells += [f"{parts[part]:.2f}", f"{parts[part] / parts['all']:.1%}"]
        table.add_row(part, *cells)
    return table


def _parts(runs: Sequence[Training]) -> Dict[str, float]:
    steps, seconds = sum(run.steps for run in runs), sum(run.seconds for run in runs)
    found = {part: sum(run.spent(part) for run in runs) for part in PARTS}
    found.update(rest=seconds - sum(found.values()), all=seconds)
    return {part: 1e6 * value / steps for part, value in found.items()}


def _shown(value: Optional[float], form: str) -> str:
    if value is None:
        return ""
    return "not reached" if value == float("inf") else format(value, form)


def _ratio(value: Optional[float], before: Optional[float]) -> str:
    if value is None or before is None or float("inf") in (value, before):
        return ""
    return f"{value / before:.2f}x"


def _verdict(goal: Optional[Goal], value: Optional[float], before: Optional[float]) -> str:
    if goal is None:
        return ""
    met = None if value is None else goal.is_met(value, before)
    return f"{goal}{'' if met is None else ' met' if met else ' MISSED'}"
