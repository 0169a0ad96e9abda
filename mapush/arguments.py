"""What the commands' argument parsers share: one-line errors, numbers, options made from fields."""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import shlex
import sys
import typing
from fractions import Fraction
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, NoReturn, Optional, Sequence

from mapush.errors import RequestError, nearest, there_are

NUMBERS = "Whole numbers may be written 10M, 1e6 or 10_000_000."
"""For the help of a command that takes some."""

_WHOLE = re.compile(
    r"([+-]?(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?)([kKMGB]?)"
)
_UNITS = {"": 0, "k": 3, "K": 3, "M": 6, "G": 9, "B": 9}  # powers of ten
_LONGEST = 100  # letters of a number

_ARGUMENT = "argument "  # how argparse begins what it says of one option


class Parser(argparse.ArgumentParser):
    """Complains in one line, as every mapush command does; takes no abbreviated options.

    An option of type `int` takes what `whole_number` takes.
    """

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(allow_abbrev=False, **kwargs)
        self.register("type", int, whole_number)
        self.register("type", float, _number)
        # As argparse has it from Python 3.14 on, so that -5M and -1e6 are values too.
        self._negative_number_matcher = re.compile(r"-\.?[0-9]")

    def parse_args(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        args: Optional[Sequence[str]] = None,
        namespace: Optional[argparse.Namespace] = None,
    ) -> argparse.Namespace:
        """Parse, and raise what is wrong with the arguments.

        Raises:
            RequestError: an option is unknown, missing or wrong, in this order, for one that is
                misspelt is also missing.
        """
        words = sys.argv[1:] if args is None else list(args)
        try:
            parsed, left = self.parse_known_args(words, namespace or argparse.Namespace())
        except RequestError:
            left = list(self._unknown(words))
            if not left:
                raise
        else:
            if not left:
                return parsed
        raise unknown_option(left, *reversed(list(self._chosen(words)))) from None

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the arguments.

        Raises:
            RequestError: always.
        """
        text = " ".join(message.split())
        text = text[len(_ARGUMENT) :] if text.startswith(_ARGUMENT) else text
        raise RequestError(f"{text}; {self.see}")

    @property
    def see(self) -> str:
        """Where a user finds what there is."""
        return f"see python -m {self.prog} --help"

    def options(self) -> List[str]:
        """Every option, as it is written."""
        return list(self._option_string_actions)

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:  # noqa: ANN401
        try:
            return super()._get_value(action, arg_string)  # pyright: ignore[reportAttributeAccessIssue]
        except argparse.ArgumentError as error:
            raise RequestError(f"{_name(action)} {_shown(arg_string)}: {error.message}") from None

    def _check_value(self, action: argparse.Action, value: Any) -> None:  # noqa: ANN401
        if action.choices is None or value in action.choices:
            return
        known = there_are(str(value), map(str, action.choices))
        raise RequestError(f"{_name(action)} {str(value)!r}: {known}; {self.see}")

    def _chosen(self, words: Sequence[str]) -> Iterator[Parser]:
        """This parser and that of the subcommand among the words."""
        yield self
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                yield from (action.choices[word] for word in words if word in action.choices)

    def _unknown(self, words: Sequence[str]) -> Iterator[str]:
        """The words that look like options and are none."""
        known = {option for parser in self._chosen(words) for option in parser.options()}
        for word in words:
            if word == "--":
                return
            is_option = word[:1] == "-" and len(word) > 1 and " " not in word
            is_option = is_option and not self._negative_number_matcher.match(word)
            if is_option and word.partition("=")[0] not in known:
                yield word


def command_line(command: str, *words: str, root: Path = Path()) -> str:
    """A command with its arguments as it is to be typed here, quoted for a shell.

    Args:
        command: a module of mapush, such as `mapush.train`.
        words: its arguments.
        root: what its `--root` is to be; left out where that is the working directory.
    """
    where = () if root.resolve() == Path.cwd().resolve() else ("--root", str(root))
    return shlex.join(("python", "-m", command, *words, *where))


def unknown_option(words: Sequence[str], *parsers: Parser) -> RequestError:
    """What to raise for words that no parser takes, with the option that is likely meant.

    Args:
        words: what the parsers have left over, at least one.
        parsers: those whose options count; the help of the first is pointed at.
    """
    word = next((word for word in words if word[:1] == "-" and word != "--"), words[0])
    see = parsers[0].see
    if not word.startswith("-"):
        return RequestError(f"{_shown(word)}: follows no option that takes it; {see}")
    name = word.partition("=")[0]
    close = nearest(name, (option for parser in parsers for option in parser.options()))
    guess = f"; did you mean {close}? {see}" if close else f"; {see}"
    return RequestError(f"unknown option {_shown(name)}{guess}")


def whole_number(text: str) -> int:
    """The value of an option that counts something, as `read_whole_number` reads it.

    Raises:
        argparse.ArgumentTypeError: it is no whole number.
    """
    number = read_whole_number(text)
    if number is None:
        raise argparse.ArgumentTypeError("is no whole number, such as 200, 10_000, 1e6 or 10M")
    return number


def read_whole_number(text: str) -> Optional[int]:
    """The number that a text such as 200, 10_000, 1e6, 2.5k, 10M, 1G or 1B means, if any."""
    match = _WHOLE.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    if not match:
        return None
    number = Fraction(match[1].replace("_", "")) * 10 ** _UNITS[match[2]]
    return number.numerator if number.denominator == 1 else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError("is no number, such as 0.5 or 1e-3") from None


def _name(action: argparse.Action) -> str:
    if isinstance(action, argparse._SubParsersAction):
        return "command"
    return "/".join(action.option_strings) or str(action.metavar or action.dest)


def _shown(text: str) -> str:
    """A word as it was written, or in quotes where that would not be read as one word."""
    return text if re.fullmatch(r"[\w.,:=+/-]{1,80}", text) else repr(text[:80])


def truth(text: str) -> bool:
    """The value of a yes-or-no option."""
    known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError("is neither true nor false")
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


def given(arguments: argparse.Namespace, kind: type) -> Dict[str, Any]:
    """The options of `add_fields` that were given."""
    names = {entry.name for entry in dataclasses.fields(kind)}
    return {name: value for name, value in vars(arguments).items() if name in names}
