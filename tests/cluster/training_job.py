"""One real training under SLURM, as a user sends it off, and what can be seen from outside."""

from __future__ import annotations

import dataclasses
import os
import re
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import yaml

from tests.cluster.cluster import WAITING, Cluster, Overdue, wait_for

SUBMIT, SBATCH = "submit", "sbatch"
FORMS = (SUBMIT, SBATCH)
ROLLOUT = 400  # environment steps
# A checkpoint comes at every fifth boundary, so that a signal finds the last boundary unsaved and a
# kill loses something.
# So many epochs that an update lasts: a run must not be over before it is interrupted.
SETTINGS = (
    "--num_envs 20 --decisions 4 --hold 5 --epochs 36 --save_freq 2000 --eval_freq 0 "
    "--eval_envs 4 --final_envs 0 --keep all"
).split()
STEPS = 10_000

# Python's own takes 20 times as long, which is felt where many jobs are looked at all the time.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UPDATE = re.compile(r"^ +steps: (\d+)$", re.MULTILINE)
_INTERRUPTED = re.compile(r"^\[.*?\] .*\binterrupted \((.*?)\): ", re.MULTILINE)
_GOING_ON = re.compile(r"^\[.*?\] .*\bresumed: ", re.MULTILINE)
_PATIENCE = 120.0  # seconds; everything here takes a few on a free machine


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one interruption cost, as seen from outside."""

    steps_lost: int
    to_checkpoint: Optional[float]
    """Seconds from the signal until the checkpoint was durable; None where nothing was said."""
    to_running: float
    """Seconds from the signal, or the attack, until the first update after the restart."""


@dataclasses.dataclass
class TrainingJob:
    """A job that was sent off, or a member of an array; `id` is SLURM's."""

    cluster: Cluster
    root: Path
    id: str
    form: str

    @property
    def folder(self) -> Path:
        """What the job keeps of itself, by whichever form it was sent off."""
        places = self.root / "log" / "submit"
        if self.form == SBATCH:
            return places / f"slurm-{self.id}"
        for path in places.glob("*/slurm"):
            if path.read_text() == self.id:
                return path.parent
        raise AssertionError(f"no folder under {places} is that of SLURM's job {self.id}")

    def show(self) -> Dict[str, str]:
        """What SLURM says of it."""
        return self.cluster.show(self.id)

    def node(self) -> str:
        """Where it runs."""
        return self.show().get("NodeList", "")

    def runs(self) -> List[Path]:
        """All results directories under its root."""
        places = self.root / "results"
        return sorted(p for p in places.iterdir() if p.is_dir()) if places.is_dir() else []

    def record(self) -> Dict[str, Any]:
        """run.yaml of its run; {} while there is none."""
        try:
            text = (self.folder / "run" / "run.yaml").read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        return yaml.load(text, Loader=_LOADER) or {}

    def ledger(self) -> List[Dict[str, Any]]:
        """The interruptions in run.yaml."""
        return self.record().get("interruptions", [])

    def log(self) -> str:
        """The run's log.txt, wherever it is by now."""
        record = self.record()
        for place in (record.get("live"), record.get("results")):
            if place:
                try:
                    return (self.root / place / "log.txt").read_text(errors="replace")
                except FileNotFoundError:
                    continue
        return ""

    def output(self) -> str:
        """Everything that the job has said."""
        try:
            return (self.folder / "job.log").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def trainer(self) -> int:
        """The process that trains, or trained last."""
        return int(self.record()["owner"]["pid"])

    def checkpoints(self) -> List[int]:
        """The steps of those in the live directory."""
        found = (self.root / str(self.record().get("live"))).glob("checkpoints/rl_model_*_steps")
        return [int(path.name.split("_")[2]) for path in found]

    def checkpoint(self, step: int) -> Path:
        """The directory of a checkpoint, wherever it is by now."""
        record = self.record()
        name = f"checkpoints/rl_model_{step}_steps"
        places = [self.root / record[key] / name for key in ("live", "results")]
        return next((place for place in places if place.is_dir()), places[0])

    def await_training(self, restarts: int = 0) -> None:
        """Wait until it trains after so many restarts, two updates past its last checkpoint.

        Raises:
            Overdue: If that does not come.
        """
        self._await(f"training after {restarts} restarts", lambda: self._trains(restarts))

    def interruption(self, number: int, since: float) -> Cost:
        """Wait until the training continues after its `number`-th interruption, from 1.

        Args:
            number: Counts the interruptions.
            since: When it was attacked, in seconds since the epoch.

        Raises:
            Overdue: If it does not go on.
        """
        self._await(f"interruption {number} to be over", lambda: self._resumed(number))
        now = time.time()
        note = self.ledger()[number - 1]
        said = self.cluster.signalled(self.id, since)
        signalled = said[0] if said else since
        durable = None
        if str(note["signal"]).startswith("SIG"):
            changed = self.checkpoint(int(note["step"])).stat().st_ctime
            durable = max(changed - signalled, 0.0)
        return Cost(int(note["steps_lost"]), durable, now - signalled)

    def await_words(self, words: str) -> None:
        """Wait until the job or its run says something, given as a regular expression.

        Raises:
            Overdue: If that does not come.
        """
        said = re.compile(words)
        self._await(f"{words!r}", lambda: said.search(self.output() + self.log()))

    def await_end(self, seconds: float = _PATIENCE, alone: bool = True) -> str:
        """Wait until SLURM is done with the job and nothing of it runs, and say its state.

        Args:
            seconds: How long.
            alone: Whether its root has no other jobs, so that no process may know it any more.

        Raises:
            Overdue: If that does not come.
        """
        self._await("the job's end", lambda: not self._is_going(), seconds, every=0.5)
        if alone:
            self._await("all of its processes gone", lambda: not processes_of(self.root), 30)
        return self.cluster.state(self.id)

    def interrupted_lines(self) -> List[str]:
        """The signals of the lines that log.txt has of interruptions."""
        return _INTERRUPTED.findall(self.log())

    def going_on_lines(self) -> int:
        """How often log.txt says that the training continues."""
        return len(_GOING_ON.findall(self.log()))

    def describe(self) -> str:
        """All that helps to understand a failure."""
        if not self.cluster.is_up:
            return ""
        lines = [
            f"{self.form} on {self.cluster.name}, job {self.id}, {self.root}",
            str(self.show()),
        ]
        lines += [f"process {pid}: {line}" for pid, line in processes_of(self.root)]
        lines += ["job.log:", self.output()[-3000:], "log.txt:", self.log()[-1500:]]
        outputs = sorted(self.root.glob("slurm-*.log"))
        outputs += sorted(self.root.glob("log/submit/*/*.out"))
        for path in outputs:
            lines += [f"{path}:", path.read_text(errors="replace")[-1500:]]
        return "\n".join([*lines, str(self.record())])

    def _trains(self, restarts: int) -> bool:
        since = _GOING_ON.split(self.log())
        updates = _UPDATE.findall(since[-1])
        if len(since) != restarts + 1 or not updates or self.record().get("status") != "running":
            return False
        saved = self.checkpoints()
        return bool(saved) and int(updates[-1]) - max(saved) >= 2 * ROLLOUT

    def _resumed(self, number: int) -> bool:
        since = _GOING_ON.split(self.log())
        if len(since) < number + 1 or len(self.ledger()) < number:
            return False
        return bool(_UPDATE.search(since[number])) or self.record().get("status") == "complete"

    def _is_going(self) -> bool:
        return self.cluster.state(self.id) in ("RUNNING", *WAITING)

    def _await(
        self, what: str, get: Callable[[], Any], seconds: float = _PATIENCE, every: float = 0.2
    ) -> None:
        def ask() -> Any:
            if not self.cluster.is_up:
                raise Overdue("the cluster was stopped")
            return get()

        try:
            wait_for(what, ask, seconds, every)
        except Overdue as error:
            raise Overdue(f"{error}\n{self.describe()}") from None


