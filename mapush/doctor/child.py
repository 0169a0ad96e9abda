"""Tries the trainer's Python in the very child shell of a job, after its modules and set-up lines.

Python 3.6, the standard library and what is so too: see `look`.
"""

import json
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

from mapush.doctor.ask import Answer, ask, one_line
from mapush.doctor.finding import LOSS, OK, WARNING, Finding
from mapush.launch.node import trainer, verdict
from mapush.launch.node.scheduler import STEP

SECONDS = 180.0
"""To start a container and import torch there; a first start unpacks the image."""

# Each may keep the trainer from starting, and reaches it as it was set where the job was sent.
CARRIED = ("BASH_ENV", "LD_AUDIT", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONHOME", "PYTHONPATH")

_PROBE = Path(__file__).with_name("probe.py")
_FOUND = re.compile(r"^mapush:(\{.*\})$", re.MULTILINE)
_MARK = "mapush-failed:"
_FAILED = re.compile(_MARK + r"(\d+):(\d+):0$", re.MULTILINE)
# Before the user's lines: says which of them fail, by their numbers, and in how many files deep;
# what fails within a file is for that to handle. What follows is as without it.
_WATCH = (
    f"trap \"printf '{_MARK}%s:%s:%s\\n' "
    r"""\$? \$((LINENO-$LINENO)) \${#BASH_SOURCE[@]} >&199" ERR"""
)
_OF_MODULES = re.compile(r"\b(module|ml)\b")
_NO_TRAINER = "no trainer starts"
_FIX_LINE = "fix the line in the profile: --modules, --setup"


class Child:
    """A job's child shell.

    Args:
        section: Of the findings.
        request: The content of job.json.
        environment: The one that the shell is started in.
        wanted: What is asked of its Python: see `Question.wanted`.
    """

    def __init__(
        self,
        section: str,
        request: Mapping[str, Any],
        environment: Mapping[str, str],
        wanted: Mapping[str, Any],
    ) -> None:
        self._section = section
        self._request = request
        self._environment = environment
        self._wanted = wanted
        self._lines = trainer.set_up(request["profile"])

    def examine(self) -> List[Finding]:
        """Run the lines and the Python, and say what fails, by whose fault."""
        answer = self._run(self._lines, self._environment)
        line, variable = "", ""
        if answer.code is not None and not _is_good(answer):
            line, variable = self._culprit(_has_ended(answer))
        found = list(self._lines_that_fail(answer, line))
        if self._lines and not found:
            what = f"{len(self._lines)} run without a complaint"
            found.append(self._finding("set-up lines", OK, what))
        if variable:
            what = f"as it is set here the trainer's Python fails: {_why(answer)}"
            fix = f"unset {variable}, or set it in a set-up line of the profile"
            found.append(Finding("environment", variable, LOSS, what, _NO_TRAINER, fix))
            return found
        has_fault = line or _has_ended(answer)
        return found if has_fault else [*found, *self._python(answer)]

    def _finding(self, name: str, level: str, what: str, cost: str = "", fix: str = "") -> Finding:
        return Finding(self._section, name, level, what, cost, fix)

    def _run(self, lines: Sequence[str], environment: Mapping[str, str]) -> Answer:
        profile = dict(self._request["profile"], modules=(), setup=[_WATCH, *lines])
        words = [trainer.BASH, "-c", 'exec "$PYTHON" "$@"', "doctor"]
        words += ["-c", _PROBE.read_text(encoding="utf-8"), json.dumps(self._wanted)]
        words = [*STEP, *trainer.shell(dict(self._request, profile=profile), words)]
        directory = self._request["code"]["path"]
        return ask(words, SECONDS, trainer.put_aside(environment), directory)

    def _culprit(self, has_ended: bool) -> Tuple[str, str]:
        """The line, or the variable, without which it goes better; both empty if there is none."""
        for count in range(len(self._lines) - 1, -1, -1):
            answer = self._run(self._lines[:count], self._environment)
            if _is_good(answer) or (has_ended and not _has_ended(answer)):
                return self._lines[count], ""
        for name in self._environment:
            if name in CARRIED or name.startswith("BASH_FUNC_"):
                rest = {key: v for key, v in self._environment.items() if key != name}
                if _is_good(self._run(self._lines, rest)):
                    return "", name
        return "", ""

    def _lines_that_fail(self, answer: Answer, line: str) -> Iterator[Finding]:
        name = "set-up lines"
        if _has_ended(answer):
            what = f"{line!r} ends" if line else "something in the lines or the shell's start ends"
            what = f"{what} the shell before the trainer is started"
            yield self._finding(name, LOSS, what, _NO_TRAINER, _FIX_LINE)
        elif line:
            what = f"after {line!r} the trainer's Python fails: {_why(answer)}"
            yield self._finding(name, LOSS, what, _NO_TRAINER, _FIX_LINE)
        for code, number in _FAILED.findall(answer.err):
            failed = self._lines[min(int(number), len(self._lines)) - 1]
            what = f"{failed!r} fails (exit code {code})"
            if _OF_MODULES.search(failed):
                yield self._finding(name, LOSS, what, "jobs run without the module", _FIX_LINE)
            elif failed != line:
                yield self._finding(name, WARNING, what, "jobs run without its effect", _FIX_LINE)

    def _python(self, answer: Answer) -> Iterator[Finding]:
        said, wanted = read_facts(answer.out), self._wanted
        image = self._request["profile"]["container"]
        if not said:
            fix = "--python, a Python that is there where jobs run"
            if image:
                fix = "--container, --runtime and --setup choose the image and load what runs it"
            name = "container" if image else "Python"
            yield self._finding(name, LOSS, _last_words(answer), _NO_TRAINER, fix)
            return
        if image:
            yield self._finding("container", OK, f"{image}: can be entered")
        if not said["writable"]:
            what = f"{self._request['root']}: cannot be written by the trainer"
            fix = "have it mounted with the same user, or another --runtime"
            yield self._finding("root", LOSS, what, "a run cannot begin", fix)
        what = f"Python {'.'.join(map(str, said['version']))} at {said['executable']}"
        if said["version"][:2] < wanted["python"]:
            cost = "the trainer needs Python {}.{} or newer".format(*wanted["python"])
            fix = "--python, or another --container"
            yield self._finding("Python", LOSS, what, cost, fix)
        else:
            yield self._finding("Python", OK, what)
        yield self._packages(said)
        if said["refusal"]:
            cost = "the trainer ends with exit code 2 at its start"
            yield self._finding("simulator", LOSS, one_line(said["refusal"], 400), cost)
        elif wanted["gpus"]:
            yield self._gpus(said["gpus"])

    def _packages(self, said: Mapping[str, Any]) -> Finding:
        if said["missing"] or said["errors"]:
            fix = f"install them for {said['executable']}, or name another with --python"
            what = f"cannot be imported: {_why_not(dict(said, refusal=''))}"
            return self._finding("packages", LOSS, what, "the trainer fails at its start", fix)
        shown = [f"{module} {version}" for module, version in said["found"].items() if version]
        return self._finding("packages", OK, f"can be imported: {', '.join(shown)}")

    def _gpus(self, names: Sequence[str]) -> Finding:
        count = self._wanted["gpus"]
        models = f" ({', '.join(sorted(set(names)))})" if names else ""
        what = f"torch sees {len(names)}{models} of --gpus {count}"
        if len(names) >= count or not self._wanted["uses_gpu"]:
            return self._finding("GPUs", OK, what)
        shown = self._environment.get("CUDA_VISIBLE_DEVICES")
        if shown is not None:
            what += f", with CUDA_VISIBLE_DEVICES={shown!r}"
        fix = "NVIDIA's driver and a torch built for it; CUDA_VISIBLE_DEVICES unset"
        if not self._wanted["needs_gpu"]:
            cost = "the training runs on the CPU, and a GPU is taken from others"
            return self._finding("GPUs", WARNING, what, cost, fix)
        return self._finding("GPUs", LOSS, what, "the trainer ends at its start", fix)


def read_facts(text: str) -> Dict[str, Any]:
    """What a program of ours has printed, among what others have; empty if it has not."""
    match = _FOUND.search(text)
    try:
        found = json.loads(match.group(1)) if match else {}
    except (RecursionError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _has_ended(answer: Answer) -> bool:
    return answer.code == verdict.SET_UP_ENDED


def _is_good(answer: Answer) -> bool:
    said = read_facts(answer.out)
    return bool(said) and not (said["missing"] or said["errors"] or said["refusal"])


def _why(answer: Answer) -> str:
    """Why the trainer's Python cannot be used, in one line."""
    return _why_not(read_facts(answer.out)) or _last_words(answer)


def _why_not(said: Mapping[str, Any]) -> str:
    wrong = [f"{package} is missing" for package in said.get("missing", ())]
    wrong += [f"{module} ({why})" for module, why in said.get("errors", {}).items()]
    return one_line(", ".join([*wrong, said.get("refusal", "")]).strip(", "))


def _last_words(answer: Answer) -> str:
    """What it has said last that tells why it failed."""
    lines = [line.strip() for line in answer.err.splitlines() if _MARK not in line and line.strip()]
    ours = [line.replace("mapush: ", "", 1) for line in lines if line.startswith("mapush: ")]
    said = ours or [line for line in lines if "Error: " in line] or lines
    silent = f"it ends with exit code {answer.code} and says nothing"
    return answer.trouble or one_line(re.sub(r"^\w+: line \d+: ", "", said[-1] if said else silent))
