"""success_rate.txt: the figures of each checkpoint, in numeric order; imports no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping

from mapush.checkpoint.names import directory_name
from mapush.errors import RequestError
from mapush.files import write_atomically

FILE_NAME = "success_rate.txt"
_MAX_BYTES = 50_000_000
_NUMBER = r"\d{1,18}(?:\.\d{1,18})?"
_BLOCK = re.compile(
    directory_name(r"(?P<step>\d{1,18})") + r"\n"
    rf"success rate: (?P<success>{_NUMBER})"
    rf" \(95% interval (?P<low>{_NUMBER}) to (?P<high>{_NUMBER}),"
    r" (?P<episodes>\d{1,18}) episodes\)\n"
    rf"finished time: (?P<time>{_NUMBER})\n"
    rf"(?P<metrics>(?:[a-z][a-z ]{{0,60}}: {_NUMBER}\n){{0,100}})"
)


@dataclass(frozen=True)
class Entry:
    """The figures of one checkpoint; see `mapush.evaluation.figures.Figures`."""

    step: int
    success_rate: float
    low: float
    high: float
    episodes: int
    finished_time: float
    metrics: Mapping[str, float]

    def text(self) -> str:
        """Its block: the name, then the figures."""
        return f"{directory_name(self.step)}\n{self.figures()}"

    def figures(self) -> str:
        """The figures' lines: for a pushing task the seed document's four."""
        own = "".join(f"{name}: {value:.4f}\n" for name, value in self.metrics.items())
        return (
            f"success rate: {self.success_rate:.4f}"
            f" (95% interval {self.low:.4f} to {self.high:.4f}, {self.episodes} episodes)\n"
            f"finished time: {self.finished_time:.4f}\n{own}"
        )


def read_success_rates(path: Path) -> List[Entry]:
    """The entries of a success_rate.txt in numeric order; none where there is no file.

    Raises:
        RequestError: the file cannot be read or holds something else.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        text = data.decode("utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{path}: cannot be read ({error}); move it aside") from None
    if len(data) > _MAX_BYTES:
        raise RequestError(f"{path}: has more than {_MAX_BYTES:,} bytes; move it aside")
    found: Dict[int, Entry] = {}
    for block in (part for part in re.split(r"\n\s*\n", text.strip()) if part):
        match = _BLOCK.fullmatch(block.rstrip() + "\n")
        if match is None:
            line = block.splitlines()[0]
            raise RequestError(
                f"{path}: block {line[:80]!r} is not in its form; move the file aside"
            )
        entry = _entry(match)
        found[entry.step] = entry
    return [found[step] for step in sorted(found)]


def write_success_rate(path: Path, entry: Entry) -> None:
    """Add or replace the figures of one checkpoint; the file is replaced as a whole.

    Raises:
        RequestError: what is there is in another form.
        StorageError: it cannot be written.
    """
    entries = {known.step: known for known in read_success_rates(path)}
    entries[entry.step] = entry
    text = "\n".join(entries[step].text() for step in sorted(entries))
    write_atomically(path, text.encode("utf-8"))


def _entry(match: re.Match[str]) -> Entry:
    lines = match["metrics"].splitlines()
    return Entry(
        step=int(match["step"]),
        success_rate=float(match["success"]),
        low=float(match["low"]),
        high=float(match["high"]),
        episodes=int(match["episodes"]),
        finished_time=float(match["time"]),
        metrics={name: float(value) for name, _, value in (line.partition(": ") for line in lines)},
    )
