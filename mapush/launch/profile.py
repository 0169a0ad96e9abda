"""What a cluster wants to know of a job: one typed object, read from `job/profiles/<name>.yaml`.

What a profile leaves out is as the lines `#SBATCH` of the batch script have it.
"""

from __future__ import annotations

import re
import reprlib
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from typing_extensions import Literal

from mapush.errors import RequestError
from mapush.launch.node import slurm
from mapush.launch.node.verdict import Policy

DEFAULT = "default"
PROJECT = Path(__file__).resolve().parents[2]
BATCH_SCRIPT = "slurm/train.sh"
_DIRECTIVE = re.compile(r"^#SBATCH --([\w-]+)=(\S+)$", re.MULTILINE)
# A profile's fields by what `scontrol show job` calls them.
_ASKED = {
    "partition": "Partition",
    "account": "Account",
    "qos": "QOS",
    "reservation": "Reservation",
    "constraint": "Features",
    "time": "TimeLimit",
    "memory": "MinMemoryNode",
    "memory_per_cpu": "MinMemoryCPU",
}
_NOT_ASKED = ("(null)", "", "N/A", "UNLIMITED", "0")
_GPUS = re.compile(r"\bgpu(?::([^:,=\s]+))?[:=](\d+)")  # gres:gpu:a100:2, or gres/gpu:a100=2
_POLICY = Policy()
_SUFFIX = ".yaml"
_MAX_BYTES = 100_000
_GRANULARITY = 30  # seconds between two looks of SLURM at time limits
_MEMORY = re.compile(r"[1-9]\d*[KMGT]?")


