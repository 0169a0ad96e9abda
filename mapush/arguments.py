"""What the commands' argument parsers share: one-line errors, options made from fields."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, NoReturn, Optional, Sequence, Type

from pydantic.fields import FieldInfo

from mapush import schema
from mapush.errors import RequestError, nearest, there_are
from mapush.schema import Section

NUMBERS = "Whole numbers may be written 10M, 1e6 or 10_000_000."
"""For the help of a command that takes some."""

_ARGUMENT = "argument "  # how argparse begins what it says of one option


class Parser(argparse.ArgumentParser):
    """Complains in one line, as every mapush command does; takes no abbreviated options.

    An option of type `int`, `float` or `bool` takes what `mapush.schema.read` takes.
    """

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(allow_abbrev=False, **kwargs)
        for kind in (int, float, bool):
            self.register("type", kind, _value_of(kind))
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
            raise RequestError(
                f"{_name(action)} {schema.shown(arg_string)}: {error.message}"
            ) from None

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
        return RequestError(f"{schema.shown(word)}: follows no option that takes it; {see}")
    name = word.partition("=")[0]
    close = nearest(name, (option for parser in parsers for option in parser.options()))
    guess = f"; did you mean {close}? {see}" if close else f"; {see}"
    return RequestError(f"unknown option {schema.shown(name)}{guess}")


def _value_of(kind: type) -> Callable[[str], Any]:
    """A reader of an option's text whose complaints argparse passes on."""

    def value(text: str) -> Any:  # noqa: ANN401
        try:
            return schema.read(kind, text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return value


def _name(action: argparse.Action) -> str:
    if isinstance(action, argparse._SubParsersAction):
        return "command"
    return "/".join(action.option_strings) or str(action.metavar or action.dest)


def add_root(parser: argparse._ActionsContainer) -> None:
    """Add `--root`."""
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(os.environ.get("MAPUSH_ROOT", ".")),
        help="directory that holds log/ and results/ (default: $MAPUSH_ROOT, else here)",
    )


def add_section(
    group: argparse._ActionsContainer,
    kind: Type[Section],
    names: Optional[Iterable[str]] = None,
) -> None:
    """Add an option for each field of a section; one that is not given stays out of the result.

    Args:
        group: where they are added.
        kind: the section.
        names: of the fields that are options here; all if None.
    """
    for name, field in kind.model_fields.items():
        if names is not None and name not in names:
            continue
        text, known = field.description or "", schema.choices(field)
        if not field.is_required():
            shown = {"": "none", "True": "true", "False": "false", "None": "none"}
            text += f" (default: {shown.get(str(field.default), field.default)})"
        is_truth = field.annotation is bool
        group.add_argument(
            *(f"--{spelling}" for spelling in schema.spellings(name, field)),
            dest=name,
            # Choices are checked with all other values, where the registries have been filled.
            type=field.annotation if field.annotation in (int, float, bool) else str,
            default=argparse.SUPPRESS,
            help=text.replace("%", "%%"),
            metavar=f"{{{','.join(known)}}}" if known else _metavar(field),
            **({"nargs": "?", "const": True} if is_truth else {}),
        )


def _metavar(field: FieldInfo) -> str:
    kinds = {int: "N", float: "X", bool: "BOOL"}
    return schema.unit(field).upper() or kinds.get(field.annotation, "NAME")


def given(arguments: argparse.Namespace, *kinds: Type[Section]) -> Dict[str, Any]:
    """The options of `add_section` that were given, by the names that files of a run have."""
    fields = {name: field for kind in kinds for name, field in kind.model_fields.items()}
    return {
        schema.stored(name, fields[name]): value
        for name, value in vars(arguments).items()
        if name in fields
    }
