"""The one place that talks to SLURM: its commands, called in an environment of their own.

`sbatch` alone is called by submitit (`mapush.launch.sbatch`), in the environment made here.
Understands what SLURM 20.11 to 25.05 print, and passes over what a site's wrappers print besides.
"""

import calendar
import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

from mapush.errors import MapushError

SECONDS = 30.0
"""A command that has not answered by then is killed."""

# Which cluster is meant, and the right to ask it.
_CLUSTER = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SBATCH_CLUSTERS", "SLURM_JWT")
# What SLURM's commands read, or SLURM has set for the job that this process runs in: options,
# formats, ids, bindings, GPUs.
_OF_SLURM = re.compile(
    r"_?(SLURM|SLURMD|SLURMCTLD|SBATCH|SRUN|SALLOC|SQUEUE|SCONTROL|SCANCEL|SINFO|SACCT|SPANK|PMI|PMI2|PMIX)_"
    r"|SLURM|SLUID|OMPI_MCA_plm_slurm_args|PRTE_MCA_plm_slurm_args"
    r"|(CUDA_VISIBLE_DEVICES|GPU_DEVICE_ORDINAL|ROCR_VISIBLE_DEVICES|HIP_VISIBLE_DEVICES"
    r"|ZE_AFFINITY_MASK)$"
)
# Beside the PATH: where sites have SLURM's commands.
_PLACES = (
    "/usr/bin",
    "/usr/local/bin",
    "/opt/slurm/bin",
    "/opt/slurm/current/bin",
    "/usr/slurm/bin",
)

_NAME = re.compile(r"\s*JobId=(\d+)(?: ArrayJobId=(\d+))?(?: ArrayTaskId=(\S+))?")
_FIELD = re.compile(r"([\w:/]+)=(\S*)")
_TIME = re.compile(r"(?:(\d{1,9})-)?(\d{1,9}(?::\d{1,9}){0,2})$", re.ASCII)
# The lines of `scontrol show job` that are read, by their first field. From the command on there
# is free text, of several lines as a comment may have.
_LINES = ("JobState", "Requeue", "RunTime", "SubmitTime", "StartTime", "PreemptEligibleTime")
_LINES += ("PreemptTime", "NodeList", "BatchHost", "NumNodes", "Partition", "Priority", "Features")
_LINES += ("MinCPUsNode", "Reservation")
_FREE_TEXT = "Command"
_LAST_LINES = ("TresPerNode", "TresPerJob")
# The second of a member that is forgotten while others of its array are not.
_UNKNOWN_JOB = re.compile(r"Invalid job id|Job [\d_+]+ not found")
_OVER = ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY")
_OVER += ("PREEMPTED", "REVOKED", "TIMEOUT")
GONE = "GONE"
_FAILED = re.compile(r"^slurm_load_\w+ error: ", re.MULTILINE)


class SlurmError(MapushError):
    """SLURM has not done what it was asked; the text is one line that says why."""


class NoCommand(SlurmError):
    """One of SLURM's commands is not there."""


class Job(NamedTuple):
    """How SLURM says that a job stands; times in seconds since the epoch, None where unknown."""

    id: str
    """As `squeue` shows it: `ID`, or `ID_INDEX` in an array."""
    state: str
    """Such as PENDING, RUNNING or COMPLETED; `GONE` if SLURM does not know it any more."""
    reason: str = ""
    """Why it is pending, or how it ended; empty without one."""
    start: Optional[float] = None
    """When it started or is to start."""
    restarts: int = 0
    may_requeue: bool = True
    nodes: str = ""
    node_count: int = 1
    end: Optional[float] = None
    limit: Optional[float] = None
    """Time limit in seconds; None without one."""
    preempted: Optional[float] = None
    fields: Mapping[str, str] = {}
    """What else `scontrol show job` says, by its names."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended and SLURM will not start it again."""
        return self.state in _OVER or self.state == GONE

    @property
    def is_pending(self) -> bool:
        """Whether it waits, for its first start or the next one."""
        return self.state == "PENDING"

    def text(self) -> str:
        """The state for people, in half a line."""
        if not self.is_pending:
            return self.state.lower()
        why = [self.reason] if self.reason else []
        if self.start is not None:
            begin = time.strftime("%m-%d %H:%M", time.localtime(self.start))
            why.append("to start about " + begin)
        return "queued ({})".format(", ".join(why)) if why else "queued"


def is_foreign(name: str) -> bool:
    """Whether a variable is one that SLURM set for a job, or that its commands read."""
    return bool(_OF_SLURM.match(name)) and name not in _CLUSTER


def clean(environment: Mapping[str, str]) -> Dict[str, str]:
    """An environment without anything that changes what SLURM's commands print or do.

    What says which cluster is meant stays.
    """
    return {name: value for name, value in environment.items() if not is_foreign(name)}


def find(command: str, environment: Optional[Mapping[str, str]] = None) -> Optional[str]:
    """The full path of one of SLURM's commands: by the PATH, else where sites have them."""
    path = (os.environ if environment is None else environment).get("PATH", os.defpath)
    return shutil.which(command, path=os.pathsep.join([path, *_PLACES]))