def start(
    cluster: Cluster,
    form: str,
    root: Path,
    constraint: str,
    partition: str = "low",
    options: Sequence[str] = (),
    steps: int = STEPS,
    time_limit: int = 0,
    signal_lead: int = 0,
    launcher: Sequence[str] = (),
    run: Optional[Callable[..., str]] = None,
) -> TrainingJob:
    """Send a small training off.

    Args:
        cluster: Where.
        form: `SUBMIT` or `SBATCH`.
        root: Its results/ and log/.
        constraint: Feature of the nodes.
        partition: Partition.
        options: Of the trainer, last.
        steps: To train.
        time_limit: Minutes; 0 for the form's own.
        signal_lead: Seconds before it at which the signal is asked for; 0 for the form's own.
        launcher: Further options of mapush.submit or sbatch.
        run: Runs a command and gives what it prints; `cluster.run` unless given.
    """
    run = run or cluster.run
    trainer = [*SETTINGS, "--train_timesteps", str(steps), "--root", str(root), *options]
    where = ["--partition", partition, "--constraint", constraint, *launcher]
    if time_limit:
        where += ["--time", str(time_limit)]
    if form == SBATCH:
        if signal_lead:
            where.append(f"--signal=USR2@{signal_lead}")
        root.mkdir(parents=True, exist_ok=True)
        where.append(f"--output={root}/slurm-%j.log")
        said = run("sbatch", "--parsable", *where, "slurm/train.sh", "--exp", "cuboid", *trainer)
        return TrainingJob(cluster, root, said.split()[-1], form)
    if signal_lead:
        where += ["--signal-lead", str(signal_lead)]
    submit = ["python", "-m", "mapush.submit", "--exp", "cuboid", "--gpus", "0"]
    said = run(*submit, *where, *trainer)
    ids = sorted(path.read_text() for path in root.glob("log/submit/*/slurm"))
    if not ids:
        raise AssertionError(f"mapush.submit has not said under which id SLURM runs it: {said}")
    return TrainingJob(cluster, root, ids[0], form)


def processes_of(root: Path) -> List[Tuple[int, str]]:
    """Living processes that know a root by their command line or environment, but this one."""
    # A root named 1 is not the beginning of one named 12.
    knows, found = re.compile(re.escape(os.fsencode(root)) + rb"(?!\w)").search, []
    for pid in _processes():
        if pid == os.getpid():
            continue
        try:
            place = Path(f"/proc/{pid}")
            command = (place / "cmdline").read_bytes()
            # A zombie has neither.
            if knows(command) or knows((place / "environ").read_bytes()):
                found.append((pid, command.replace(b"\0", b" ").decode(errors="replace")[:200]))
        except OSError:
            continue
    return found


def ancestors(pid: int) -> List[Tuple[int, str]]:
    """A process and those above it, nearest first, with their command lines."""
    found = []
    while pid > 1:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            break
        found.append((pid, command))
        pid = int(stat.rpartition(")")[2].split()[1])
    return found


def _processes() -> List[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def process_state(pid: int) -> str:
    """The letter that /proc has for a process, such as T for stopped; empty once it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    """Whether a process can still do something."""
    return process_state(pid) not in ("", "Z", "X")
