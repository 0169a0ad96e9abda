"""Tables: drawn on a terminal, aligned columns in a pipe."""

from __future__ import annotations

from typing import List, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

_GAP = 2  # spaces between columns


def screen() -> Console:
    """Where the commands' output goes; text is printed as it is, in whole lines."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def show_table(
    out: Console, headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()
) -> None:
    """Print a table.

    Args:
        out: Where to.
        headings: One for each column.
        rows: Texts, as many in each as there are headings.
        right: Headings of the columns that are aligned to the right.
    """
    columns = list(zip(headings, *rows))
    widths = _fitting(columns, out.width - _GAP * len(columns))
    if not out.is_terminal or not widths:
        for line in _aligned([headings, *rows], [heading in right for heading in headings]):
            out.print(line)
        return
    table = Table(box=None, padding=(0, _GAP, 0, 0), header_style="bold")
    for heading, width in zip(headings, widths):
        table.add_column(heading, justify="right" if heading in right else "left", width=width)
    for row in rows:
        table.add_row(*map(Text, row))
    out.print(table, soft_wrap=False)


def _fitting(columns: Sequence[Sequence[str]], width: int) -> List[int]:
    """Widths of columns that fit beside each other with no word broken; none if that cannot be."""
    least = [max(len(word) for text in each for word in [*text.split(), ""]) for each in columns]
    widths = [max(map(len, each)) for each in columns]
    while sum(widths) > width and widths != least:
        slack = [wide - narrow for wide, narrow in zip(widths, least)]
        widths[slack.index(max(slack))] -= 1
    return widths if sum(widths) <= width else []


def _aligned(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> List[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        "  ".join(
            text.rjust(width) if to_the_right else text.ljust(width)
            for text, width, to_the_right in zip(row, widths, right)
        ).rstrip()
        for row in rows
    ]
