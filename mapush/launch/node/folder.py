"""A job's folder: the request, the log, every start and end, and how the job ended.

job.json         what was asked for; written once, by `mapush.launch.request`
job.log          all that was said, through all restarts
attempts.jsonl   every start and end of a trainer, a line each
outcome.json     how the job ended
run              a link to the results directory, made by the trainer
slurm            SLURM's id; pid: the supervisor's process, where there is no SLURM
"""

import contextlib
import json
import os
import time
from typing import Any, Dict, List, NamedTuple, Optional

from mapush.launch.node.verdict import Attempt

REQUEST = "job.json"
LOG = "job.log"
ATTEMPTS = "attempts.jsonl"
OUTCOME = "outcome.json"
RUN_LINK = "run"
SLURM_ID = "slurm"
PROCESS = "pid"

_TAIL_BYTES = 8192
_LOOKS, _PAUSE = 5, 1.0  # seconds


class Ledger(NamedTuple):
    """What is known of a job's attempts since it was last submitted."""

    starts: int
    """How often a trainer was started, over all submissions."""
    ended: List[Attempt]
    node: str
    """Where the last one was; empty if there was none."""


class Outcome(NamedTuple):
    """How a job ended."""

    exit_code: int
    reason: str
    """For people: half a line."""
    message: str = ""
    """The last thing that a trainer which did not finish said."""
    cancelled: bool = False


class Folder:
    """The folder of one job.

    Args:
        path: Its path; it need not exist.
    """

    def __init__(self, path: str) -> None:
        self.path = str(path)
        self.job_id = os.path.basename(self.path)
        """By it the job's trainers find their run."""

    def file(self, name: str) -> str:
        """The path of one of its files."""
        return os.path.join(self.path, name)

    def request(self) -> Dict[str, Any]:
        """The request as plain values, for a supervisor; everything else reads it by pydantic.

        Raises:
            OSError: It cannot be read.
            ValueError: It is damaged.
        """
        text = ""
        for look in range(_LOOKS):
            try:
                with open(self.file(REQUEST), encoding="utf-8") as file:
                    text = file.read()
                break
            except OSError:  # a network file system may show a new folder late, or err for a moment
                if look + 1 == _LOOKS:
                    raise
                time.sleep(_PAUSE)
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError(f"is a {type(found).__name__}, not fields with values")
        return found

    def ledger(self) -> Ledger:
        """The attempts; lines that a kill or a full disk has cut off are passed over.

        Raises:
            OSError: The storage does not tell.
        """
        starts, node, data = 0, "", b""
        ended: List[Attempt] = []
        with contextlib.suppress(FileNotFoundError), open(self.file(ATTEMPTS), "rb") as file:
            data = file.read()
        for line in data.decode("utf-8", "replace").splitlines():
            with contextlib.suppress(ValueError, AttributeError, RecursionError):
                found = json.loads(line)
                event = found.get("event")
                if event == "submit":
                    ended = []
                elif event == "start":
                    starts += 1
                    node = str(found.get("node", ""))[:100]
                elif event == "end":
                    ended.append(Attempt(_whole(found.get("code")), _whole(found.get("step"))))
        return Ledger(starts, ended, node)

    def note(self, event: str, **facts: Any) -> None:
        """Add a line to the ledger: `submit`, which begins the count anew, `start` or `end`.

        Raises:
            OSError: It cannot be written.
        """
        with open(self.file(ATTEMPTS), "ab") as file:
            # The line before may have been cut off by a full disk.
            file.write(f"\n{json.dumps(dict(facts, event=event))}\n".encode("ascii"))

    def outcome(self) -> Optional[Outcome]:
        """How the job ended; None while it has not, or if that cannot be read."""
        try:
            with open(self.file(OUTCOME), encoding="utf-8") as file:
                found = json.load(file)
            return Outcome(
                _whole(found["exit_code"]),
                str(found["reason"]),
                str(found["message"]),
                found.get("cancelled") is True,
            )
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    def write_outcome(self, outcome: Outcome) -> None:
        """Say how the job ended.

        Raises:
            OSError: It cannot be written.
        """
        replace(self.file(OUTCOME), json.dumps(outcome._asdict()).encode("ascii"))

    def clear_outcome(self) -> None:
        """A trainer is started again."""
        with contextlib.suppress(OSError):
            os.unlink(self.file(OUTCOME))

    def log_bytes(self) -> int:
        """How much the log holds now."""
        try:
            return os.stat(self.file(LOG)).st_size
        except OSError:
            return 0

    def last_words(self, begin: int) -> str:
        """The line by which a trainer says why it ended, from `begin` bytes on: `mapush: ...`.

        A trainer that died of something else has its last line quoted; a silent one has none.
        """
        try:
            with open(self.file(LOG), "rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(begin, end - _TAIL_BYTES))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        said = [line for line in lines if line.startswith("mapush: ")]
        return (said or lines or [""])[-1].replace("mapush: ", "", 1)


def replace(path: str, data: bytes) -> None:
    """Replace a file so that a kill at any moment leaves the old content or the new one, whole.

    Raises:
        OSError: The storage refuses; the old content is then untouched.
    """
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
