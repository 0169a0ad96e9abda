"""OpenRL's two Adams as the one with two groups that the native learner has, and back."""

from __future__ import annotations

import copy
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import torch
from torch import nn

# An optimiser and its parameters in the order of the joint state, which may not be its own.
Part = Tuple[torch.optim.Optimizer, List[nn.Parameter]]


def joint_state(parts: Sequence[Part]) -> Dict[str, Any]:
    """The optimisers' state dicts as one, with one group each and parameters counted through."""
    moments: Dict[int, Any] = {}
    groups: List[Dict[str, Any]] = []
    count = 0
    for optimizer, parameters in parts:
        for index, parameter in enumerate(parameters, start=count):
            if parameter in optimizer.state:
                moments[index] = dict(optimizer.state[parameter])
        options = {k: value for k, value in optimizer.param_groups[0].items() if k != "params"}
        groups.append({**options, "params": list(range(count, count + len(parameters)))})
        count += len(parameters)
    return {"state": moments, "param_groups": groups}


def load_joint_state(parts: Sequence[Part], state: Mapping[str, Any]) -> None:
    """Restore the moments of `joint_state`; options such as the learning rate stay as they are.

    Raises:
        ValueError: it is of other parameters; KeyError, TypeError or AttributeError: it is no
            such state.
    """
    groups = state["param_groups"]
    if len(groups) != len(parts):
        raise ValueError(f"its optimiser has {len(groups)} groups, not {len(parts)}")
    count = 0
    for (optimizer, parameters), group in zip(parts, groups):
        indices = range(count, count + len(parameters))
        if list(group["params"]) != list(indices):
            raise ValueError(f"its optimiser's parameters are {group['params']!s:.60}")
        own = optimizer.state_dict()
        places = {id(each): n for n, each in enumerate(optimizer.param_groups[0]["params"])}
        own["state"] = {}
        for index, parameter in zip(indices, parameters):
            moments = state["state"].get(index)
            if moments is None:
                continue
            if any(moments[name].shape != parameter.shape for name in ("exp_avg", "exp_avg_sq")):
                raise ValueError(f"its optimiser's moments {index} have another shape")
            # Adam keeps the tensors it is given; the caller's must not change with training.
            own["state"][places[id(parameter)]] = copy.deepcopy(dict(moments))
        optimizer.load_state_dict(own)
        count += len(parameters)
