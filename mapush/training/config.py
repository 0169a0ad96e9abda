"""What a run was asked to do: one typed tree, kept in run.yaml and in every checkpoint.

A value lives in one section and has its default, range and description there alone. The files of a
run hold the sections' values side by side under the names of the options; `as_dict` and
`build_config` are where the two forms meet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Mapping, Type

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import Annotated

from mapush import simulators
from mapush.checkpoint import retention
from mapush.errors import RequestError, there_are
from mapush.learners.config import LEARNERS, RECIPES, PPOConfig, build_ppo
from mapush.schema import OneOf, Section, SectionT, Unit, build

if TYPE_CHECKING:
    from mapush.tasks.base import TaskSpec

_STEPS = 10**15  # more than any run reaches

Steps = Annotated[int, Unit("steps")]
Environments = Annotated[int, Field(ge=1, le=100_000), Unit("envs")]
"""No machine steps more; a typing error must not fill its memory."""
Episodes = Annotated[int, Field(le=100_000), Unit("episodes")]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
Algorithm = Annotated[str, OneOf(lambda: ("ppo",))]
Family = Annotated[str, OneOf(lambda: ("go1push_mid",))]


def _rules(text: str) -> str:
    retention.parse(text)
    return text


def _device(text: str) -> str:
    simulators.check_device(text)
    return text


class RunConfig(Section):
    """The run."""

    exp: str = Field(description="folder under task/")
    exp_name: str = Field(description="name in the results directory; the default is --exp")
    task: Family = Field(
        default="go1push_mid", description="name of the task family in the live directory"
    )
    algo: Algorithm = Field(default="ppo", description="the algorithm")
    seed: Seed = Field(default=1, description="of every random generator")
    train_timesteps: Steps = Field(
        default=10_000_000,
        ge=1,
        le=_STEPS,
        description="total environment steps to reach; to go past those of a complete run, start a "
        "new one with --checkpoint",
    )


class EnvironmentConfig(Section):
    """Environment."""

    num_envs: Environments = Field(default=100, description="environments stepped in parallel")


class SimulatorConfig(Section):
    """Simulator."""

    sim: Annotated[str, OneOf(simulators.known_simulators)] = Field(
        default=simulators.DEFAULT, description="the simulator"
    )
    sim_options: str = Field(
        default="", description="what is set of the simulator, name=value,name=value"
    )
    device: Annotated[str, AfterValidator(_device), Unit("device")] = Field(
        default="auto",
        description=f"where all tensors live, {', '.join(simulators.DEVICES)}; auto: a GPU that is "
        "visible where the simulator uses one, else cpu",
    )

    @property
    def choice(self) -> simulators.SimulatorChoice:
        """What builds it."""
        return simulators.SimulatorChoice(self.sim, self.device, self.sim_options)


class LearnerConfig(Section):
    """Learner."""

    learner: Annotated[str, OneOf(lambda: LEARNERS)] = Field(
        default="native", description="the learner"
    )
    recipe: Annotated[str, OneOf(lambda: RECIPES)] = Field(
        default="default",
        description="named set of hyper-parameters; with --learner openrl it is published",
    )

    @model_validator(mode="before")
    @classmethod
    def _usual(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        usual = LEARNERS.get(str(values.get("learner")))
        return values if usual is None or "recipe" in values else {**values, "recipe": usual}


class EvaluationConfig(Section):
    """Evaluation."""

    eval_freq: Steps = Field(
        default=2_000_000,
        ge=0,
        le=_STEPS,
        description="environment steps between evaluations during training, 0 for none",
    )
    eval_envs: Episodes = Field(default=100, ge=1, description="episodes of each of these")
    final_envs: Episodes = Field(
        default=300, ge=0, description="episodes of the evaluation at the end, 0 for none"
    )


class CheckpointingConfig(Section):
    """Checkpointing."""

    save_freq: Steps = Field(
        default=20_000, ge=1, le=_STEPS, description="environment steps between checkpoints"
    )
    keep: Annotated[str, AfterValidator(_rules), Unit("rules")] = Field(
        default="last=5,every=10000000,best=1,first", description="which checkpoints stay, or all"
    )
    max_unprotected_steps: Steps = Field(
        default=2_000_000,
        ge=0,
        le=_STEPS,
        description="environment steps to train on while the disk refuses checkpoints",
    )


class Config(Section):
    """The tree.

    Attributes:
        run: what is trained, and how long.
        environment: how many there are.
        simulator: what steps them.
        learner: what learns, and by which recipe.
        ppo: the recipe's hyper-parameters with `changes`.
        evaluation: when, and of how many episodes.
        checkpointing: when, and what is kept.
        task: what `config.py` of its folder says with `changed` values; None where it is not read.
        changes: hyper-parameters that differ from the recipe's, by their names in files.
        changed: values that differ from the task folder's, by their path in the task.
    """

    run: RunConfig
    environment: EnvironmentConfig
    simulator: SimulatorConfig
    learner: LearnerConfig
    ppo: PPOConfig
    evaluation: EvaluationConfig
    checkpointing: CheckpointingConfig
    task: Any = None
    changes: Mapping[str, Any] = Field(default_factory=dict)
    changed: Mapping[str, Any] = Field(default_factory=dict)

    def as_dict(self) -> Dict[str, Any]:
        """Plain values for run.yaml and checkpoints, without the recipe's."""
        flat = {k: v for name in SECTIONS for k, v in getattr(self, name).model_dump().items()}
        flat["changes"] = dict(self.changes)
        values = {name: flat[name] for name in _IN_FILES}
        return {**values, "set": dict(sorted(self.changed.items()))} if self.changed else values


