"""Keeps the critic's targets near zero mean and unit variance, as OpenRL's ValueNorm does."""

from __future__ import annotations

from typing import Any, Dict, Tuple

import torch


class ValueNormalizer:
    """Exponentially weighted mean and variance of the returns, corrected for their start at zero.

    The state's names are OpenRL's: `running_mean`, `running_mean_sq`, `debiasing_term`.
    """

    def __init__(self, decay: float, device: torch.device) -> None:
        self._decay = decay
        # Of the values, of their squares, and of ones.
        self._moments = torch.zeros(3, device=device)
        self._mean, self._square, self._debias = self._moments.split(1)

    def update(self, batches: torch.Tensor) -> torch.Tensor:
        """Take in batches (n, values) one after another; each as it is normalised then."""
        square = (batches * batches).mean(dim=1)
        seen = torch.stack((batches.mean(dim=1), square, torch.ones_like(square)), dim=1)
        moments, before = torch.empty_like(seen), self._moments
        for new, now in zip(seen, moments):
            before = torch.lerp(before, new, 1.0 - self._decay, out=now)
        self._moments.copy_(moments[-1])
        mean, std = _mean_and_std(moments)
        return (batches - mean) / std

    def normalize(self, values: torch.Tensor) -> torch.Tensor:
        """From rewards' units to the critic's."""
        mean, std = _mean_and_std(self._moments)
        return (values - mean) / std

    def denormalize(self, values: torch.Tensor) -> torch.Tensor:
        """From the critic's units to rewards'."""
        mean, std = _mean_and_std(self._moments)
        return values * std + mean

    def state_dict(self) -> Dict[str, torch.Tensor]:
        """Capture the moments."""
        return {
            "running_mean": self._mean.clone(),
            "running_mean_sq": self._square.clone(),
            "debiasing_term": self._debias[0].clone(),
        }

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Restore the moments."""
        self._mean.copy_(state["running_mean"])
        self._square.copy_(state["running_mean_sq"])
        self._debias.copy_(state["debiasing_term"])


def _mean_and_std(moments: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
    """Both (..., 1) of moments (..., 3)."""
    mean, square, debias = moments.split(1, dim=-1)
    debias = debias.clamp(min=1e-5)
    mean, square = mean / debias, square / debias
    return mean, torch.addcmul(square, mean, mean, value=-1.0).clamp_(min=1e-2).sqrt_()
