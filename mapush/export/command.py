"""What `mapush.runs export` does: make, compare with the original, write, say."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

import torch
from rich.console import Console

from mapush.checkpoint.names import directory_name
from mapush.errors import MapushError, RequestError
from mapush.export.openrl_module import make_openrl
from mapush.export.robot import METADATA, make_onnx, make_torchscript
from mapush.export.selection import Source, find_source
from mapush.files import make_directory, storage_errors, write_atomically

OPENRL, TORCHSCRIPT, ONNX = "openrl", "torchscript", "onnx"
FILE_NAMES = {OPENRL: "module.pt", TORCHSCRIPT: "policy.torchscript.pt", ONNX: "policy.onnx"}

_SAMPLES = 1000
_TOLERANCE = 1e-4  # in the network's units, of which 2 are full speed; what is seen is some 1e-6

_out = Console(highlight=False, markup=False, soft_wrap=True)

Outputs = Tuple[torch.Tensor, ...]


class _Made(NamedTuple):
    """What is to be written, its outputs and the original's for observations, and what to say."""

    data: bytes
    run: Callable[[torch.Tensor], Outputs]
    original: Callable[[torch.Tensor], Outputs]
    notes: List[str]


def export(
    root: Path,
    named: str,
    kind: str,
    step: Optional[str],
    exp: Optional[str],
    output: Optional[Path],
    overwrite: bool,
) -> Path:
    """Write a checkpoint in another form, compared with the original before it is written.

    Args:
        root: holds `results/`.
        named: a run, a `module.pt` or its directory.
        kind: `openrl`, `torchscript` or `onnx`.
        step: of a run: `last`, `best` or a number of environment steps.
        exp: task of a checkpoint that lies in no run.
        output: the file, or an existing directory for it; None for one under `root/exports`.
        overwrite: whether a file that is there is replaced.

    Returns:
        The file.

    Raises:
        RequestError: there is no such checkpoint, or the file is there already.
        CheckpointError: the checkpoint cannot be used.
        StorageError: the file cannot be written.
        MapushError: what was made does not compute what the checkpoint does.
    """
    source = find_source(root, named, step, exp)
    target = _target(root, source, kind, output)
    _refuse_existing(target, overwrite)
    made = _MAKERS[kind](source, target)
    difference = _compare(made, source)
    make_directory(target.parent)
    _refuse_existing(target, overwrite)
    write_atomically(target, made.data)
    shape = source.policy.actor.shape
    _out.print(
        f"{source.path}: {source.task.name}, {source.policy.step:,} steps; "
        f"{shape.observation_size} numbers in, {shape.action_size} out, held for "
        f"{source.policy.decimation} x {source.task.control.step} s"
    )
    _out.print(
        f"largest difference from the original on {_SAMPLES:,} random observations: "
        f"{difference:.1e}"
    )
    for note in made.notes:
        _out.print(note)
    _out.print(f"wrote {target} ({len(made.data):,} bytes)")
    return target


def _target(root: Path, source: Source, kind: str, output: Optional[Path]) -> Path:
    name = FILE_NAMES[kind]
    if output is None:
        return root / "exports" / source.name / directory_name(source.policy.step) / name
    return output / name if output.is_dir() else output


def _refuse_existing(target: Path, overwrite: bool) -> None:
    with storage_errors(target):
        there = target.exists() or target.is_symlink()
    if there and not overwrite:
        raise RequestError(
            f"{target}: is there already; give --overwrite to replace it or another --output"
        )


def _compare(made: _Made, source: Source) -> float:
    """The largest difference between any two outputs on random observations.

    Raises:
        MapushError: it is too large.
    """
    shape = source.policy.actor.shape
    generator = torch.Generator().manual_seed(1)
    observation = 3.0 * torch.randn(_SAMPLES, shape.observation_size, generator=generator)
    with torch.no_grad():
        pairs = list(zip(made.run(observation), made.original(observation)))
    difference = max(float((one - other).abs().max()) for one, other in pairs)
    scale = max(1.0, *(float(other.abs().max()) for _, other in pairs))
    if not difference <= _TOLERANCE * scale:
        raise MapushError(
            f"{source.path}: what was made differs from it by {difference:.1e}, so nothing was "
            "written; this is a defect of mapush or of the packages it exports with"
        )
    return difference


def _openrl(source: Source, target: Path) -> _Made:
    data, run = make_openrl(source)
    notes = [
        f"OpenRL takes it by agent.load({str(target)!r}). It is a pickle, which runs code when "
        "it is loaded: load none that others gave you. With torch 2.6 and newer set the "
        "environment's TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 for that."
    ]
    angles = source.policy.actor.shape.angles
    if angles:
        size = source.policy.actor.shape.input_size
        notes.append(
            f"WARNING: its networks see angles as sine and cosine, which OpenRL cannot do: give "
            f"them {size} numbers, the cosine of observation numbers {list(angles)} (from 0) in "
            "their place and the sines at the end"
        )
    if source.policy.decimation > 1:
        notes.append(
            f"WARNING: each of its actions is held for {source.policy.decimation} control steps, "
            "which OpenRL does not know"
        )
    return _Made(data, lambda seen: (run(seen),), lambda seen: (source.policy(seen),), notes)


def _torchscript(source: Source, target: Path) -> _Made:
    data, run = make_torchscript(source)
    notes = [
        "policy = torch.jit.load(...); policy(observation) is the action, policy.command(...) the "
        f"velocity command; the rest is in its extra file {METADATA}"
    ]
    return _Made(data, run, _robot(source), notes)


def _onnx(source: Source, target: Path) -> _Made:
    data, run = make_onnx(source)
    notes = ["input: observation; outputs: action, command; the rest is in its metadata"]
    return _Made(data, run, _robot(source), notes)


def _robot(source: Source) -> Callable[[torch.Tensor], Outputs]:
    limit, gain = torch.tensor(source.task.control.limit), source.task.control.gain

    def original(seen: torch.Tensor) -> Outputs:
        action = source.policy(seen)
        return action, limit * (gain * action).clamp(-1.0, 1.0)

    return original


_MAKERS: Dict[str, Callable[[Source, Path], _Made]] = {
    OPENRL: _openrl,
    TORCHSCRIPT: _torchscript,
    ONNX: _onnx,
}
