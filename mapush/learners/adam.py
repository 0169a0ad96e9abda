"""Gradient steps of Adam on whole networks."""

from __future__ import annotations

from typing import Any, Dict, Sequence

import torch

from mapush.learners.flat import FlatNetwork

_MOMENTS = ("exp_avg", "exp_avg_sq")


class FlatAdam(torch.optim.Adam):
    """Adam (Kingma and Ba, arXiv 1412.6980) on some networks' vectors, a group for each.

    Its state dict is that of `torch.optim.Adam` over the networks' parameters, in which the
    moments are views of vectors. `descend` takes the place of `step`.
    """

    def __init__(
        self, networks: Sequence[FlatNetwork], learning_rate: float, epsilon: float
    ) -> None:
        groups = [{"params": network.parameters} for network in networks]
        super().__init__(groups, lr=learning_rate, eps=epsilon, foreach=True)
        self._networks = list(networks)
        self._moments = [(network.zeros(), network.zeros()) for network in networks]
        # One for each parameter, and in the memory of the host, as torch's are.
        self._steps = [torch.zeros(len(network.parameters)) for network in networks]
        self._counts = [0 for _ in networks]

    def set_learning_rate(self, rate: float) -> None:
        """Let all networks take steps at a rate."""
        for group in self.param_groups:
            group["lr"] = rate

    @torch.no_grad()
    def descend(self, index: int, gradient: torch.Tensor) -> None:
        """One step of the network of this index against its gradient (size,)."""
        if not self._counts[index]:
            self._show(index)
        self._counts[index] += 1
        count, group = self._counts[index], self.param_groups[index]
        self._steps[index].fill_(count)
        first, second = self._moments[index]
        beta1, beta2 = group["betas"]
        first.lerp_(gradient, 1 - beta1)
        second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        # Both moments' corrections as one factor of the step.
        scale = (1 - beta2**count) ** 0.5
        root = second.sqrt().add_(group["eps"] * scale)
        rate = group["lr"] * scale / (1 - beta1**count)
        self._networks[index].vector.addcdiv_(first, root, value=-rate)

    def load_state_dict(self, state_dict: Dict[str, Any]) -> None:
        """Copy the moments of such a state; options such as epsilon stay as they are.

        Raises:
            ValueError: it is of other parameters; KeyError, TypeError or AttributeError: it is no
                such state.
        """
        own = [group["params"] for group in self.state_dict()["param_groups"]]
        given = [list(group["params"]) for group in state_dict["param_groups"]]
        if given != own:
            raise ValueError(f"its optimiser's parameters are {given!s:.60}")
        self.state.clear()
        for index, numbers in enumerate(own):
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
        if self._counts[index]:
            self._show(index)

    def _show(self, index: int) -> None:
        """Let `state_dict` find a network's moments; before the first step Adam has none."""
        network = self._networks[index]
        views = zip(*(network.views(vector) for vector in self._moments[index]))
        for parameter, step, moments in zip(network.parameters, self._steps[index], views):
            self.state[parameter] = {"step": step, **dict(zip(_MOMENTS, moments))}
