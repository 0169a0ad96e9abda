"""A small state to save, as a learner would give it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Dict

import torch


def state_at(step: int, seed: int = 0) -> Dict[str, Any]:
    generator = torch.Generator().manual_seed(seed + step)
    weight = torch.randn(4, 8, generator=generator)
    return {
        "actor_network": OrderedDict({"base.weight": weight, "base.bias": torch.zeros(4)}),
        "critic_network": OrderedDict({"v_out.weight": torch.ones(1, 8)}),
        "value_normalizer": {"running_mean": torch.tensor([0.5])},
        "optimizer_state": {"actor": {"state": {0: {"step": torch.tensor(3.0)}}, "lr": 5e-4}},
        "training_step": step,
        "epoch": step // 20_000,
        "network_architecture": {"hidden_sizes": [64, 64], "activation": "ReLU"},
        "rng": {"torch": generator.get_state(), "python": (3, (2**31, 2**127), None)},
        "environment_state": {"qpos": torch.zeros(2, 3, dtype=torch.float64)},
        "config": {"exp": "cuboid", "seed": seed},
    }


def same(a: object, b: object) -> bool:
    """Whether two states are equal to the last bit, tensors included."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b
