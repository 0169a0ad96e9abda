"""What a run was asked to do: one validated object, kept in run.yaml and in every checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Dict, Mapping

from mapush.errors import RequestError, there_are
from mapush.simulators import DEFAULT, check_device, known_simulators

# Each learner with the recipe that it trains by where none is named.
LEARNERS = {"native": "default", "openrl": "published"}
ALGORITHMS = ("ppo",)
TASKS = ("go1push_mid",)


def _option(default: Any, description: str) -> Any:  # noqa: ANN401
    return field(default=default, metadata={"help": description})


def _required(description: str) -> Any:  # noqa: ANN401
    return field(metadata={"help": description})


@dataclass(frozen=True)
class Settings:
    """The options of `mapush.train` that shape the result."""

    exp: str = _required("folder under `task/`")
    exp_name: str = _required("name in the results directory")
    task: str = _option("go1push_mid", "name of the task family in the live directory")
    algo: str = _option("ppo", "the algorithm")
    sim: str = _option(DEFAULT, "the simulator")
    learner: str = _option("native", "the learner, native or openrl")
    recipe: str = _option(
        "default", "name of the set of hyper-parameters; with --learner openrl it is published"
    )
    changes: Mapping[str, Any] = field(
        default_factory=dict, metadata={"help": "hyper-parameters that differ from the recipe's"}
    )
    num_envs: int = _option(200, "environments stepped in parallel")
    train_timesteps: int = _option(
        10_000_000,
        "total environment steps to reach; to go past those of a complete run, start a new one "
        "with --checkpoint",
    )
    seed: int = _option(1, "of every random generator")
    sim_options: str = _option("", "what is set of the simulator, name=value,name=value")
    device: str = _option(
        "auto", "where all tensors live; auto: a GPU where the simulator needs one, else cpu"
    )
    save_freq: int = _option(20_000, "environment steps between checkpoints")
    keep: str = _option("last=5,every=10000000,best=1,first", "retention policy")
    max_unprotected_steps: int = _option(
        2_000_000, "environment steps to train on while the disk refuses checkpoints"
    )
    eval_freq: int = _option(
        2_000_000, "environment steps between evaluations during training, 0 for none"
    )
    eval_envs: int = _option(100, "episodes of each of these")
    final_envs: int = _option(300, "episodes of the evaluation at the end, 0 for none")

    def as_dict(self) -> Dict[str, Any]:
        """Plain values for run.yaml and checkpoints."""
        return {**asdict(self), "changes": dict(self.changes)}


_CHOICES = {
    "task": TASKS,
    "algo": ALGORITHMS,
    "learner": LEARNERS,
}
_ENVIRONMENTS = 100_000  # more than any machine steps; a typing error must not fill its memory
_STEPS = 10**15  # more than any run reaches
_RANGES = {
    "num_envs": (1, _ENVIRONMENTS),
    "train_timesteps": (1, _STEPS),
    "seed": (0, 2**31 - 1),
    "save_freq": (1, _STEPS),
    "max_unprotected_steps": (0, _STEPS),
    "eval_freq": (0, _STEPS),
    "eval_envs": (1, _ENVIRONMENTS),
    "final_envs": (0, _ENVIRONMENTS),
}


def build_settings(values: Mapping[str, Any]) -> Settings:
    """Validate plain values, from the command line or from a checkpoint.

    Raises:
        RequestError: naming the option, its value and what is allowed.
    """
    known = {entry.name for entry in fields(Settings)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise RequestError(f"unknown setting {unknown[0]!r}; there are: {', '.join(sorted(known))}")
    usual = LEARNERS.get(str(values.get("learner", "native")), "default")
    settings = Settings(**{"recipe": usual, **values})
    for name, choices in {**_CHOICES, "sim": known_simulators()}.items():
        value = getattr(settings, name)
        if value not in choices:
            raise RequestError(f"--{name} {value!r}: {there_are(str(value), choices)}")
    check_device(settings.device)
    for name, (lowest, highest) in _RANGES.items():
        value = getattr(settings, name)
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            raise RequestError(
                f"--{name} {value!r}: must be a whole number from {lowest} to {highest}"
            )
    return settings
