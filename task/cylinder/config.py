"""Three robots push a cylinder with a diameter of 3 m."""

from mapush.tasks import Cylinder, Object, PushTask, Rewards, Robots

task = PushTask(
    name="cylinder",
    robots=Robots(count=3, start_distance=(2.0, 2.5)),
    object=Object(
        shapes=(Cylinder(radius=1.5, height=0.5, mass=10.0, inertia=(0.0833, 0.0833, 0.0417)),),
        footprint=(
            (-0.75, -1.3),
            (0.75, -1.3),
            (1.5, 0.0),
            (0.75, 1.3),
            (-0.75, 1.3),
            (-1.5, 0.0),
        ),
        friction=(0.3, 0.4),
    ),
    rewards=Rewards(collision=-0.0015),
)
