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
        self._mean = torch.zeros(1, device=device)
        self._square = torch.zeros(1, device=device)
        self._debias = torch.zeros((), device=device)

    def update(self, values: torch.Tensor) -> None:
        """Take in values of any shape."""
        rest = 1.0 - self._decay
        self._mean.mul_(self._decay).add_(rest * values.mean())
        self._square.mul_(self._decay).add_(rest * (values**2).mean())
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
        debias = self._debias.clamp(min=1e-5)
        mean = self._mean / debias
        variance = (self._square / debias - mean**2).clamp(min=1e-2)
        return mean, variance.sqrt()

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
