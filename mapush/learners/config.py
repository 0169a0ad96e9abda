"""How a policy is trained: PPO's hyper-parameters, and the named sets that `--recipe` chooses."""

from __future__ import annotations

from typing import Any, Dict, Mapping

from pydantic import AliasChoices, Field
from typing_extensions import Literal

from mapush.errors import RequestError, there_are
from mapush.schema import Section, build

# Each learner with the recipe that it trains by where none is named.
LEARNERS: Dict[str, str] = {"native": "default", "openrl": "published"}


class PPOConfig(Section):
    """Hyper-parameters; the defaults are the recipe `default`."""

    decimation: int = Field(
        default=10,
        ge=1,
        validation_alias=AliasChoices("decimation", "hold"),
        serialization_alias="hold",
        description="control steps of 0.02 s for which one decision is held",
    )
    rollout_steps: int = Field(
        default=20,
        ge=1,
        validation_alias=AliasChoices("rollout_steps", "decisions"),
        serialization_alias="decisions",
        description="decisions per environment and rollout",
    )
    epochs: int = Field(default=4, ge=1, description="passes over a rollout in one update")
    minibatches: int = Field(
        default=4, ge=1, description="parts of a rollout, each one gradient step"
    )
    learning_rate: float = Field(default=3e-3, gt=0, description="of Adam, at the start")
    learning_rate_end: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="at --train_timesteps, as a share of learning_rate; linear between",
    )
    adam_epsilon: float = Field(default=1e-5, gt=0, description="of Adam")
    gamma: float = Field(default=0.99, ge=0, le=1, description="discount per decision")
    gae_lambda: float = Field(
        default=0.95, ge=0, le=1, description="of generalised advantage estimation"
    )
    clip: float = Field(
        default=0.2,
        gt=0,
        description="of the probability ratio, and of the value's change where clip_value",
    )
    clip_value: bool = Field(default=False, description="whether the value loss is clipped too")
    entropy: float = Field(default=0.01, ge=0, description="weight of the entropy bonus")
    value_weight: float = Field(default=1.0, ge=0, description="weight of the value loss")
    huber_delta: float = Field(
        default=10.0,
        gt=0,
        description="where the value loss turns linear, in the value normaliser's units",
    )
    max_grad_norm: float = Field(
        default=1.0, gt=0, description="each network's gradient norm is cut to it"
    )
    joint_ratio: bool = Field(
        default=True,
        description="one probability ratio per action (PPO) or one per action dimension (OpenRL)",
    )
    sample_std: bool = Field(
        default=True,
        description="advantages are divided by the sample's standard deviation, or (OpenRL) by n's",
    )
    bootstrap_timeouts: bool = Field(
        default=True,
        description="whether an episode cut by the clock earns its last state's value (OpenRL: no)",
    )
    normalizer_decay: float = Field(
        default=0.999, ge=0, le=1, description="of the value normaliser's moments, per minibatch"
    )
    hidden_size: int = Field(default=64, ge=1, description="width of both hidden layers")
    activation: Literal["relu", "elu", "tanh"] = Field(
        default="relu", description="of the hidden layers"
    )
    activate_second: bool = Field(
        default=False, description="whether the second hidden layer has the activation too"
    )
    encode_angles: bool = Field(
        default=True, description="whether angles enter the networks as sine and cosine"
    )
    initial_std: float = Field(default=1.0, gt=0, description="of the actions' noise")

    def check_samples(self, envs: int, agents: int) -> None:
        """Make sure that a rollout can be cut into equal minibatches.

        Raises:
            RequestError: it cannot.
        """
        samples = self.rollout_steps * envs * agents
        if samples % self.minibatches:
            raise RequestError(
                f"--minibatches {self.minibatches}: must divide the {samples} samples of a "
                f"rollout ({self.rollout_steps} decisions x {envs} environments x {agents} agents)"
            )

    def as_dict(self) -> Dict[str, Any]:
        """Plain values for the files of a run, which call two of them hold and decisions."""
        return self.model_dump(by_alias=True)


RECIPES: Dict[str, PPOConfig] = {
    "default": PPOConfig(),
    "published": PPOConfig(
        decimation=1,
        rollout_steps=200,
        epochs=10,
        minibatches=1,
        learning_rate=5e-4,
        learning_rate_end=1.0,
        clip_value=True,
        entropy=0.01,
        value_weight=0.5,
        max_grad_norm=10.0,
        joint_ratio=False,
        sample_std=False,
        bootstrap_timeouts=False,
        normalizer_decay=0.99999,
        encode_angles=False,
    ),
}


def build_ppo(recipe: str, changes: Mapping[str, Any]) -> PPOConfig:
    """A named recipe with some of its values changed.

    Args:
        recipe: its name.
        changes: values by the names that they have in Python or in the files of a run.

    Raises:
        RequestError: an unknown name, or a value that is not allowed, with what is.
    """
    if recipe not in RECIPES:
        raise RequestError(f"--recipe {recipe!r}: {there_are(str(recipe), RECIPES)}")
    known = PPOConfig.model_fields
    stored = {field.serialization_alias: name for name, field in known.items()}
    named = {stored.get(name, name): value for name, value in changes.items()}
    unknown = sorted(set(named) - set(known))
    if unknown:
        raise RequestError(f"ppo has no {unknown[0]!r}; {there_are(unknown[0], known)}")
    # Which fields were set tells what a task may still decide.
    own = RECIPES[recipe].model_dump(exclude_unset=True)
    return build(PPOConfig, {**own, **named})
