"""Whether a run can be trained as it is asked for, found out before anything is written."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import List, Sequence, Tuple

from mapush.errors import RequestError
from mapush.files import check_path
from mapush.launch.send import Member, is_there
from mapush.runs.naming import check_plain
from mapush.tasks import load_task, task_folder
from mapush.tasks.change import change_task, read_changes
from mapush.training.config import build_config
from mapush.training.options import PATHS, build_parser, read_options, with_options

# Outside a comment: the experiment by its name, not from a variable.
_EXP = re.compile(r"^[^#\n]*?--exp[= ]+[\"']?([\w.+-]+)[\"']?(?=\s|$)", re.MULTILINE)


def check_member(exp: str, arguments: Tuple[str, ...]) -> Member:
    """One run, checked: its task, its train.sh and the trainer's options.

    Args:
        exp: Folder under `task/`.
        arguments: Further options of the trainer.

    Raises:
        RequestError: If something is wrong with it.
    """
    for word in arguments:
        # As job.json is.
        if word != word.encode("utf-8", "replace").decode("utf-8"):
            raise RequestError(f"{word!r}: is no UTF-8, which a job's options must be; rename it")
    folder = task_folder(exp)
    task = load_task(folder)
    _check_script(folder, exp)
    trainer = build_parser().parse_args(["--exp", exp, *arguments])
    wanted = read_options(trainer)
    values = {"exp_name": exp, **wanted.options, "changes": wanted.changes}
    check_plain("--exp_name", values["exp_name"])
    build_config(values)
    change_task(task, read_changes(task, wanted.sets, PATHS))
    if trainer.checkpoint is not None and not is_there(trainer.checkpoint):
        raise RequestError(f"--checkpoint {trainer.checkpoint}: is not there; name a module.pt")
    return Member(exp, folder, arguments)


def check_root(root: Path, for_sbatch: bool) -> None:
    """Refuse a root that a job cannot work in.

    Args:
        root: Holds `results/` and `log/`.
        for_sbatch: Whether its path stands in a batch script.

    Raises:
        RequestError: If it is such a one.
    """
    text, why = str(check_path("--root", root)), ""
    if ":" in text:
        why = "Python cannot import from a path with a colon, and the job's code lies there"
    elif "%" in text or (for_sbatch and "\\" in text):
        why = "SLURM and submitit take % and \\ in a path for signs of their own"
    if why:
        raise RequestError(f"--root {text!r}: {why}; choose another directory")


def settled(words: Sequence[str]) -> Tuple[str, ...]:
    """The trainer's options as its job gets them.

    With paths in full, since the job runs in a directory of its own, and with an option for each
    `--set` of a value that has one, since the task's train.sh may give that option too.
    """
    found: List[str] = []
    for word in with_options(words):
        before = found[-1] if found else ""
        name, mark, value = word.partition("=")
        if mark and name in ("--checkpoint", "--run"):
            found.append(f"{name}={_full(name, value)}")
        elif before in ("--checkpoint", "--run"):
            found.append(_full(before, word))
        else:
            found.append(word)
    return tuple(found)


def _full(name: str, value: str) -> str:
    is_path = name == "--checkpoint"
    with contextlib.suppress(OSError):
        is_path = is_path or Path(value).is_dir()
    return str(Path(value).absolute()) if is_path else value


def _check_script(folder: Path, exp: str) -> None:
    """A train.sh that was copied from another task may still train that one."""
    script = folder / "train.sh"
    try:
        text = script.read_text(encoding="utf-8", errors="replace")
    except OSError:
        raise RequestError(
            f"{script}: is missing; a task folder holds config.py and train.sh"
        ) from None
    for named in _EXP.findall(text):
        if named != exp:
            raise RequestError(
                f"{script}: trains --exp {named}, not {exp}; write --exp {exp} there"
            )
