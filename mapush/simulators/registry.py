"""Which simulators there are and what each can do, as data; imports no torch.

A simulator is a package that registers one `SimulatorKind`. Those of mapush are imported here, by
name, when somebody asks; those of others are plugins (see `mapush.plugins`).
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

from mapush import plugins
from mapush.errors import RequestError, there_are
from mapush.simulators.scene import Scene

if TYPE_CHECKING:
    from mapush.simulators.base import Simulator
    from mapush.simulators.view import Drawing, DrawnSimulator

DEFAULT = "planar"
DEVICES = ("auto", "cpu", "cuda", "cuda:N")
_BUILT_IN = ("mapush.simulators.planar", "mapush.simulators.mujoco", "mapush.simulators.isaacgym")
_DEVICE = re.compile(r"auto|cpu|cuda(:\d{1,2})?")


@dataclass(frozen=True)
class SimulatorKind:
    """One simulator and its capabilities.

    Attributes:
        name: as `--sim` has it.
        build: called with (scene, num_envs, device, options, room), see `make_simulator`; the
            device is auto or one that `devices` allows.
        devices: kinds of device it steps on, `cpu` or `cuda`; the first is what auto means, where
            the process does not simulate on another already or `build` finds a GPU.
        robots: models of a robot it knows, `planar` or `legs`.
        exact_resume: kinds of device on which a restored capture continues to the bit.
        environment: called with (task, num_envs, device, seed, decimation), gives an `Environment`
            in which scene and task are one; None where an environment steps the simulator.
        simultaneous: whether a process may have several at a time; one that may not is closed
            before another is used.
        draw: called as `build` with a `Drawing` for the room, gives a `DrawnSimulator`, which has
            cameras and a window of its own; None where episodes are drawn on a stage afterwards.
        parse_options: called with the text of `--sim_options`; raises RequestError. None where
            nothing can be set.
        install: how to get what it imports, for a message.
        python: the oldest Python it runs on.
        modules: what it imports, with the packages that bring them.
        before_torch: must be called before torch is imported; never raises.
        check: called with (envs, gpus) in a fresh Python; raises what keeps it from running.
    """

    name: str
    build: plugins.Reference
    devices: Tuple[str, ...] = ("cpu",)
    robots: Tuple[str, ...] = ("planar",)
    exact_resume: Tuple[str, ...] = ("cpu",)
    environment: Optional[plugins.Reference] = None
    simultaneous: bool = True
    draw: Optional[plugins.Reference] = None
    parse_options: Optional[plugins.Reference] = None
    install: str = ""
    python: Tuple[int, int] = (3, 8)
    modules: Mapping[str, str] = field(default_factory=dict)
    before_torch: Optional[plugins.Reference] = None
    check: Optional[str] = None

    @property
    def uses_gpu(self) -> bool:
        """Whether a GPU is of any use to it."""
        return "cuda" in self.devices

    @property
    def needs_gpu(self) -> bool:
        """Whether it does not run without one, unless --device says cpu."""
        return self.devices[0] == "cuda"

    def device(self, asked: str) -> str:
        """The device that `--device` means here: cpu, cuda or cuda:N.

        Raises:
            RequestError: it does not step on that one.
        """
        check_device(asked)
        if asked == "auto":
            return self.devices[0]
        kind = asked.partition(":")[0]
        if kind not in self.devices:
            where = " or ".join({"cpu": "the CPU", "cuda": "a GPU"}[each] for each in self.devices)
            raise RequestError(
                f"--device {asked}: --sim {self.name} simulates on {where}; leave it out"
            )
        return asked


@dataclass(frozen=True)
class SimulatorChoice:
    """A simulator as it is asked for.

    Attributes:
        name: one of `known_simulators()`.
        device: auto, cpu, cuda or cuda:N.
        options: as of `--sim_options`, `name=value,name=value`.
    """

    name: str = DEFAULT
    device: str = "auto"
    options: str = ""


_kinds: Dict[str, SimulatorKind] = {}


def register(kind: SimulatorKind) -> None:
    """Add a simulator to those that `--sim` knows.

    Raises:
        RequestError: another one has its name.
    """
    known = _kinds.setdefault(kind.name, kind)
    if known is not kind and known != kind:
        raise RequestError(f"--sim {kind.name}: two plugins bring a simulator of this name")


def known_simulators() -> Tuple[str, ...]:
    """Their names; mapush's own first."""
    return tuple(_all())


