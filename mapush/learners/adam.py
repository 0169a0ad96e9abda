"""Gradient steps of Adam on whole networks."""

from __future__ import annotations

import itertools
from typing import Any, Dict, Sequence

import torch

from mapush.learners.flat import FlatNetwork

_MOMENTS = ("exp_avg", "exp_avg_sq")
# Options of torch's that say here what is so anyway.
_UNUSED = {
    "weight_decay": 0,
    "amsgrad": False,
    "maximize": False,
    "foreach": True,
    "capturable": False,
    "differentiable": False,
    "fused": None,
    "decoupled_weight_decay": False,
}


class FlatAdam:
    """Adam (Kingma and Ba, arXiv 1412.6980) on some networks' vectors, a group for each.

    Its state dict is that of `torch.optim.Adam` over the networks' parameters, in which the
    moments are views of vectors. It is none itself, since to make one imports torch's compiler.
    """

    def __init__(
        self, networks: Sequence[FlatNetwork], learning_rate: float, epsilon: float
    ) -> None:
        self._networks = list(networks)
        self._rate, self._epsilon, self._betas = learning_rate, epsilon, (0.9, 0.999)
        self._moments = [(network.zeros(), network.zeros()) for network in networks]
        # One for each parameter, and in the memory of the host, as torch's are.
        self._steps = [torch.zeros(len(network.parameters)) for network in networks]
        self._counts = [0 for _ in networks]
        counted = itertools.count()
        self._numbers = [[next(counted) for _ in network.parameters] for network in networks]

    def set_learning_rate(self, rate: float) -> None:
        """Let all networks take steps at a rate."""
        self._rate = rate

    @torch.no_grad()
    def descend(self, index: int, gradient: torch.Tensor) -> None:
        """One step of the network of this index against its gradient (size,)."""
        self._counts[index] += 1
        count = self._counts[index]
        self._steps[index].fill_(count)
        first, second = self._moments[index]
        beta1, beta2 = self._betas
        first.lerp_(gradient, 1 - beta1)
        second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        # Both moments' corrections as one factor of the step.
        scale = (1 - beta2**count) ** 0.5
        root = second.sqrt().add_(self._epsilon * scale)
        rate = self._rate * scale / (1 - beta1**count)
        self._networks[index].vector.addcdiv_(first, root, value=-rate)

    def state_dict(self) -> Dict[str, Any]:
        """As torch's: moments of each parameter after the first step, options of each group."""
        state: Dict[int, Dict[str, torch.Tensor]] = {}
        for network, numbers, count, steps, moments in zip(
            self._networks, self._numbers, self._counts, self._steps, self._moments
        ):
            if count:
                views = zip(*(network.views(vector) for vector in moments))
                for number, step, of_parameter in zip(numbers, steps, views):
                    state[number] = {"step": step, **dict(zip(_MOMENTS, of_parameter))}
        options = {"lr": self._rate, "betas": self._betas, "eps": self._epsilon, **_UNUSED}
        return {
            "state": state,
            "param_groups": [{**options, "params": list(numbers)} for numbers in self._numbers],
        }

    def load_state_dict(self, state_dict: Dict[str, Any]) -> None:
        """Copy the moments of such a state; options such as epsilon stay as they are.

        Raises:
            ValueError: it is of other parameters; KeyError, TypeError or AttributeError: it is no
                such state.
        """
        given = [list(group["params"]) for group in state_dict["param_groups"]]
        if given != self._numbers:
            raise ValueError(f"its optimiser's parameters are {given!s:.60}")
        for index, numbers in enumerate(self._numbers):
            found = [state_dict["state"].get(number) for number in numbers]
            steps = {int(each["step"]) if each else 0 for each in found}
            if len(steps) != 1:
                raise ValueError(f"its optimiser has parameters after {sorted(steps)!s:.60} steps")
            (self._counts[index],) = steps
            self._load(index, found)

    def _load(self, index: int, found: Sequence[Any]) -> None:
        network = self._networks[index]
        self._steps[index].fill_(self._counts[index])
        for vector, name in zip(self._moments[index], _MOMENTS):
            vector.zero_()
            for place, each in zip(network.views(vector), found):
                if each and each[name].shape != place.shape:
                    shape = tuple(each[name].shape)
                    raise ValueError(f"its optimiser has a moment of shape {shape!s:.60}")
                if each:
                    place.copy_(each[name])
