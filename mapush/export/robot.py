"""The deterministic policy as one file for a robot: TorchScript or ONNX.

Both hold everything between the observation and the velocity command: the encoding of angles, the
networks' normalisation, gain and limits. How often to decide is in their metadata.
"""

from __future__ import annotations

import inspect
import io
import json
import sys
import warnings
from importlib import import_module
from typing import Any, Callable, Dict, Tuple

import torch
from torch import nn

from mapush.errors import RequestError
from mapush.export.description import describe
from mapush.export.selection import Source
from mapush.learners.network import Actor
from mapush.tasks.push.spec import Control

METADATA = "mapush.json"

# What is written, and how to compute (action, command) of observations (n, size) with it.
Exported = Tuple[bytes, Callable[[torch.Tensor], Tuple[torch.Tensor, torch.Tensor]]]

_OPSET = 17  # the first with layer normalisation


class RobotPolicy(nn.Module):
    """Actions and velocity commands of observations."""

    indices: torch.Tensor
    is_angle: torch.Tensor
    limit: torch.Tensor

    def __init__(self, actor: Actor, control: Control) -> None:
        super().__init__()
        shape = actor.shape
        self.base = actor.base
        self.mean = actor.act.action_out.fc_mean
        self._gain = control.gain
        self._angles = len(shape.angles)
        indices = torch.tensor(shape.angles, dtype=torch.int64)
        is_angle = torch.zeros(shape.observation_size, dtype=torch.bool)
        is_angle[indices] = True
        self.register_buffer("indices", indices)
        self.register_buffer("is_angle", is_angle)
        self.register_buffer("limit", torch.tensor(control.limit))

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """The network's actions (..., 3) of observations (..., size)."""
        return self.mean(self.base(self._encode(observation)))

    def command(self, observation: torch.Tensor) -> torch.Tensor:
        """Body-frame velocity commands (..., 3), m/s, m/s and rad/s."""
        return self.limit * (self._gain * self.forward(observation)).clamp(-1.0, 1.0)

    def _encode(self, observation: torch.Tensor) -> torch.Tensor:
        # What `mapush.learners.network.encode` does, without writing into a tensor, which ONNX
        # cannot say.
        if not self._angles:
            return observation
        turned = observation.index_select(-1, self.indices)
        level = torch.where(self.is_angle, torch.cos(observation), observation)
        return torch.cat((level, torch.sin(turned)), dim=-1)


class _Both(nn.Module):
    def __init__(self, policy: RobotPolicy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, observation: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        return self.policy(observation), self.policy.command(observation)


def robot_policy(source: Source) -> RobotPolicy:
    """The policy of a checkpoint with its task's gain and limits."""
    return RobotPolicy(source.policy.actor, source.task.control).eval()


def make_torchscript(source: Source) -> Exported:
    """A TorchScript module: `module(observation)`, `module.command(observation)`."""
    policy = robot_policy(source)
    example = torch.zeros(2, source.policy.actor.shape.observation_size)
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # newer versions of torch recommend another format
        traced = torch.jit.trace_module(policy, {"forward": example, "command": example})
        files = {METADATA: json.dumps(describe(source), indent=2)}
        torch.jit.save(traced, buffer, _extra_files=files)
        data = buffer.getvalue()
        loaded = torch.jit.load(io.BytesIO(data))

    def run(observation: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            return loaded(observation), loaded.command(observation)

    return data, run


def make_onnx(source: Source) -> Exported:
    """An ONNX graph: `observation` (n, size) in, `action` and `command` (n, 3) out.

    Raises:
        RequestError: onnx or onnxruntime is not installed.
    """
    onnx, onnxruntime = _needed("onnx"), _needed("onnxruntime")
    example = torch.zeros(2, source.policy.actor.shape.observation_size)
    names = {"input_names": ["observation"], "output_names": ["action", "command"]}
    anew = inspect.signature(torch.onnx.export).parameters
    # The newer exporter needs one package more and makes no better graph of four layers.
    options: Dict[str, Any] = {"dynamo": False} if "dynamo" in anew else {}
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Both(robot_policy(source)).eval(),
            (example,),
            buffer,  # pyright: ignore[reportArgumentType]
            opset_version=_OPSET,
            dynamic_axes={name: {0: "n"} for name in ("observation", "action", "command")},
            **names,
            **options,
        )
    graph = onnx.load_from_string(buffer.getvalue())
    graph.producer_name = "mapush"
    onnx.helper.set_model_props(
        graph,
        {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in describe(source).items()
        },
    )
    onnx.checker.check_model(graph)
    data = graph.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])

    def run(observation: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        action, command = session.run(None, {"observation": observation.numpy()})
        return torch.from_numpy(action), torch.from_numpy(command)

    return data, run


def _needed(name: str) -> Any:  # noqa: ANN401
    try:
        return import_module(name)
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise RequestError(
            f"--format onnx: {name} cannot be imported by {sys.executable} ({reason:.200}); "
            "install it with: python -m pip install -r requirements/onnx.txt"
        ) from None