def simulator_kind(name: str) -> SimulatorKind:
    """What a simulator can do.

    Raises:
        RequestError: there is none of that name.
    """
    kinds = _all()
    if name not in kinds:
        raise RequestError(f"--sim {name!r}: {there_are(name, kinds)}")
    return kinds[name]


def uses_gpu(name: str) -> bool:
    """Whether a simulator has any use for a GPU; one that has none runs on the CPU beside it.

    Raises:
        RequestError: there is none of that name.
    """
    return simulator_kind(name).uses_gpu


def check_device(text: str) -> None:
    """Refuse what is no device.

    Raises:
        RequestError: naming it, and what there is.
    """
    if not _DEVICE.fullmatch(text):
        raise RequestError(f"--device {text!r}: {there_are(text, DEVICES)}")


def load_before_torch() -> None:
    """Import what must come before torch, of every simulator that is installed.

    A command that simulates calls this first thing, whatever simulator is asked for: a run that is
    resumed says only later which one it needs.

    Raises:
        RequestError: a plugin is not there.
    """
    _import_built_in()
    _call_before_torch()
    plugins.load()
    _call_before_torch()  # of those that plugins brought


def make_simulator(
    choice: SimulatorChoice, scene: Scene, num_envs: int, room: int = 0
) -> Simulator:
    """Build a simulator.

    Args:
        choice: which, where, and what is set of it.
        scene: what is simulated.
        num_envs: how many copies of it.
        room: environments that later simulators of this process will need, for those that can
            only be made once.

    Raises:
        RequestError: there is none of that name, or what it needs is not there.
    """
    kind = check_choice(choice)
    return builder(kind, kind.build)(scene, num_envs, choice.device, choice.options, room)


def make_drawn_simulator(
    choice: SimulatorChoice, scene: Scene, num_envs: int, drawing: Drawing
) -> DrawnSimulator:
    """Build a simulator that shows itself what it simulates.

    Raises:
        RequestError: there is none of that name, it draws nothing, or it cannot here.
    """
    kind = check_choice(choice)
    if kind.draw is None:
        raise RequestError(f"--sim {kind.name}: has no cameras and no window of its own")
    return builder(kind, kind.draw)(scene, num_envs, choice.device, choice.options, drawing)


def check_options(choice: SimulatorChoice) -> None:
    """Refuse `--sim_options` that a simulator does not take, before anything is built.

    Raises:
        RequestError: naming the option.
    """
    kind = simulator_kind(choice.name)
    if not choice.options:
        return
    if kind.parse_options is None:
        raise RequestError(
            f"--sim_options {choice.options!r}: --sim {kind.name} has none; leave it out"
        )
    plugins.resolve(kind.parse_options)(choice.options)


def check_choice(choice: SimulatorChoice) -> SimulatorKind:
    """The kind of simulator that is asked for.

    Raises:
        RequestError: there is none of that name, or it does not take the device or the options.
    """
    kind = simulator_kind(choice.name)
    kind.device(choice.device)
    check_options(choice)
    return kind


def builder(kind: SimulatorKind, reference: plugins.Reference) -> Callable[..., Any]:
    """What one of its references names.

    Raises:
        RequestError: what it imports is not there.
    """
    try:
        return plugins.resolve(reference)
    except ImportError as error:
        how = kind.install or f"; install {error.name}"
        raise RequestError(f"--sim {kind.name}: cannot import {error.name}{how}") from error


def _all() -> Mapping[str, SimulatorKind]:
    _import_built_in()
    if plugins.named():
        _call_before_torch()  # a plugin may well import torch
    plugins.load()
    # Whoever imports a simulator itself registers it first.
    own = [module.rpartition(".")[2] for module in _BUILT_IN]
    return dict(sorted(_kinds.items(), key=lambda each: _place(each[0], own)))


def _place(name: str, own: Sequence[str]) -> int:
    return own.index(name) if name in own else len(own)


def _import_built_in() -> None:
    for module in _BUILT_IN:
        importlib.import_module(module)


def _call_before_torch() -> None:
    for kind in list(_kinds.values()):
        if kind.before_torch is not None:
            plugins.resolve(kind.before_torch)()