SECTIONS: Dict[str, Type[Section]] = {
    "run": RunConfig,
    "environment": EnvironmentConfig,
    "simulator": SimulatorConfig,
    "learner": LearnerConfig,
    "evaluation": EvaluationConfig,
    "checkpointing": CheckpointingConfig,
}
"""Those whose values stand side by side in files; `ppo` is kept apart, and the task in its own."""

# In this order, so that a file's bytes do not depend on where a value lives here.
_IN_FILES = (
    *("exp", "exp_name", "task", "algo", "sim", "learner", "recipe", "changes", "num_envs"),
    *("train_timesteps", "seed", "sim_options", "device", "save_freq", "keep"),
    *("max_unprotected_steps", "eval_freq", "eval_envs", "final_envs"),
)
NAMES = frozenset((*_IN_FILES, "set"))


def without_defaults(asked: Mapping[str, Any]) -> Dict[str, Any]:
    """What is asked for, without what would be so anyway: a script may state the defaults.

    Args:
        asked: values by their names in files; any others stay.
    """
    fields = {
        name: field for kind in SECTIONS.values() for name, field in kind.model_fields.items()
    }
    usual = {name: field.default for name, field in fields.items() if not field.is_required()}
    usual["recipe"] = LEARNERS.get(str(asked.get("learner")), usual["recipe"])
    usual["exp_name"] = asked.get("exp")
    return {name: asked[name] for name in asked if name not in usual or asked[name] != usual[name]}


def build_config(values: Mapping[str, Any]) -> Config:
    """Validate plain values, from the command line or from a checkpoint.

    Args:
        values: by their names in files.

    Returns:
        The tree without its task, which is read from its folder.

    Raises:
        RequestError: naming the option, its value and what is allowed.
    """
    unknown = sorted(set(values) - NAMES)
    if unknown:
        raise RequestError(
            f"unknown setting {unknown[0]!r}; {there_are(unknown[0], sorted(NAMES))}"
        )

    def of(kind: Type[SectionT]) -> SectionT:
        return build(kind, {name: values[name] for name in kind.model_fields if name in values})

    learner, changes = of(LearnerConfig), values.get("changes") or {}
    return Config(
        run=of(RunConfig),
        environment=of(EnvironmentConfig),
        simulator=of(SimulatorConfig),
        learner=learner,
        ppo=build_ppo(learner.recipe, changes),
        evaluation=of(EvaluationConfig),
        checkpointing=of(CheckpointingConfig),
        changes=changes,
        changed=values.get("set") or {},
    )


def with_decimation(ppo: PPOConfig, task: TaskSpec) -> PPOConfig:
    """The hyper-parameters with the task's decimation, unless an option or recipe says another."""
    if task.decimation is None or "decimation" in ppo.model_fields_set:
        return ppo
    return ppo.model_copy(update={"decimation": task.decimation})