def call(
    command: str,
    *arguments: str,
    seconds: float = SECONDS,
    environment: Optional[Mapping[str, str]] = None,
) -> str:
    """What one of SLURM's commands prints.

    Args:
        command: Its name.
        arguments: Its arguments.
        seconds: After these it is killed.
        environment: The caller's, instead of this process's; it is cleaned here.

    Raises:
        NoCommand: It is not there.
        SlurmError: It fails or does not answer.
    """
    given = dict(os.environ if environment is None else environment)
    program = find(command, given)
    if program is None:
        where = given.get("PATH", os.defpath)
        raise NoCommand(f"{command}: not found in PATH ({where})")
    # One time zone and one language, whatever the user has.
    own = dict(clean(given), LC_ALL="C", TZ="UTC")
    libraries = own.pop("LD_LIBRARY_PATH", None)
    words = [program, *arguments]
    try:
        code, out, err = _run(words, own, seconds)
        if code == 127 and libraries is not None:
            code, out, err = _run(words, dict(own, LD_LIBRARY_PATH=libraries), seconds)
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{command}: no answer in {seconds:.0f} s") from None
    # A site's wrapper may lose the exit code, and then a job would seem to have left the queue.
    if code or _FAILED.search(err) or _FAILED.search(out):
        raise SlurmError("{}: {}".format(command, complaint(err + "\n" + out)))
    return out


def complaint(text: str) -> str:
    """What one of SLURM's commands complains of, in one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    cleaned = [re.sub(r"^\w+: (error: |fatal: )?", "", line) for line in lines]
    return "; ".join(cleaned)[:500] or "it failed without a message"


def job(slurm_id: str, environment: Optional[Mapping[str, str]] = None) -> Job:
    """Ask for one job.

    Args:
        slurm_id: `ID`, which in an array is that of one member, or `ID_INDEX`.
        environment: As of `call`.

    Raises:
        SlurmError: If SLURM does not answer, or with nothing that can be understood.
    """
    try:
        answer = call("scontrol", "show", "job", slurm_id, seconds=20.0, environment=environment)
    except SlurmError as error:
        if _UNKNOWN_JOB.search(str(error)):
            return Job(slurm_id, GONE)
        raise
    found = _parsed(answer, slurm_id)
    if found is None:
        raise SlurmError(f"scontrol show job {slurm_id}: {complaint(answer)[:200]}")
    return found


def seconds_of(text: str) -> Optional[float]:
    """A time limit in any form that sbatch takes or SLURM prints, in seconds.

    With days hours come first, as in `1-12` and `1-00:00:00`; else `90` is minutes, `90:00` minutes
    and seconds. None for UNLIMITED and what is no time.
    """
    match = _TIME.match(text)
    if match is None:
        return None
    numbers = [int(each) for each in match[2].split(":")]
    before = 0 if match[1] or len(numbers) == 3 else 1
    hours, minutes, rest = ([0] * before + numbers + [0, 0])[:3]
    return float(int(match[1] or 0) * 86400 + hours * 3600 + minutes * 60 + rest)


def _parsed(answer: str, slurm_id: str) -> Optional[Job]:
    """The wanted job of what `scontrol show job` prints, which may be a whole array."""
    records: List[Tuple[Tuple[str, str, str], Dict[str, str]]] = []
    wanted = _LINES
    for line in answer.splitlines():
        name, first = _NAME.match(line), line.strip().partition("=")[0]
        if name:
            records.append(((name[1], name[2] or "", name[3] or ""), {}))
            wanted = _LINES
        elif first == _FREE_TEXT:
            wanted = _LAST_LINES
        elif records and first in wanted:
            for key, value in _FIELD.findall(line):
                records[-1][1].setdefault(key, value)
    found: List[Tuple[str, Job]] = []
    for (own, array, index), fields in records:
        if "JobState" in fields:
            member = f"{array}_{index}" if array and index.isdigit() else own
            if slurm_id in (own, member):
                return _job(member, fields)
            found.append((array, _job(member, fields)))
    # The member that has the array's own id may be forgotten before the others.
    members = [each for array, each in found if array == slurm_id]
    return next((each for each in members if not each.is_over), members[0] if members else None)


def _job(slurm_id: str, fields: Dict[str, str]) -> Job:
    return Job(
        slurm_id,
        re.split(r"[+,]", fields["JobState"])[0],
        shown(fields.get("Reason", "")),
        moment_of(fields.get("StartTime", "")),
        _count(fields.get("Restarts"), 0),
        fields.get("Requeue", "1") != "0",
        shown(fields.get("NodeList", "")),
        _count(fields.get("NumNodes"), 1),
        moment_of(fields.get("EndTime", "")),
        seconds_of(fields.get("TimeLimit", "")),
        moment_of(fields.get("PreemptTime", "")),
        fields,
    )


def shown(text: str) -> str:
    """What a field says; empty for what SLURM prints where it says nothing."""
    return "" if text in ("None", "(null)") else text


def _count(text: Optional[str], default: int) -> int:
    match = re.match(r"\d+", text or "")
    return int(match.group()) if match else default


def moment_of(text: str) -> Optional[float]:
    """Seconds since the epoch of a time in UTC, in which `call` asks; None for what is no time."""
    try:
        return float(calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%S")))
    except ValueError:
        return None


def _run(words: List[str], environment: Dict[str, str], seconds: float) -> Tuple[int, str, str]:
    process = subprocess.Popen(
        words,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=_shield,
    )
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        if process.poll() is None:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")


def _shield() -> None:
    # SLURM ends a job by signalling all its processes, and just then it is asked about it.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
