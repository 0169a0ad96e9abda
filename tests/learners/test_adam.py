from __future__ import annotations

import copy
from typing import Any, Dict, List, Tuple

import pytest
import torch
from torch import nn

from mapush.learners.adam import FlatAdam
from mapush.learners.flat import FlatNetwork
from tests.support import differences

RATE, EPSILON = 1e-2, 1e-5


def modules() -> List[nn.Module]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return [nn.Linear(5, 3), nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7))]


def both() -> Tuple[List[nn.Module], FlatAdam, List[FlatNetwork], torch.optim.Adam]:
    """The same parameters twice: with this project's Adam, and with torch's."""
    ours, theirs = modules(), modules()
    networks = [FlatNetwork(module) for module in ours]
    groups = [{"params": list(module.parameters())} for module in theirs]
    expected = torch.optim.Adam(groups, lr=RATE, eps=EPSILON, foreach=True)
    return [*ours, *theirs], FlatAdam(networks, RATE, EPSILON), networks, expected


def step(
    adam: FlatAdam, networks: List[FlatNetwork], expected: torch.optim.Adam, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    for index, (network, group) in enumerate(zip(networks, expected.param_groups)):
        gradient = network.zeros()
        for place, parameter in zip(network.views(gradient), group["params"]):
            # Some so small that epsilon matters.
            place.copy_(10.0 ** (-seed) * torch.randn(place.shape, generator=generator))
            parameter.grad = place.clone()
        adam.descend(index, gradient)
    expected.step()


def close(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.allclose(first, second, rtol=1e-5, atol=1e-9)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(close(first[k], second[k]) for k in first)
    return first == second


def test_its_steps_and_its_state_are_those_of_torchs() -> None:
    modules, adam, networks, expected = both()
    assert differences(adam.state_dict(), expected.state_dict()) == []  # no moments yet
    for seed in range(8):
        if seed == 4:
            adam.set_learning_rate(0.5 * RATE)
            for group in expected.param_groups:
                group["lr"] = 0.5 * RATE
        step(adam, networks, expected, seed)
    half = len(modules) // 2
    for ours, theirs in zip(modules[:half], modules[half:]):
        for one, other in zip(ours.parameters(), theirs.parameters()):
            assert torch.allclose(one, other, rtol=1e-6, atol=1e-6)
    own, theirs = adam.state_dict(), expected.state_dict()
    assert own["param_groups"] == theirs["param_groups"]
    assert close(own["state"], theirs["state"])


def test_it_goes_on_from_torchs_state_and_torchs_from_its() -> None:
    _, adam, networks, expected = both()
    for seed in range(3):
        step(adam, networks, expected, seed)
    modules, second, more, other = both()
    second.load_state_dict(expected.state_dict())
    other.load_state_dict(copy.deepcopy(adam.state_dict()))  # torch's keeps what it is given
    step(second, more, other, 3)
    step(adam, networks, expected, 3)
    assert close(second.state_dict()["state"], adam.state_dict()["state"])
    assert close(other.state_dict()["state"], expected.state_dict()["state"])
    half = len(modules) // 2
    for ours, theirs in zip(modules[:half], modules[half:]):
        for one, two in zip(ours.parameters(), theirs.parameters()):
            assert torch.allclose(one, two, rtol=1e-5, atol=1e-6)


def test_a_state_that_was_loaded_does_not_change_with_its_steps() -> None:
    _, adam, networks, expected = both()
    step(adam, networks, expected, 0)
    kept, given = copy.deepcopy(expected.state_dict()), expected.state_dict()
    _, second, more, _ = both()
    second.load_state_dict(given)
    for index, network in enumerate(more):
        second.descend(index, network.zeros() + 1.0)
    assert differences(given, kept) == []


def test_a_state_before_the_first_step_makes_it_begin_anew() -> None:
    _, adam, networks, expected = both()
    fresh = adam.state_dict()
    step(adam, networks, expected, 0)
    adam.load_state_dict(fresh)
    assert differences(adam.state_dict(), fresh) == []


def damaged(state: Dict[str, Any], how: str) -> Dict[str, Any]:
    state = copy.deepcopy(state)
    if how == "a group less":
        state["param_groups"].pop()
    elif how == "a parameter less":
        del state["state"][2]
    elif how == "another number of steps":
        state["state"][0]["step"] += 1
    elif how == "another shape":
        state["state"][0]["exp_avg_sq"] = torch.zeros(1)
    return state


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("a group less", "parameters are"),
        ("a parameter less", r"after \[0, 1\] steps"),
        ("another number of steps", r"after \[1, 2\] steps"),
        ("another shape", r"a moment of shape \(1,\)"),
    ],
)
def test_a_state_of_other_parameters_is_refused(how: str, said: str) -> None:
    _, adam, networks, expected = both()
    step(adam, networks, expected, 0)
    with pytest.raises(ValueError, match=said):
        adam.load_state_dict(damaged(expected.state_dict(), how))


def test_a_flat_networks_vector_is_what_its_module_computes_with() -> None:
    module, same = modules()[1], modules()[1]
    network = FlatNetwork(module)
    features = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(module(features), same(features))
    network.vector.mul_(2.0)
    module.load_state_dict({name: value + 1.0 for name, value in module.state_dict().items()})
    for parameter, tensor, before in zip(module.parameters(), network.tensors, same.parameters()):
        assert torch.equal(parameter, tensor)
        assert torch.equal(parameter, 2.0 * before + 1.0)
        assert tensor.data_ptr() % 64 == 0
