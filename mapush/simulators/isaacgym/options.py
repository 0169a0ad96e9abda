"""What of Isaac Gym can be set: `--sim_options name=value,name=value`."""

from __future__ import annotations

from typing import Any, Dict

from pydantic import Field

from mapush import schema
from mapush.errors import RequestError
from mapush.schema import Section


class Options(Section):
    """Sizes of PhysX's buffers, its solver, and what the published project left at its defaults."""

    contact_pairs: int = Field(
        default=1_048_576,
        ge=1024,
        le=2**26,
        description="pairs of shapes in contact that the GPU has room for",
    )
    buffer_multiplier: float = Field(
        default=5.0, ge=1, le=100, description="size of PhysX's other buffers"
    )
    position_iterations: int = Field(
        default=4, ge=1, le=255, description="of the solver, per substep of 5 ms"
    )
    velocity_iterations: int = Field(
        default=0, ge=0, le=255, description="of the solver, per substep of 5 ms"
    )
    slices_per_cylinder: int = Field(
        default=20,
        ge=3,
        le=32,
        description="faces of the prism that a cylinder becomes; PhysX on a GPU takes up to 32",
    )
    robot_height: float = Field(
        default=0.34, ge=0.2, le=1, description="of the bases at the start of an episode, m"
    )
    robot_friction: float = Field(default=1.0, ge=0, le=10, description="of the robots' shapes")
    graphics_device: int = Field(
        default=0,
        ge=0,
        le=31,
        description="GPU that draws, as Vulkan counts them; for videos and the viewer only",
    )
    check_memory: int = Field(
        default=1, ge=0, le=1, description="whether free GPU memory is held against an estimate"
    )


def parse(text: str) -> Options:
    """Read `name=value,name=value`.

    Raises:
        RequestError: a name is unknown, or a value is no number or out of range.
    """
    known = Options.model_fields
    values: Dict[str, Any] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, _, value = part.partition("=")
        if name not in known:
            raise RequestError(
                f"--sim_options {part!r}: isaacgym has {', '.join(known)}; write name=value"
            )
        try:
            values[name] = schema.read(known[name].annotation, value)
        except ValueError:
            raise RequestError(
                f"--sim_options {part!r}: {name} {schema.allowed(known[name])}"
            ) from None
        wrong = schema.complaint(Options, name, values[name])
        if wrong:
            raise RequestError(f"--sim_options {part!r}: {name} {wrong}")
    return Options(**values)
