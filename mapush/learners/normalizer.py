"""Keeps the critic's targets near zero mean and unit variance, as OpenRL's ValueNorm does."""

from __future__ import annotations

from typing import Any, Dict

import torch


class ValueNormalizer:
    """Exponentially weighted mean and variance of the returns, corrected for their start at zero.

    The state's names are OpenRL's: `running_mean`, `running_mean_sq`, `debiasing_term`.
    """

    def __init__(self, decay: float, device: torch.device) -> None:
        self._decay = decay
        self._sums = torch.zeros(2, device=device)  # of values and of their squares
        self._mean, self._square = self._sums.split(1)
        self._debias = torch.zeros((), device=device)

    def update(self, values: torch.Tensor) -> None:
        """Take in values of any shape."""
        rest = 1.0 - self._decay
        seen = torch.stack((values.mean(), (values * values).mean()))
        self._sums.mul_(self._decay).add_(seen, alpha=rest)
        self._debias.mul_(self._decay).add_(rest)

    def normalize(self, values: torch.Tensor) -> torch.Tensor:
        """From rewards' units to the critic's."""
        mean, std = self._moments()
        return (values - mean) / std

    def denormalize(self, values: torch.Tensor) -> torch.Tensor:
        """From the critic's units to rewards'."""
        mean, std = self._moments()
        return values * std + mean

    def _moments(self) -> tuple[torch.Tensor, torch.Tensor]:
        mean, square = (self._sums / self._debias.clamp(min=1e-5)).split(1)
        variance = torch.addcmul(square, mean, mean, value=-1.0).clamp_(min=1e-2)
        return mean, variance.sqrt_()

    def state_dict(self) -> Dict[str, torch.Tensor]:
        """Capture the moments."""
        return {
            "running_mean": self._mean.clone(),
            "running_mean_sq": self._square.clone(),
            "debiasing_term": self._debias.clone(),
        }

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Restore the moments."""
        self._mean.copy_(state["running_mean"])
        self._square.copy_(state["running_mean_sq"])
        self._debias.copy_(state["debiasing_term"])
