"""Gradient steps of Adam on whole networks at once."""

from __future__ import annotations

from typing import Any, Dict

import torch

from mapush.learners.flat import FlatNetworks

_MOMENTS = ("exp_avg", "exp_avg_sq")


class FlatAdam(torch.optim.Adam):
    """Adam (Kingma and Ba, arXiv 1412.6980) on the matrix of some networks, a group for each.

    Its state dict is that of `torch.optim.Adam` over the networks' parameters, in which the
    moments are views of matrices. `descend` takes the place of `step`.
    """

    def __init__(self, networks: FlatNetworks, learning_rate: float, epsilon: float) -> None:
        groups = [{"params": parameters} for parameters in networks.parameters]
        super().__init__(groups, lr=learning_rate, eps=epsilon, foreach=True)
        self._networks = networks
        self._epsilon = epsilon
        self._first, self._second = networks.zeros(), networks.zeros()
        self._steps = torch.tensor(0.0)  # where torch's has it: in the memory of the host
        self._count = 0

    @torch.no_grad()
    def descend(self, gradient: torch.Tensor, learning_rate: float) -> None:
        """One step against a gradient (networks, width)."""
        if not self._count:
            self._show()
        self._count += 1
        self._steps.fill_(self._count)
        for group in self.param_groups:
            group["lr"] = learning_rate
        beta1, beta2 = self.defaults["betas"]
        self._first.lerp_(gradient, 1 - beta1)
        self._second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        # Both moments' corrections as one factor of the step.
        scale = (1 - beta2**self._count) ** 0.5
        root = self._second.sqrt().add_(self._epsilon * scale)
        rate = learning_rate * scale / (1 - beta1**self._count)
        self._networks.matrix.addcdiv_(self._first, root, value=-rate)

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
        state = state_dict["state"]
        numbers = [number for group in own for number in group]
        steps = sorted({int(moments["step"]) for moments in state.values()})
        if state and (sorted(state) != numbers or len(steps) != 1):
            raise ValueError(
                f"its optimiser has moments of {len(state)} parameters of {len(numbers)}, after "
                f"{' and '.join(map(str, steps)):.40} steps"
            )
        for matrix, name in zip((self._first, self._second), _MOMENTS):
            matrix.zero_()
            places = [each for tensors in self._networks.views(matrix) for each in tensors]
            for number in state:
                if state[number][name].shape != places[number].shape:
                    raise ValueError(f"its optimiser's moments {number} have another shape")
                places[number].copy_(state[number][name])
        self._count = steps[0] if steps else 0
        self._steps.fill_(self._count)
        self.state.clear()
        if state:
            self._show()

    def _show(self) -> None:
        """Let `state_dict` find the moments; before the first step Adam has none."""
        networks = self._networks
        for parameters, first, second in zip(
            networks.parameters, networks.views(self._first), networks.views(self._second)
        ):
            for parameter, *moments in zip(parameters, first, second):
                self.state[parameter] = {"step": self._steps, **dict(zip(_MOMENTS, moments))}
