"""A profile's fields as options of a command."""

from __future__ import annotations

import argparse
from typing import Any, Dict, Optional, Union, get_args, get_origin, get_type_hints

from mapush.launch.profile import BATCH_SCRIPT, DEFAULT, Profile

_PROFILE = "profile_"  # before the name of a field, since an option of ours may have the same


def add_profile(group: argparse._ActionsContainer) -> None:
    """Add `--profile` and an option for each of a profile's fields; see `profile_changes`."""
    group.add_argument(
        "--profile",
        metavar="NAME",
        help="job/profiles/NAME.yaml, or a path; the options below win over it "
        f"(default: {DEFAULT})",
    )
    hints = get_type_hints(Profile)
    for name, field in Profile.model_fields.items():
        kind = hints[name]
        if get_origin(kind) is Union:
            kind = next(each for each in get_args(kind) if each is not type(None))
        default = "none" if field.default in (None, ()) else field.default
        if field.is_required():
            default = f"as in {BATCH_SCRIPT}"
        settings: Dict[str, Any] = {
            "dest": _PROFILE + name,
            "default": argparse.SUPPRESS,
            "help": f"{field.description} (default: {default})".replace("%", "%%"),
        }
        flag = f"--{name.replace('_', '-')}"
        if kind is bool:
            group.add_argument(flag, type=bool, nargs="?", const=True, metavar="BOOL", **settings)
        elif get_origin(kind) is tuple:
            group.add_argument(flag, nargs="+", metavar="TEXT", **settings)
        elif kind is int:
            group.add_argument(flag, type=int, metavar="N", **settings)
        elif field.default is None:
            group.add_argument(flag, type=_optional, metavar="TEXT", **settings)
        else:
            choices = get_args(kind)
            metavar = "{" + ",".join(choices) + "}" if choices else "TEXT"
            group.add_argument(flag, metavar=metavar, **settings)


def _optional(text: str) -> Optional[str]:
    return None if text == "none" else text


def profile_changes(options: argparse.Namespace) -> Dict[str, Any]:
    """The fields of a profile that were given as options of `add_profile`, by name."""
    pairs = vars(options).items()
    return {name[len(_PROFILE) :]: value for name, value in pairs if name.startswith(_PROFILE)}
