"""Gradient steps of Adam on whole networks as vectors."""

from __future__ import annotations

import copy
from typing import Any, Dict, Sequence

import torch

from mapush.learners.flat import FlatNetwork


class FlatAdam(torch.optim.Adam):
    """Adam (Kingma and Ba, arXiv 1412.6980) on whole vectors, one group for each network.

    Its state dict is that of `torch.optim.Adam` over the modules' parameters, in which the moments
    are views of this optimiser's vectors.

    Args:
        networks: what it changes.
        learning_rate: at the start.
        epsilon: added to the root of the second moment.
    """

    def __init__(
        self, networks: Sequence[FlatNetwork], learning_rate: float, epsilon: float
    ) -> None:
        groups = [{"params": network.parameters} for network in networks]
        super().__init__(groups, lr=learning_rate, eps=epsilon, foreach=True)
        self._networks = list(networks)
        self._first = [network.layout.zeros() for network in networks]
        self._second = [network.layout.zeros() for network in networks]
        self._steps = 0

    @torch.no_grad()
    def descend(self, gradients: Sequence[torch.Tensor]) -> None:
        """One step against the gradients (size,), one for each network."""
        if not self._steps:
            self._show_moments()
        self._steps += 1
        self._step_tensor.fill_(self._steps)
        for group, network, gradient, first, second in zip(
            self.param_groups, self._networks, gradients, self._first, self._second
        ):
            beta1, beta2 = group["betas"]
            first.lerp_(gradient, 1 - beta1)
            second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
            scale = (1 - beta2**self._steps) ** 0.5
            root = second.sqrt().div_(scale).add_(group["eps"])
            rate = group["lr"] / (1 - beta1**self._steps)
            network.vector.addcdiv_(first, root, value=-rate)

    def load_state_dict(self, state_dict: Dict[str, Any]) -> None:
        """Restore the state of such an optimiser, or of a `torch.optim.Adam`; it is copied.

        Raises:
            ValueError: it is of other parameters; KeyError, TypeError or AttributeError: it is no
                such state.
        """
        super().load_state_dict(copy.deepcopy(state_dict))
        loaded = [
            self.state[parameter]
            for network in self._networks
            for parameter in network.parameters
            if parameter in self.state
        ]
        count = sum(len(network.parameters) for network in self._networks)
        steps = sorted({int(each["step"]) for each in loaded})
        if len(steps) > 1 or len(loaded) not in (0, count):
            raise ValueError(
                f"its optimiser has moments of {len(loaded)} parameters of {count}, after "
                f"{' and '.join(map(str, steps))} steps"
            )
        self._steps = steps[0] if steps else 0
        for network, *moments in zip(self._networks, self._first, self._second):
            for name, vector in zip(("exp_avg", "exp_avg_sq"), moments):
                vector.zero_()
                for parameter, view in zip(network.parameters, network.layout.views(vector)):
                    if loaded:
                        given = self.state[parameter][name]
                        if given.shape != view.shape:
                            raise ValueError("its optimiser's moments have another shape")
                        view.copy_(given)
        self.state.clear()
        if loaded:
            self._show_moments()

    def _show_moments(self) -> None:
        """Let `state_dict` find the vectors' parts."""
        self._step_tensor = torch.tensor(float(self._steps))
        for network, first, second in zip(self._networks, self._first, self._second):
            layout = network.layout
            for parameter, one, two in zip(
                network.parameters, layout.views(first), layout.views(second)
            ):
                self.state[parameter] = {
                    "step": self._step_tensor,
                    "exp_avg": one,
                    "exp_avg_sq": two,
                }
