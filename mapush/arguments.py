"""What the commands' argument parsers share: one-line errors, and options made from fields."""

from __future__ import annotations

import argparse
import dataclasses
import os
import typing
from pathlib import Path
from typing import Any, Iterable, NoReturn

from mapush.errors import RequestError


class Parser(argparse.ArgumentParser):
    """Complains in one line, as every mapush command does; takes no abbreviated options."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the arguments.

        Raises:
            RequestError: always.
        """
        raise RequestError(f"{' '.join(message.split())}; see python -m {self.prog} --help")


def truth(text: str) -> bool:
    """The value of a yes-or-no option."""
    known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return known[text.lower()]


def add_fields(group: argparse._ActionsContainer, kind: type, skip: Iterable[str] = ()) -> None:
    """Add an option for each field of a dataclass; one that is not given stays out of the result.

    Args:
        group: where they are added.
        kind: a dataclass whose fields have a default and a `help` in their metadata.
        skip: fields that are no options.
    """
    types = typing.get_type_hints(kind)
    for entry in dataclasses.fields(kind):
        if entry.name in skip:
            continue
        text = entry.metadata["help"]
        if entry.default is not dataclasses.MISSING:
            text += f" (default: {entry.default})"
        group.add_argument(
            f"--{entry.name}",
            type=truth if types[entry.name] is bool else types[entry.name],
            default=argparse.SUPPRESS,
            help=text.replace("%", "%%"),
            metavar=types[entry.name].__name__.upper(),
        )


def add_root(parser: argparse._ActionsContainer) -> None:
    """Add `--root`."""
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(os.environ.get("MAPUSH_ROOT", ".")),
        help="directory that holds log/ and results/ (default: $MAPUSH_ROOT, else here)",
    )


def given(arguments: argparse.Namespace, kind: type) -> dict[str, Any]:
    """The options of `add_fields` that were given."""
    names = {entry.name for entry in dataclasses.fields(kind)}
    return {name: value for name, value in vars(arguments).items() if name in names}
