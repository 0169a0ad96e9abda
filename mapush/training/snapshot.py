"""The last update boundary is copied, so that it can be saved at any moment after."""

from __future__ import annotations

from typing import Any, Mapping

import torch


def snapshot(state: Any) -> Any:  # noqa: ANN401
    """Copy a state of tensors and plain values to the CPU, so that training can go on in place."""
    if isinstance(state, torch.Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, Mapping):
        return {key: snapshot(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(snapshot(value) for value in state)
    return state
