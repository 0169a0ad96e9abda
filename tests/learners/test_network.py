from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mapush.errors import CheckpointError
from mapush.learners.network import Actor, Architecture, Critic, encode, load_weights

SHAPE = Architecture(observation_size=8, action_size=3)


def test_parameter_names_are_those_of_the_published_checkpoints() -> None:
    base = [
        f"base.mlp.{layer}.{kind}"
        for layer in ("fc1.0", "fc1.2", "fc3.0", "fc3.1")
        for kind in ("weight", "bias")
    ]
    head = [f"act.action_out.{name}" for name in ("fc_mean.weight", "fc_mean.bias", "logstd._bias")]
    assert sorted(Actor(SHAPE).state_dict()) == sorted(base + head)
    assert sorted(Critic(SHAPE).state_dict()) == sorted([*base, "v_out.weight", "v_out.bias"])


def test_the_actor_computes_the_published_forward_pass() -> None:
    torch.manual_seed(0)
    actor = Actor(SHAPE)
    observation = torch.randn(5, 2, 8)
    weights = actor.state_dict()

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.layer_norm(
            x, (64,), weights[f"{name}.weight"], weights[f"{name}.bias"]
        )

    hidden = norm("base.mlp.fc1.2", torch.relu(linear("base.mlp.fc1.0", observation)))
    hidden = norm("base.mlp.fc3.1", linear("base.mlp.fc3.0", hidden))
    expected = linear("act.action_out.fc_mean", hidden)
    assert torch.allclose(actor(observation), expected, atol=1e-6)


def test_encoded_angles_do_not_jump_at_a_full_turn() -> None:
    before, after = torch.tensor([[1.0, 2 * math.pi - 1e-4]]), torch.tensor([[1.0, 1e-4]])
    assert torch.allclose(encode(before, (1,)), encode(after, (1,)), atol=1e-3)
    assert encode(after, (1,)).shape == (1, 3)
    assert torch.allclose(encode(after, (1,)), torch.tensor([[1.0, 1.0, 1e-4]]), atol=1e-6)


def test_encoding_leaves_the_observation_itself_alone() -> None:
    observation = torch.tensor([[1.0, 2.0]])
    encode(observation, (1,))
    assert observation.tolist() == [[1.0, 2.0]]


def test_weights_of_another_size_are_refused_with_both_shapes() -> None:
    other = Actor(Architecture(observation_size=11, action_size=3)).state_dict()
    with pytest.raises(CheckpointError, match=r"\(64, 11\).*\(64, 8\)"):
        load_weights(Actor(SHAPE), other, "actor_network")


def test_weights_with_other_names_are_refused_naming_them() -> None:
    weights = Actor(SHAPE).state_dict()
    weights["extra"] = weights.pop("act.action_out.logstd._bias")
    with pytest.raises(CheckpointError, match=r"logstd.*extra"):
        load_weights(Actor(SHAPE), weights, "actor_network")


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": -1},
        {"hidden_size": 10**9},
        {"activation": "swish"},
        {"angles": [99]},
        {"surprise": 1},
        {"observation_size": "8"},
    ],
)
def test_an_architecture_from_a_file_is_not_trusted(change: dict) -> None:
    with pytest.raises(CheckpointError, match="network_architecture"):
        Architecture.from_dict({**SHAPE.as_dict(), **change})


def test_an_architecture_survives_its_way_through_a_file() -> None:
    shape = Architecture(11, 3, 128, "elu", True, (4, 7, 10))
    assert Architecture.from_dict(shape.as_dict()) == shape
