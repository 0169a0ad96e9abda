"""Between Gym's buffers and torch: shared memory, contiguous tensors only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from isaacgym import gymapi
from isaacgym._structures import Tensor

# The real one compiles itself here on first import, and waits for ever for a lock.
_root = os.environ.get("TORCH_EXTENSIONS_DIR")
if _root and (Path(_root) / "gymtorch" / "lock").exists():
    raise RuntimeError("the real gymtorch would wait for ever for its lock")


def wrap_tensor(gym_tensor: Tensor, offsets: Any = None, counts: Any = None) -> torch.Tensor:
    if not isinstance(gym_tensor, Tensor):
        raise TypeError(f"wrap_tensor takes a gymapi.Tensor, not {type(gym_tensor).__name__}")
    if offsets is not None or counts is not None:
        raise NotImplementedError("the double wraps whole tensors")
    return torch.from_numpy(gym_tensor._array)


def unwrap_tensor(torch_tensor: torch.Tensor) -> Tensor:
    if not isinstance(torch_tensor, torch.Tensor):
        raise TypeError(f"unwrap_tensor takes a torch.Tensor, not {type(torch_tensor).__name__}")
    if not torch_tensor.is_contiguous():
        raise Exception("Input tensor must be contiguous")
    return Tensor(torch_tensor.detach().numpy())


__all__ = ["gymapi", "unwrap_tensor", "wrap_tensor"]
