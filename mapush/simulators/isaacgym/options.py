"""What of Isaac Gym can be set: `--sim_options name=value,name=value`."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Dict

from mapush.arguments import read_whole_number
from mapush.errors import RequestError


def _option(default: Any, lowest: float, highest: float, description: str) -> Any:  # noqa: ANN401
    return field(default=default, metadata={"range": (lowest, highest), "help": description})


@dataclass(frozen=True)
class Options:
    """Sizes of PhysX's buffers, its solver, and what the published project left at its defaults."""

    contact_pairs: int = _option(
        1_048_576, 1024, 2**26, "pairs of shapes in contact that the GPU has room for"
    )
    buffer_multiplier: float = _option(5.0, 1.0, 100.0, "size of PhysX's other buffers")
    position_iterations: int = _option(4, 1, 255, "of the solver, per substep of 5 ms")
    velocity_iterations: int = _option(0, 0, 255, "of the solver, per substep of 5 ms")
    slices_per_cylinder: int = _option(
        20, 3, 32, "faces of the prism that a cylinder becomes; PhysX on a GPU takes up to 32"
    )
    robot_height: float = _option(0.34, 0.2, 1.0, "of the bases at the start of an episode, m")
    robot_friction: float = _option(1.0, 0.0, 10.0, "of the robots' shapes")
    graphics_device: int = _option(
        0, 0, 31, "GPU that draws, as Vulkan counts them; for videos and the viewer only"
    )
    check_memory: int = _option(1, 0, 1, "whether free GPU memory is held against an estimate")


def parse(text: str) -> Options:
    """Read `name=value,name=value`.

    Raises:
        RequestError: a name is unknown, or a value is no number or out of range.
    """
    known = {entry.name: entry for entry in fields(Options)}
    values: Dict[str, Any] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, _, value = part.partition("=")
        if name not in known:
            raise RequestError(
                f"--sim_options {part!r}: isaacgym has {', '.join(known)}; write name=value"
            )
        lowest, highest = known[name].metadata["range"]
        whole = isinstance(known[name].default, int)
        try:
            number = read_whole_number(value) if whole else float(value)
        except ValueError:
            number = None
        if number is None or not lowest <= number <= highest:
            raise RequestError(
                f"--sim_options {part!r}: {name} must be a {'whole ' if whole else ''}number from "
                f"{lowest} to {highest}"
            )
        values[name] = number
    return Options(**values)
