"""Reads the checkpoints of the original project: pickled OpenRL modules.

Their pickles name classes of openrl, gym, isaacgym and jsonargparse. None is imported; the
machine in `inert` puts stand-ins in their place, and the tensors are taken out of those.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any, Dict, Mapping, Tuple

import torch

from mapush.checkpoint.archive import FIX, Archive, read_archive
from mapush.checkpoint.inert import StandIn, build
from mapush.checkpoint.names import step_of
from mapush.errors import CheckpointError

MODULE_CLASS = "openrl.modules.ppo_module.PPOModule"

_HEAD = 100  # bytes of the pickle in which the class of its outermost object is named
_MAX_MODULES = 1000


def load(path: Path) -> Dict[str, Any]:
    """Load a published checkpoint without executing anything of it.

    Returns:
        `actor_network` and `critic_network` (`OrderedDict` of tensors with OpenRL's parameter
        names), `value_normalizer` (its tensors by name, empty if it has none), `optimizer_state`
        (`actor` and `critic`, in the form of a torch optimizer's state dict), `training_step`
        (from the directory's name of its checkpoint, else 0) and `network_architecture`
        (`observation_size`, `action_size`, `hidden_sizes`, `activation`).

    Raises:
        CheckpointError: If the file is missing, damaged, hostile or no published checkpoint.
    """
    return extract(read_archive(path))


def is_published(archive: Archive) -> bool:
    """Whether a file begins as one of the original project, and is for `extract`."""
    return all(part.encode() in archive.pickle[:_HEAD] for part in MODULE_CLASS.rsplit(".", 1))


def extract(archive: Archive) -> Dict[str, Any]:
    """What `load` gives, of a file that has been read.

    Raises:
        CheckpointError: As for `load`.
    """
    path, root = archive.path, build(archive)
    if not isinstance(root, StandIn) or root.name != MODULE_CLASS:
        kind = root.name if isinstance(root, StandIn) else type(root).__name__
        raise CheckpointError(f"{path}: holds a {kind:.80}, not an OpenRL {MODULE_CLASS}; {FIX}")
    try:
        return _extract(path, root)
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: lacks a part of an OpenRL module ({type(error).__name__}: {error}); {FIX}"
        ) from error


def _extract(path: Path, root: StandIn) -> Dict[str, Any]:
    models = root.state["models"]
    actor, critic = _Walk(models["policy"]), _Walk(models["critic"])
    normalizer = critic.modules.get("value_normalizer")
    values = {} if normalizer is None else _own_tensors(normalizer)
    critic_network = OrderedDict(
        (name, tensor)
        for name, tensor in critic.parameters.items()
        if not name.startswith("value_normalizer.")
    )
    return {
        "actor_network": actor.parameters,
        "critic_network": critic_network,
        "value_normalizer": values,
        "optimizer_state": {
            "actor": _optimizer_state(root.state["optimizers"]["policy"]),
            "critic": _optimizer_state(root.state["optimizers"]["critic"]),
        },
        "training_step": step_of(path.absolute().parent.name) or 0,
        "network_architecture": _architecture(actor),
    }


class _Walk:
    """The parameters and modules of one network, by their dotted names, in torch's order."""

    def __init__(self, module: StandIn) -> None:
        self.modules: Dict[str, StandIn] = {}
        self.parameters: Dict[str, torch.Tensor] = OrderedDict()
        self._visit(module, "")

    def _visit(self, module: StandIn, prefix: str) -> None:
        # A module that holds itself, or others many times over, would never end.
        if len(self.modules) >= _MAX_MODULES:
            raise ValueError(f"more than {_MAX_MODULES} modules in one network")
        self.modules[prefix[:-1]] = module
        tensors = {**module.state["_parameters"], **module.state["_buffers"]}
        for name, tensor in tensors.items():
            if tensor is not None:
                if not isinstance(tensor, torch.Tensor):
                    raise TypeError(f"parameter {prefix}{name} is a {type(tensor).__name__}")
                self.parameters[prefix + name] = tensor
        for name, child in module.state["_modules"].items():
            if child is not None:
                self._visit(child, f"{prefix}{name}.")


def _own_tensors(module: StandIn) -> Dict[str, torch.Tensor]:
    # On a GPU OpenRL's normaliser keeps its statistics as plain attributes, not as parameters.
    holders: Tuple[Mapping[str, Any], ...] = (
        module.state,
        module.state["_parameters"],
        module.state["_buffers"],
    )
    return {
        name: value
        for holder in holders
        for name, value in holder.items()
        if isinstance(value, torch.Tensor)
    }


def _optimizer_state(optimizer: StandIn) -> Dict[str, Any]:
    groups = optimizer.state["param_groups"]
    parameters = [parameter for group in groups for parameter in group["params"]]
    index = {id(parameter): number for number, parameter in enumerate(parameters)}
    numbered = []
    for group in groups:
        settings = {name: value for name, value in group.items() if name != "params"}
        numbered.append({**settings, "params": [index[id(each)] for each in group["params"]]})
    return {
        "state": {
            index[id(parameter)]: dict(state)
            for parameter, state in optimizer.state["state"].items()
        },
        "param_groups": numbered,
    }


def _architecture(actor: _Walk) -> Dict[str, Any]:
    matrices = [tensor for name, tensor in actor.parameters.items() if name.endswith(".weight")]
    layers = [tensor.shape for tensor in matrices if tensor.dim() == 2]
    activations = [
        module.name.rpartition(".")[2]
        for module in actor.modules.values()
        if module.name.startswith("torch.nn.modules.activation.")
    ]
    return {
        "observation_size": layers[0][1],
        "action_size": layers[-1][0],
        "hidden_sizes": [shape[0] for shape in layers[:-1]],
        "activation": activations[0] if activations else None,
    }
