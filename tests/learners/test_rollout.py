from __future__ import annotations

import pytest
import torch

from mapush.learners.normalizer import ValueNormalizer
from mapush.learners.rollout import Rollout

CPU = torch.device("cpu")


def filled(reward: list, value: list, not_done: list) -> Rollout:
    rollout = Rollout(len(reward), 1, 1, 2, 3, CPU)
    rollout.reward[:, 0, 0] = torch.tensor(reward)
    rollout.value[:, 0, 0] = torch.tensor(value)
    rollout.not_done[:, 0, 0] = torch.tensor(not_done)
    return rollout


@pytest.mark.parametrize(
    ("reward", "value", "not_done", "next_value", "expected"),
    [
        # delta = r + 0.5 V' - V; advantage = delta + 0.5 * 0.5 * the next one
        ([1.0, 2.0], [0.0, 1.0], [1.0, 1.0], 4.0, [1.5 + 0.25 * 3.0, 3.0]),
        # an episode that ends takes nothing from what follows
        ([1.0, 2.0], [0.0, 1.0], [0.0, 1.0], 4.0, [1.0, 3.0]),
        ([1.0, 2.0], [0.0, 1.0], [1.0, 0.0], 4.0, [1.5 + 0.25 * 1.0, 1.0]),
    ],
)
def test_advantages_are_those_worked_out_by_hand(
    reward: list, value: list, not_done: list, next_value: float, expected: list
) -> None:
    rollout = filled(reward, value, not_done)
    advantage, returns = rollout.advantages(torch.tensor([[next_value]]), 0.5, 0.5)
    assert advantage.flatten().tolist() == pytest.approx(expected)
    assert torch.equal(returns, advantage + rollout.value)


def test_the_normalizer_finds_mean_and_variance_from_its_first_update() -> None:
    normalizer = ValueNormalizer(0.999, CPU)
    values = torch.tensor([8.0, 12.0])
    assert normalizer.update(values[None])[0].tolist() == pytest.approx([-1.0, 1.0], abs=1e-3)
    assert normalizer.normalize(values).tolist() == pytest.approx([-1.0, 1.0], abs=1e-3)
    assert normalizer.denormalize(torch.tensor([0.0])).item() == pytest.approx(10.0, abs=1e-3)


def test_the_normalizer_goes_on_exactly_from_its_state() -> None:
    first, second = ValueNormalizer(0.99, CPU), ValueNormalizer(0.99, CPU)
    first.update(torch.tensor([[3.0, 5.0]]))
    second.load_state_dict(first.state_dict())
    for normalizer in (first, second):
        normalizer.update(torch.tensor([[1.0]]))
    assert torch.equal(first.normalize(torch.tensor([2.0])), second.normalize(torch.tensor([2.0])))
