"""Named sets of hyper-parameters: what `--recipe` chooses from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Dict, Mapping, Tuple, Union

from mapush.errors import RequestError, there_are

Value = Union[int, float, str, bool]


def _value(default: Value, description: str) -> Any:  # noqa: ANN401
    return field(default=default, metadata={"help": description})


@dataclass(frozen=True)
class Recipe:
    """How a policy is trained."""

    hold: int = _value(5, "control steps of 0.02 s for which one decision is held")
    decisions: int = _value(20, "decisions per environment and rollout")
    epochs: int = _value(8, "passes over a rollout in one update")
    minibatches: int = _value(4, "parts of a rollout, each one gradient step")
    learning_rate: float = _value(1e-3, "of Adam, at the start")
    learning_rate_end: float = _value(
        0.1, "at `--train_timesteps`, as a share of `learning_rate`; linear between"
    )
    adam_epsilon: float = _value(1e-5, "of Adam")
    gamma: float = _value(0.99, "discount per decision")
    gae_lambda: float = _value(0.95, "of generalised advantage estimation")
    clip: float = _value(
        0.2, "of the probability ratio, and of the value's change where `clip_value`"
    )
    clip_value: bool = _value(False, "whether the value loss is clipped too")
    entropy: float = _value(0.002, "weight of the entropy bonus")
    value_weight: float = _value(1.0, "weight of the value loss")
    huber_delta: float = _value(
        10.0, "where the value loss turns linear, in the value normaliser's units"
    )
    max_grad_norm: float = _value(1.0, "each network's gradient norm is cut to this")
    joint_ratio: bool = _value(
        True, "one probability ratio per action (PPO) or one per action dimension (OpenRL)"
    )
    sample_std: bool = _value(
        True, "advantages are divided by the sample's standard deviation, or (OpenRL) by n's"
    )
    bootstrap_timeouts: bool = _value(
        True, "whether an episode cut by the clock earns its last state's value (OpenRL: no)"
    )
    normalizer_decay: float = _value(0.999, "of the value normaliser's moments, per minibatch")
    hidden_size: int = _value(64, "width of both hidden layers")
    activation: str = _value("relu", "relu, elu or tanh")
    activate_second: bool = _value(False, "whether the second hidden layer has the activation too")
    encode_angles: bool = _value(True, "whether angles enter the networks as sine and cosine")
    initial_std: float = _value(1.0, "of the actions' noise")

    def as_dict(self) -> Dict[str, Value]:
        """Plain values for a checkpoint."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


RECIPES: Dict[str, Recipe] = {
    "default": Recipe(),
    "published": Recipe(
        hold=1,
        decisions=200,
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
_AT_LEAST_ONE = ("hold", "decisions", "epochs", "minibatches", "hidden_size")
_POSITIVE = ("learning_rate", "adam_epsilon", "clip", "huber_delta", "max_grad_norm", "initial_std")
_SHARE = ("learning_rate_end", "gamma", "gae_lambda", "normalizer_decay")
_CHOICES: Dict[str, Tuple[str, ...]] = {"activation": ("relu", "elu", "tanh")}


def build_recipe(name: str, changes: Mapping[str, Any]) -> Recipe:
    """A named recipe with some of its values changed.

    Raises:
        RequestError: an unknown name, or a value that is not allowed, with what is.
    """
    if name not in RECIPES:
        raise RequestError(f"--recipe {name!r}: {there_are(str(name), RECIPES)}")
    known = {field.name for field in fields(Recipe)}
    unknown = sorted(set(changes) - known)
    if unknown:
        raise RequestError(f"recipe has no {unknown[0]!r}; it has: {', '.join(sorted(known))}")
    recipe = replace(RECIPES[name], **changes)
    for key, value in recipe.as_dict().items():
        _check(key, value)
    return recipe


def _check(key: str, value: Value) -> None:
    kind = type(getattr(Recipe(), key))
    right_kind = isinstance(value, (int, float) if kind is float else kind)
    if not right_kind or (isinstance(value, bool) and kind is not bool):
        raise RequestError(f"--{key} {value!r}: must be of type {kind.__name__}")
    if key in _CHOICES and value not in _CHOICES[key]:
        raise RequestError(f"--{key} {value!r}: {there_are(str(value), _CHOICES[key])}")
    if isinstance(value, (str, bool)):
        return
    if not math.isfinite(value) or value < 0:
        raise RequestError(f"--{key} {value!r}: must be a finite number, 0 or more")
    if key in _AT_LEAST_ONE and value < 1:
        raise RequestError(f"--{key} {value!r}: must be at least 1")
    if key in _POSITIVE and value <= 0:
        raise RequestError(f"--{key} {value!r}: must be greater than 0")
    if key in _SHARE and value > 1:
        raise RequestError(f"--{key} {value!r}: must lie between 0 and 1")
