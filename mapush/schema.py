"""Sections of a configuration: what a value may be stands in its field, and is read from there.

A field's type, bounds, choices, unit and description are the only place where these are stated:
validation, the option on a command line, its help and what is said of a wrong value follow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Mapping,
    Optional,
    Tuple,
    Type,
    TypeVar,
    Union,
)

from pydantic import AliasChoices, BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema
from typing_extensions import Annotated, Literal, get_args, get_origin

from mapush.errors import RequestError, there_are

_WHOLE = re.compile(
    r"([+-]?(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?)([kKMGB]?)"
)
_UNITS = {"": 0, "k": 3, "K": 3, "M": 6, "G": 9, "B": 9}  # powers of ten
_LONGEST = 100  # letters of a number
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Section(BaseModel):
    """Immutable; what is unknown, not finite or of another type ("2", True) is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, loc_by_alias=False
    )


SectionT = TypeVar("SectionT", bound=Section)


@dataclass(frozen=True)
class Unit:
    """In a field's annotation: what it counts or measures, in one word for a command's help."""

    name: str


@dataclass(frozen=True)
class OneOf:
    """In the annotation of a text: what it may be, asked for when it is validated or shown."""

    names: Callable[[], Iterable[str]]

    def __get_pydantic_core_schema__(
        self,
        source: object,
        handler: GetCoreSchemaHandler,
    ) -> CoreSchema:
        """Validate by `names`."""
        return core_schema.no_info_after_validator_function(self._known, handler(source))

    def _known(self, value: str) -> str:
        if value not in self.names():
            raise ValueError(there_are(value, self.names()))
        return value


def build(kind: Type[SectionT], values: Mapping[str, Any]) -> SectionT:
    """A section from plain values by name.

    Raises:
        RequestError: naming the option, its value and what is allowed.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise RequestError(f"--{name} {first['input']!r}: {reason(kind, first)}") from None


def complaint(kind: Type[Section], name: str, value: Any) -> str:  # noqa: ANN401
    """What is wrong with a value of one field, whatever the others are; empty if nothing is.

    Raises:
        RequestError: by a field that words its own.
    """
    try:
        kind(**{name: value})
    except ValidationError as error:
        return next((reason(kind, e) for e in error.errors() if e["loc"][:1] == (name,)), "")
    return ""


def reason(kind: Type[BaseModel], error: Mapping[str, Any]) -> str:
    """What is wrong with a value of a model, as pydantic has found it, and what is allowed."""
    text = str(error["msg"]).replace("Value error, ", "")
    field = kind.model_fields.get(str(error["loc"][0])) if len(error["loc"]) == 1 else None
    if error["type"] == "value_error" or field is None:
        return text
    return allowed(field, error["input"]) or text.replace("Input should be", "must be")


def allowed(field: FieldInfo, value: object = "") -> str:
    """What a field may be, for a message about a value that it may not be; empty if untold."""
    names = choices(field)
    if names is not None:
        return there_are(str(value), names)
    if field.annotation is bool:
        return "must be true or false"
    lowest, above, highest = (_bound(field, name) for name in ("ge", "gt", "le"))
    if field.annotation is int:
        if lowest is None:
            return "must be a whole number"
        to = f" from {lowest} to {highest}" if highest is not None else f", {lowest} or more"
        return f"must be a whole number{to}"
    if field.annotation is float:
        if lowest is not None and highest is not None:
            return f"must be a number from {lowest:g} to {highest:g}"
        if lowest is not None:
            return f"must be a finite number, {lowest:g} or more"
        return "must be a finite number" + (f" greater than {above:g}" if above is not None else "")
    return "must be a text" if field.annotation is str else ""


def choices(field: FieldInfo) -> Optional[Tuple[str, ...]]:
    """What a text may be, where only some are allowed."""
    for each in field.metadata:
        if isinstance(each, OneOf):
            return tuple(each.names())
    return get_args(field.annotation) if get_origin(field.annotation) is Literal else None


def unit(field: FieldInfo) -> str:
    """What a field counts or measures; empty if its description says it."""
    return next((each.name for each in field.metadata if isinstance(each, Unit)), "")


def spellings(name: str, field: FieldInfo) -> Tuple[str, ...]:
    """What a field may be called, by its name first."""
    others = field.validation_alias
    named = others.choices if isinstance(others, AliasChoices) else ()
    return (name, *(str(each) for each in named if each != name))


def stored(name: str, field: FieldInfo) -> str:
    """What a field is called in the files of a run, which outlive its name."""
    return field.serialization_alias or name


def shown(text: str) -> str:
    """A word as it was written, or in quotes where that would not be read as one word."""
    return text if re.fullmatch(r"[\w.,:=+()/-]{1,80}", text) else repr(text[:80])


def _bound(field: FieldInfo, name: str) -> Optional[float]:
    return next((getattr(each, name) for each in field.metadata if hasattr(each, name)), None)


def read_whole_number(text: str) -> Optional[int]:
    """The number that a text such as 200, 10_000, 1e6, 2.5k, 10M, 1G or 1B means, if any."""
    match = _WHOLE.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    if not match:
        return None
    number = Fraction(match[1].replace("_", "")) * 10 ** _UNITS[match[2]]
    return number.numerator if number.denominator == 1 else None


def read(kind: Any, text: str) -> Any:  # noqa: ANN401
    """The value of a type that a text means; its bounds are not asked about.

    Args:
        kind: int, float, bool, str, a Literal, an Optional of these, or a tuple of them, which is
            written with commas, in parentheses where it stands in another.
        text: as a user has written it.

    Raises:
        ValueError: it means none, with why.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return read(parts[0], text)
    if origin is Union:
        return _read_union(parts, text)
    if origin is tuple:
        return _read_tuple(parts, text)
    if origin is Literal:
        found = {str(each): each for each in parts}
        if text not in found:
            raise ValueError(there_are(text, found))
        return found[text]
    if kind not in _READERS:
        raise ValueError("cannot be written in one line")
    return _READERS[kind](text)


