"""What the views print with: tables, drawn on a terminal and aligned in a pipe, sizes, texts."""

from __future__ import annotations

from typing import Any, List, Sequence

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
    is_drawn = out.is_terminal and bool(widths)
    widths = widths if is_drawn else [max(map(len, each)) for each in columns]
    table = Table(box=None, padding=(0, _GAP, 0, 0), header_style="bold")
    for heading, width in zip(headings, widths):
        table.add_column(heading, justify="right" if heading in right else "left", width=width)
    for row in rows:
        table.add_row(*map(Text, row))
    if is_drawn:
        out.print(table, soft_wrap=False)
        return
    width = sum(widths) + _GAP * len(widths)
    for line in out.render_lines(table, out.options.update(width=width), pad=False):
        out.print("".join(segment.text for segment in line).rstrip())


def human_bytes(count: float) -> str:
    """A size in powers of 1000, such as `7.3 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def plain(value: Any) -> str:  # noqa: ANN401
    """A value of a run.yaml on one line; text of others never drives the terminal."""
    text = value if isinstance(value, str) else repr(value)
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _fitting(columns: Sequence[Sequence[str]], width: int) -> List[int]:
    """Widths of columns that fit beside each other with no word broken; none if that cannot be."""
    least = [max(len(word) for text in each for word in [*text.split(), ""]) for each in columns]
    widths = [max(map(len, each)) for each in columns]
    while sum(widths) > width and widths != least:
        slack = [wide - narrow for wide, narrow in zip(widths, least)]
        widths[slack.index(max(slack))] -= 1
    return widths if sum(widths) <= width else []
