"""Two robots push a box with a side of 1.2 m."""

from mapush.tasks import Box, Object, PushTask, Robots

task = PushTask(
    name="cuboid",
    robots=Robots(count=2),
    object=Object(
        shapes=(Box(size=(1.2, 1.2, 0.5), mass=4.0, inertia=(0.25, 0.25, 0.25)),),
        footprint=((-0.6, -0.6), (0.6, -0.6), (0.6, 0.6), (-0.6, 0.6)),
        friction=(0.5, 0.6),
    ),
)