class Profile(BaseModel):
    """How a job asks for its resources and what it runs in. Every field is an option too."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    partition: Optional[str] = Field(None, description="partition, or several with commas")
    account: Optional[str] = Field(None, description="account that is charged")
    qos: Optional[str] = Field(None, description="quality of service")
    reservation: Optional[str] = Field(None, description="reservation to run in")
    constraint: Optional[str] = Field(None, description="features that the node must have")
    nodelist: Optional[str] = Field(None, description="nodes that must be used")
    exclude: Optional[str] = Field(None, description="nodes that must not be used")
    time: str = Field(
        description="time limit of one start, as sbatch takes it; a run that needs longer resumes "
        "after a requeue",
    )
    cpus: int = Field(ge=1, le=4096, description="CPU cores per trainer")
    memory: Optional[str] = Field(
        None, description="memory per node, with K, M, G or T; none for the cluster's default"
    )
    memory_per_cpu: Optional[str] = Field(
        None, description="memory per CPU core instead, for clusters that refuse it per node"
    )
    gpu_request: Literal["gres", "gpus-per-node"] = Field(
        "gres", description="how GPUs are asked for: --gres=gpu:N or --gpus-per-node=N"
    )
    gpu_type: Optional[str] = Field(None, description="kind of GPU, such as a100")
    container: Optional[str] = Field(
        None, description="image to train in: a .sif file, a sandbox directory, or an image name"
    )
    runtime: Literal["auto", "apptainer", "singularity", "docker", "podman"] = Field(
        "auto", description="what runs the container"
    )
    # A list of YAML too.
    binds: Tuple[str, ...] = Field(
        (), strict=False, description="further directories in the container, each SRC[:DST[:ro]]"
    )
    modules: Tuple[str, ...] = Field((), strict=False, description="modules to load before the job")
    setup: Tuple[str, ...] = Field(
        (), strict=False, description="shell lines to run before the job"
    )
    python: Optional[str] = Field(
        None, description="Python of the compute nodes (default: the one that submits)"
    )
    requeue: bool = Field(
        True, description="whether an interrupted job is started again; if not, it ends with 75"
    )
    signal: Literal["USR2", "USR1", "TERM"] = Field(
        description="signal that SLURM sends before the time limit"
    )
    signal_lead: int = Field(
        ge=1,
        le=65535,
        description="seconds before the time limit at which it is sent; SLURM may be 30 s late",
    )
    max_failures: int = Field(
        _POLICY.max_failures, ge=0, le=1000, description="restarts after failures, in all"
    )
    max_idle: int = Field(
        _POLICY.max_idle,
        ge=1,
        le=1000,
        description="failures in a row without a newer checkpoint before giving up, or four times "
        "as many preemptions",
    )
    failure_wait: int = Field(
        int(_POLICY.failure_wait),
        ge=0,
        le=86400,
        description="seconds before a restart after the second failure in a row without a newer "
        "checkpoint; five times as many after each further one",
    )

    @field_validator("*")
    @classmethod
    def _plain(cls, value: Any) -> Any:  # noqa: ANN401
        for text in value if isinstance(value, tuple) else (value,):
            # A line of the batch script is made of each; a second line would be another order.
            if isinstance(text, str) and (not text.strip() or not text.isprintable()):
                raise ValueError("must be one line of text that is not empty")
        return value

    @field_validator("time")
    @classmethod
    def _time(cls, value: str) -> str:
        if not slurm.seconds_of(value):
            raise ValueError("is no time as sbatch takes it, such as 90 (minutes) or 1-12:00:00")
        return value

    @field_validator("memory", "memory_per_cpu")
    @classmethod
    def _memory(cls, value: Optional[str]) -> Optional[str]:
        if value is not None and not _MEMORY.fullmatch(value):
            raise ValueError("is no amount of memory, such as 8G or 500M")
        return value

    @property
    def seconds(self) -> float:
        """The time limit of one start."""
        return slurm.seconds_of(self.time) or 0.0


def load_profile(
    name: Optional[str],
    changes: Mapping[str, Any],
    known: Optional[Mapping[str, Any]] = None,
    has_started: bool = False,
) -> Profile:
    """Read a profile and change some of its fields.

    Args:
        name: The name of a file in `job/profiles` without its ending, or the path of one; None for
            no file, where `known` says all.
        changes: Values by field that win over the file's.
        known: Fields of an earlier job, over which the file's win.
        has_started: Whether the job runs already; which signal it gets is then not known.

    Raises:
        RequestError: If there is no such profile, or a field or value is not allowed; the message
            lists those there are.
    """
    path = _path(name) if name is not None else Path(BATCH_SCRIPT)
    layers = [batch_defaults(), known or {}, _read(path) if name is not None else {}, changes]
    fields: Dict[str, Any] = {}
    for layer in layers:
        fields.update(layer)
        # Memory in one form takes the place of memory in the other.
        for one, other in (("memory", "memory_per_cpu"), ("memory_per_cpu", "memory")):
            if layer.get(one) is not None and other not in layer:
                fields[other] = None
    unknown = sorted(str(field) for field in fields if field not in Profile.model_fields)
    if unknown:
        raise RequestError(
            f"{path}: unknown field {unknown[0][:80]!r}; there are: "
            f"{', '.join(Profile.model_fields)}"
        )
    try:
        profile = Profile.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        place = f"--{field.replace('_', '-')}" if field in changes else f"{path}: {field}"
        raise RequestError(f"{place} {_shown(fields[field])}: {_reason(field, first)}") from None
    if profile.memory is not None and profile.memory_per_cpu is not None:
        raise RequestError(
            f"memory {profile.memory}, memory_per_cpu {profile.memory_per_cpu}: SLURM takes only "
            "one of them; leave one out"
        )
    # The signal may come 30 s early, and one that comes right after the start lets no job work.
    earliest = profile.signal_lead + _GRANULARITY
    if not has_started and profile.seconds <= earliest:
        raise RequestError(
            f"--time {profile.time}: SLURM may send its signal {earliest} s before the end "
            f"(--signal-lead {profile.signal_lead}), which leaves no time to train; give more time"
        )
    return profile


def batch_defaults() -> Dict[str, Any]:
    """What the lines `#SBATCH` of the batch script ask for, by field.

    Raises:
        RequestError: If there is no batch script, as without mapush's checkout, or no such line.
    """
    path = PROJECT / BATCH_SCRIPT
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        raise RequestError(
            f"{path}: is not there; a job needs mapush's whole checkout, so run mapush from there"
        ) from None
    asked = dict(_DIRECTIVE.findall(text))
    try:
        signal, _, lead = asked["signal"].partition("@")
        time, cpus = asked["time"], int(asked["mincpus"])
        return {"time": time, "cpus": cpus, "signal": signal, "signal_lead": int(lead)}
    except (KeyError, ValueError) as error:
        raise RequestError(
            f"{path}: needs lines like #SBATCH --time=1-00:00:00, #SBATCH --mincpus=2 and "
            f"#SBATCH --signal=USR2@90 ({error}); put them back"
        ) from None


def of_running_job(fields: Mapping[str, str]) -> Tuple[Dict[str, Any], Optional[int]]:
    """What a job of sbatch alone has asked for, where a profile can say it.

    Args:
        fields: Of `scontrol show job`.

    Returns:
        Fields of a profile, and how many GPUs; None where SLURM does not say it in a known form.
    """
    asked = {field: fields.get(name, "") for field, name in _ASKED.items()}
    found: Dict[str, Any] = {
        field: value
        for field, value in asked.items()
        if value not in _NOT_ASKED and (_MEMORY.fullmatch(value) or "memory" not in field)
    }
    cpus = fields.get("NumCPUs", "")
    if cpus.isdecimal() and int(cpus):
        found["cpus"] = int(cpus)
    if fields.get("Requeue") == "0":
        found["requeue"] = False
    for name in ("TresPerNode", "TresPerJob"):
        gpus = _GPUS.search(fields.get(name, ""))
        if gpus is not None:
            return {**found, **({"gpu_type": gpus[1]} if gpus[1] else {})}, int(gpus[2])
    return found, None


def _path(name: str) -> Path:
    if name.endswith(_SUFFIX):
        return Path(name)
    folder = Path("job") / "profiles"
    folder = folder if folder.is_dir() else PROJECT / folder
    known = sorted(path.stem for path in folder.glob(f"*{_SUFFIX}"))
    if name not in known:
        listed = ", ".join(known) or "none"
        raise RequestError(f"--profile {name!r}: there is none in {folder}/; there are: {listed}")
    return folder / f"{name}{_SUFFIX}"


def _read(path: Path) -> Dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise RequestError(f"{path}: has more than {_MAX_BYTES:,} bytes; that is no profile")
        fields = yaml.safe_load(data)
    except (OSError, RecursionError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise RequestError(f"{path}: cannot be read ({reason:.200}); fix it") from None
    if fields is None:
        return {}
    if not isinstance(fields, dict):
        raise RequestError(f"{path}: is a {type(fields).__name__}, not fields with values")
    return fields


def _shown(value: Any) -> str:  # noqa: ANN401
    # Some YAML of a few lines has a whole text of terabytes.
    brief = reprlib.Repr()
    brief.maxstring = brief.maxother = brief.maxlong = 80
    return f"{brief.repr(value):.80}"


def _reason(field: str, error: Mapping[str, Any]) -> str:
    if field == "time" and error["type"] == "string_type":
        # Without quotes, YAML takes 24:00:00 for a number to the base of 60.
        return 'write it in quotes, such as "24:00:00"'
    return str(error["msg"]).replace("Value error, ", "").replace("Input should be", "should be")