def _read_int(text: str) -> int:
    number = read_whole_number(text)
    if number is None:
        raise ValueError("is no whole number, such as 200, 10_000, 1e6 or 10M")
    return number


def _read_float(text: str) -> float:
    whole = read_whole_number(text)
    try:
        return float(text) if whole is None else float(whole)
    except (ValueError, OverflowError):
        raise ValueError("is no number, such as 0.5 or 1e-3") from None


def _read_bool(text: str) -> bool:
    if text.lower() not in _TRUTH:
        raise ValueError("is neither true nor false")
    return _TRUTH[text.lower()]


_READERS: Dict[Any, Callable[[str], Any]] = {
    int: _read_int,
    float: _read_float,
    bool: _read_bool,
    str: str,
}


def _read_union(kinds: Tuple[Any, ...], text: str) -> Any:  # noqa: ANN401
    if type(None) in kinds and text == "none":
        return None
    failure = ValueError("cannot be written in one line")
    for kind in kinds:
        try:
            return read(kind, text)
        except ValueError as error:
            failure = error
    raise failure


def _read_tuple(kinds: Tuple[Any, ...], text: str) -> Tuple[Any, ...]:
    words = _split(text)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(read(kinds[0], word) for word in words)
    if len(words) != len(kinds):
        raise ValueError(f"must be {len(kinds)} values with commas between them")
    return tuple(read(kind, word) for kind, word in zip(kinds, words))


def _split(text: str) -> List[str]:
    """The parts of a tuple, between its own commas."""
    parts, depth, plain = [""], 0, text.strip()
    for letter in plain:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    is_one = len(parts) == 1 and plain[:1] == "(" and plain[-1:] == ")"
    if is_one:
        return _split(plain[1:-1])
    words = [part.strip() for part in parts]
    return words[:-1] if len(words) > 1 and not words[-1] else words
