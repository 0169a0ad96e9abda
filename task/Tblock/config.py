"""Two robots push a block in the shape of a T."""

from mapush.tasks import Box, Object, PushTask, Robots, Termination

task = PushTask(
    name="Tblock",
    robots=Robots(count=2),
    object=Object(
        shapes=(
            Box(size=(1.0, 0.5, 0.5), mass=2.0, inertia=(0.01, 0.01, 0.01)),
            Box(size=(0.5, 0.5, 0.5), mass=1.0, inertia=(0.01, 0.01, 0.01), center=(0.0, 0.5)),
        ),
        footprint=((-0.5, -0.25), (0.5, -0.25), (0.25, 0.75), (-0.25, 0.75)),
        friction=(0.6, 0.7),
    ),
    termination=Termination(robot_distance=0.27),
)
