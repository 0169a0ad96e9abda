"""What `scontrol show` prints, as values. Pure; what is not there or not understood is None."""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Set, Tuple

Record = Dict[str, str]

_SETTING = re.compile(r"^(\S+)[ \t]*=[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_FIELD = re.compile(r"(\w+)=(\S*)")
_TIME = re.compile(r"(?:(\d+)-)?(\d+):(\d+):(\d+)")
_WHOLE = re.compile(r"(\d+)")
_MEMORY = re.compile(r"(\d+)([KMGT]?)")
_MEGABYTES = {"K": 1 / 1024, "": 1, "M": 1, "G": 1024, "T": 1024 * 1024}
_GRES = re.compile(r"(\w+)(?::([^:(),]+))?:(\d+)(?:\([^)]*\))?$")
_NOTHING = ("", "(null)", "N/A", "NONE", "None", "n/a")

UNLIMITED = float("inf")


def settings(text: str) -> Record:
    """`scontrol show config` by name."""
    return dict(_SETTING.findall(text))


def records(text: str) -> List[Record]:
    """`scontrol -o show partition` or `node`: one for each line."""
    found = []
    for line in text.splitlines():
        record: Record = {}
        for name, value in _FIELD.findall(line):
            # The first: a node's Reason, last in the line, is free text.
            record.setdefault(name, value)
        if record:
            found.append(record)
    return found


def plain(value: Optional[str]) -> str:
    """A value, empty where SLURM shows that there is none."""
    return "" if value is None or value in _NOTHING else value


def number(value: Optional[str]) -> Optional[int]:
    """The number that a value begins with, such as 5 of `5 sec`."""
    match = _WHOLE.match(value or "")
    return int(match[1]) if match else None


def seconds(value: Optional[str]) -> Optional[float]:
    """A time such as `1-00:00:00`, in seconds; infinite for UNLIMITED."""
    if value in ("UNLIMITED", "INFINITE"):
        return UNLIMITED
    match = _TIME.fullmatch(value or "")
    if not match:
        return None
    days, hours, minutes, rest = (int(group or 0) for group in match.groups())
    return float(days * 86400 + hours * 3600 + minutes * 60 + rest)


def megabytes(value: str) -> float:
    """An amount of memory as sbatch takes it, such as 8G; in MB unless it says otherwise."""
    match = _MEMORY.fullmatch(value)
    return int(match[1]) * _MEGABYTES[match[2]] if match else 0.0


def gpus(value: Optional[str]) -> Dict[str, int]:
    """GPUs of a node by their type; the type is empty where the cluster names none."""
    found: Dict[str, int] = {}
    # Sockets stand in parentheses, with commas: gpu:a100:4(S:0,1)
    for entry in re.split(r",(?![^(]*\))", plain(value)):
        match = _GRES.match(entry)
        if match and match[1] == "gpu":
            kind = match[2] or ""
            found[kind] = found.get(kind, 0) + int(match[3])
    return found


def names(value: Optional[str]) -> Set[str]:
    """A list with commas."""
    return {each for each in plain(value).split(",") if each}


def allowed(record: Record, kind: str) -> Tuple[Optional[Set[str]], Set[str]]:
    """Who may use a partition: those that `Allow<kind>` lists, None for all; and `Deny<kind>`."""
    listed = plain(record.get(f"Allow{kind}"))
    return (None if listed in ("", "ALL") else names(listed)), names(record.get(f"Deny{kind}"))


def features_met(constraint: str, features: Set[str]) -> Optional[bool]:
    """Whether a node has what `--constraint` asks for; None for forms that are not understood."""
    if not re.fullmatch(r"[\w.:-]+(?:[&|,][\w.:-]+)*", constraint):
        return None
    # & and , bind equally in SLURM's simple forms; a mixture is read from left to right.
    words = re.split(r"([&|,])", constraint)
    met = words[0] in features
    for sign, word in zip(words[1::2], words[2::2]):
        met = (met or word in features) if sign == "|" else (met and word in features)
    return met


def exit_codes(value: Optional[str]) -> Set[int]:
    """A list of exit codes such as `1-3,75`."""
    found: Set[int] = set()
    for part in plain(value).split(","):
        first, dash, last = part.partition("-")
        if first.isdecimal() and (not dash or last.isdecimal()):
            found.update(range(int(first), min(int(last or first), 255) + 1))
    return found
