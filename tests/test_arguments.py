"""Options: numbers as people write them, and what is said of an option that is wrong."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import List

import pytest

from mapush.arguments import Parser, command_line, unknown_option
from mapush.commands.runs import build_parser as runs_parser
from mapush.errors import RequestError
from mapush.schema import read


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("200", 200),
        ("0", 0),
        ("007", 7),
        ("-5", -5),
        ("+5", 5),
        ("10_000_000", 10**7),
        ("10M", 10**7),
        ("-10M", -(10**7)),
        ("1e6", 10**6),
        ("1E+6", 10**6),
        ("1.5e3", 1500),
        ("2500e-2", 25),
        ("2.5k", 2500),
        ("2.5K", 2500),
        ("0.001k", 1),
        (".5M", 500_000),
        ("1.0", 1),
        ("3G", 3 * 10**9),
        ("3B", 3 * 10**9),
        (" 7 ", 7),
        ("1.000000000000000000000000000001e30", 10**30 + 1),
    ],
)
def test_a_whole_number_may_be_written_briefly(text: str, number: int) -> None:
    assert read(int, text) == number
    assert type(read(int, text)) is int


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "many", "10X", "10m", "10g", "1.5", "1e-1", "2.5001k", "1__0", "_1", "1_", "."),
        *("1 000", "1,000", "0x10", "nan", "inf", "1e", "1e999", "1e999999999", "--5", "5kM"),
        *("\u0665", "9" * 10_000, "1." + "0" * 10_000),
    ],
)
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no whole number, such as 200"):
        read(int, text)


def small_parser() -> Parser:
    parser = Parser(prog="mapush.small")
    parser.add_argument("--num_envs", type=int)
    parser.add_argument("--max-running", type=int, nargs="+")
    parser.add_argument("--rate", type=float)
    parser.add_argument("--kind", choices=("short", "long"))
    parser.add_argument("--exp", required=True)
    return parser


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--exp a --num_env 5", "unknown option --num_env; did you mean --num_envs? {see}"),
        ("--exp a --num-envs 5", "unknown option --num-envs; did you mean --num_envs? {see}"),
        ("--exp a --max_running=5", "unknown option --max_running; did you mean --max-run"),
        ("--exp a -num_envs 5", "unknown option -num_envs; did you mean --num_envs? {see}"),
        ("--exp a --NUM_ENVS 5", "unknown option --NUM_ENVS; did you mean --num_envs? {see}"),
        ("--exp a --frobnicate", "unknown option --frobnicate; {see}"),
        ("--ex a", "unknown option --ex; did you mean --exp? {see}"),
        ("--num_env 5 --kind x", "unknown option --num_env; did you mean --num_envs? {see}"),
        ("--num_envs -5 --kind short", "the following arguments are required: --exp; {see}"),
        ("--exp a b", "b: follows no option that takes it; {see}"),
        ("--exp a 'b c'", "'b c': follows no option that takes it; {see}"),
        ("--exp a -- --x", "unknown option --x; {see}"),
        ("--exp", "--exp: expected one argument; {see}"),
        ("--exp a --kind shrt", "--kind 'shrt': did you mean short? there are: short, long; {see}"),
        ("--exp a --kind ?", "--kind '?': there are: short, long; {see}"),
        ("--exp a --num_envs 10X", "--num_envs 10X: is no whole number, such as 200, 10_000, 1e6"),
        ("--exp a --num_envs ''", "--num_envs '': is no whole number"),
        ("--exp a --num_envs 'a\nb'", "--num_envs 'a\\nb': is no whole number"),
        ("--exp a --max-running 1 2x", "--max-running 2x: is no whole number"),
        ("--exp a --rate high", "--rate high: is no number, such as 0.5 or 1e-3"),
    ],
)
def test_a_wrong_option_is_one_line_that_names_it_and_the_right_one(words: str, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        small_parser().parse_args(shlex.split(words))
    message = str(caught.value)
    assert message.startswith(said.format(see="see python -m mapush.small --help"))
    assert "\n" not in message


def test_numbers_are_read_by_every_option_that_takes_one_and_may_be_negative() -> None:
    words = "--exp a --num_envs -5M --max-running 2.5k 1e3 --rate -1e-3"
    parsed = small_parser().parse_args(words.split())
    assert (parsed.num_envs, parsed.max_running, parsed.rate) == (-5_000_000, [2500, 1000], -1e-3)


def test_help_is_given_even_beside_a_misspelt_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        small_parser().parse_args(["--num_env", "5", "--help"])
    assert caught.value.code == 0
    assert "--num_envs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("shwo x", "command 'shwo': did you mean show? there are: show, verify, prune, export"),
        (
            "show x --rot y",
            "unknown option --rot; did you mean --root? see python -m mapush.runs show",
        ),
        (
            "prune x --kep all",
            "unknown option --kep; did you mean --keep? see python -m mapush.runs",
        ),
        ("show x --keep all", "unknown option --keep; see python -m mapush.runs show --help"),
        ("--jsn", "unknown option --jsn; did you mean --json? see python -m mapush.runs --help"),
        ("--rot x show y", "unknown option --rot; did you mean --root?"),
        (
            "prune x",
            "the following arguments are required: --keep; see python -m mapush.runs prune",
        ),
        ("show x y", "y: follows no option that takes it; see python -m mapush.runs show --help"),
        ("export x --format onx", "--format 'onx': did you mean onnx?"),
    ],
)
def test_a_subcommand_suggests_its_own_options(words: str, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        runs_parser().parse_args(words.split())
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sed", "1"], "unknown option --sed; did you mean --seed? see python -m first --help"),
        (
            ["x", "--max-run"],
            "unknown option --max-run; did you mean --max_run? see python -m first",
        ),
    ],
)
def test_options_of_several_parsers_are_suggested(words: List[str], said: str) -> None:
    first, second = Parser(prog="first"), Parser(prog="second")
    first.add_argument("--max_run")
    second.add_argument("--seed")
    assert str(unknown_option(words, first, second)).startswith(said)


def test_a_command_line_can_be_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("--run", "it's a run", "--root", str(tmp_path / "two words"))
    line = command_line("mapush.train", *words[:2], root=tmp_path / "two words")
    assert shlex.split(line) == ["python", "-m", "mapush.train", *words]
    assert command_line("mapush.train", root=tmp_path) == "python -m mapush.train"
    assert command_line("mapush.train", root=Path()) == "python -m mapush.train"
