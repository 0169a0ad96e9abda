"""Gradients by hand are those of autograd."""

from __future__ import annotations

import itertools
import math
from typing import Dict, List, Tuple, TypeVar

import pytest
import torch
from torch import nn

from mapush.learners.config import PPOConfig, build_ppo
from mapush.learners.flat import FlatNetwork
from mapush.learners.gradient import Network, Weights
from mapush.learners.losses import Loss, PolicyLoss, ValueLoss
from mapush.learners.minibatch import Samples
from mapush.learners.network import Actor, Architecture, Critic

N, ACTIONS, SIZE = 57, 3, 6
ACTIVATIONS = ("relu", "elu", "tanh")
Module = TypeVar("Module", bound=nn.Module)
ONE_STEP = {"epochs": 1, "minibatches": 1}
CLOSE = 1e-12  # of float64


def drawn(module: Module, generator: torch.Generator) -> Module:
    """A module in float64 all of whose parameters are random, norms and biases too."""
    module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.3 * noise)
    return module


def some_samples(generator: torch.Generator) -> Samples:
    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return Samples(
        features=normal(N, SIZE),
        action=normal(ACTIONS, N),
        log_probability=0.3 * normal(ACTIONS, N),
        cost=normal(N) / N,
        prediction=0.5 * normal(N),
        target=normal(N),
    )


def by_hand(
    shape: Architecture, flat: FlatNetwork, loss: Loss, samples: Samples
) -> Tuple[List[torch.Tensor], Dict[str, float]]:
    network, weights, vector = Network(shape), Weights.of(flat.tensors), flat.zeros()
    out = flat.views(vector)
    output, passed = network.forward(weights, samples.features)
    gradient = loss.gradient(output, samples, out[10:], loss.places(0, 0, 0, N))
    network.backward(weights, passed, gradient, out)
    return out, loss.means()


def log_probability(actor: Actor, samples: Samples) -> torch.Tensor:
    """Of the actions' dimensions (actions, n), but for the constant that ratios do not have."""
    spread = torch.distributions.Normal(actor(samples.features), actor.log_std[:, 0].exp())
    return spread.log_prob(samples.action.t()).t() + 0.5 * math.log(2 * math.pi)


def policy_by_autograd(config: PPOConfig, actor: Actor, samples: Samples) -> Dict[str, float]:
    log_ratio = (log_probability(actor, samples) - samples.log_probability).t()
    if config.joint_ratio:
        log_ratio = log_ratio.sum(dim=-1, keepdim=True)
    ratio, advantage = log_ratio.exp(), -N * samples.cost[:, None]
    clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
    loss = -torch.min(ratio * advantage, clipped * advantage).sum(dim=-1).mean()
    entropy = torch.distributions.Normal(0.0, actor.log_std.exp()).entropy().sum()
    (loss - config.entropy * entropy).backward()
    return {
        "policy_loss": loss.item(),
        "entropy": entropy.item(),
        "approximate_kl": (ratio - 1 - log_ratio).mean().item(),
        "clip_fraction": float((ratio != clipped).double().mean()),
    }


def value_by_autograd(config: PPOConfig, critic: Critic, samples: Samples) -> Dict[str, float]:
    def huber(value: torch.Tensor) -> torch.Tensor:
        return nn.functional.huber_loss(
            value, samples.target, reduction="none", delta=config.huber_delta
        )

    value, old = critic(samples.features), samples.prediction
    loss = huber(value)
    if config.clip_value:
        loss = torch.max(loss, huber(old + (value - old).clamp(-config.clip, config.clip)))
    loss = loss.mean()
    (config.value_weight * loss).backward()
    return {"value_loss": loss.item()}


def compare(module: nn.Module, out: List[torch.Tensor]) -> None:
    for (name, parameter), found in zip(module.named_parameters(), out):
        assert parameter.grad is not None
        assert float(parameter.grad.abs().max()) > 1e-4, f"{name}: nothing to compare"
        assert torch.allclose(found, parameter.grad, rtol=CLOSE, atol=CLOSE), name


@pytest.mark.parametrize(
    ("activation", "activate_second", "joint_ratio", "clip", "entropy"),
    list(itertools.product(ACTIVATIONS, (False, True), (False, True), (0.2, 0.6), (0.0, 0.1))),
)
def test_the_policys_gradient_is_that_of_autograd(
    activation: str, activate_second: bool, joint_ratio: bool, clip: float, entropy: float
) -> None:
    generator = torch.Generator().manual_seed(1)
    config = build_ppo(
        "default", {**ONE_STEP, "joint_ratio": joint_ratio, "clip": clip, "entropy": entropy}
    )
    shape = Architecture(SIZE, ACTIONS, 64, activation, activate_second)
    actor, samples = drawn(Actor(shape), generator), some_samples(generator)
    # Ratios on both sides of the clip range.
    with torch.no_grad():
        near = log_probability(actor, samples) + samples.log_probability
    samples, flat = samples._replace(log_probability=near), FlatNetwork(actor)
    expected = policy_by_autograd(config, actor, samples)
    assert 0 < expected["clip_fraction"] < 1
    out, told = by_hand(shape, flat, PolicyLoss(config, flat.tensors[-1], N, 1), samples)
    compare(actor, out)
    assert told == pytest.approx(expected, rel=CLOSE, abs=CLOSE)


@pytest.mark.parametrize(
    ("activation", "activate_second", "clip_value", "clip", "huber_delta", "value_weight"),
    list(
        itertools.product(
            ACTIVATIONS, (False, True), (False, True), (0.2, 1.0), (0.5, 10.0), (1.0, 0.5)
        )
    ),
)
def test_the_critics_gradient_is_that_of_autograd(
    activation: str,
    activate_second: bool,
    clip_value: bool,
    clip: float,
    huber_delta: float,
    value_weight: float,
) -> None:
    generator = torch.Generator().manual_seed(1)
    changes = {"clip_value": clip_value, "clip": clip, "huber_delta": huber_delta}
    config = build_ppo("default", {**ONE_STEP, **changes, "value_weight": value_weight})
    shape = Architecture(SIZE, ACTIONS, 64, activation, activate_second)
    critic, samples = drawn(Critic(shape), generator), some_samples(generator)
    flat = FlatNetwork(critic)
    expected = value_by_autograd(config, critic, samples)
    out, told = by_hand(shape, flat, ValueLoss(config, flat.vector, N, 1), samples)
    compare(critic, out)
    assert told == pytest.approx(expected, rel=CLOSE, abs=CLOSE)


def test_a_ratio_at_one_still_has_a_gradient() -> None:
    # As in a rollout's first gradient step, where both products are equal.
    config = build_ppo("default", {**ONE_STEP, "entropy": 0.0})
    samples = some_samples(torch.Generator().manual_seed(1))
    mean, log_std = samples.action + 0.1, torch.zeros(ACTIONS, 1, dtype=torch.float64)
    samples = samples._replace(log_probability=torch.full_like(mean, -0.5 * 0.1**2))
    loss, out = PolicyLoss(config, log_std, N, 1), [torch.zeros_like(log_std)]
    gradient = loss.gradient(mean, samples, out, loss.places(0, 0, 0, N))
    assert torch.allclose(gradient, (-0.1 * samples.cost).expand_as(mean))
    assert loss.means()["clip_fraction"] == 0.0
