"""The kernel: one decision of one environment of one task, from its action to its next observation.

Numbers of an environment stand in rows of arrays. What a task's functions take and give follows
one another as `TaskProgram` says.
"""

from __future__ import annotations

from typing import Any

import warp as wp

from mapush.environment.fused.program import TaskProgram, state_size
from mapush.environment.fused.random import fill_uniform
from mapush.simulators.planar.bodies import Body
from mapush.simulators.planar.constants import Constants
from mapush.simulators.planar.contacts import Contact
from mapush.simulators.planar.ground import Support
from mapush.simulators.planar.kernel import (
    load_bodies,
    place_bodies,
    read_bodies,
    store_bodies,
)
from mapush.simulators.planar.substep import advance

DECIDE = wp.constant(0)
"""Hold the actions; episodes that end begin anew."""
PLAY = wp.constant(1)
"""Hold the actions; episodes that end stay as they are, and those that have ended are left out."""
BEGIN = wp.constant(2)
"""Begin the next episode everywhere."""
LOOK = wp.constant(3)
"""Only observe."""


@wp.struct
class Episodes:
    """The episodes in flight, and those that end: a row for every environment.

    Attributes:
        state: bodies, as `mapush.simulators.planar.kernel` has them.
        friction: of the object.
        memory: of the task.
        number: how many episodes were begun before, 0 for the first.
        clock: control steps done.
        earned: reward summed over control steps, mean of the agents.
        held: control steps at which each metric held.
        done: whether the episode has ended with the last decision, or while playing ever.
        success, failure, late: how it has ended.
        length: control steps that it had.
        total: reward that it earned.
        terms: every reward term, mean of the agents, summed over control steps.
    """

    state: wp.array2d(dtype=float)
    friction: wp.array(dtype=float)
    memory: wp.array2d(dtype=float)
    number: wp.array(dtype=wp.int32)
    clock: wp.array(dtype=wp.int32)
    earned: wp.array(dtype=float)
    held: wp.array2d(dtype=float)
    done: wp.array(dtype=wp.bool)
    success: wp.array(dtype=wp.bool)
    failure: wp.array(dtype=wp.bool)
    late: wp.array(dtype=wp.bool)
    length: wp.array(dtype=wp.int32)
    total: wp.array(dtype=float)
    terms: wp.array2d(dtype=float)


@wp.struct
class Exchange:
    """What a decision takes and gives: a row for every environment.

    Attributes:
        action: (agents * size).
        reward: (agents) summed over the control steps for which the action was held.
        last: observations (agents * size) before anything began anew.
        observation: likewise after that.
    """

    action: wp.array2d(dtype=float)
    reward: wp.array2d(dtype=float)
    last: wp.array2d(dtype=float)
    observation: wp.array2d(dtype=float)


def make_decision(
    program: TaskProgram,
    robots: int,
    agents: int,
    action_size: int,
    supports: int,
    room: int,
    substeps: int,
    control_steps: int,
    module: wp.Module,
) -> Any:  # noqa: ANN401 - a Warp kernel
    """The kernel of a task.

    Args:
        program: what the task computes.
        robots: in its scene.
        agents: that act.
        action_size: numbers of one agent's action.
        supports: points that its object stands on.
        room: for contacts, see `mapush.simulators.planar.room`.
        substeps: of a control step.
        control_steps: length of an episode.
        module: where the kernel is compiled.
    """
    draw, begin = program.draw.build(), program.begin.build()
    observe, command, judge = (
        program.observe.build(),
        program.command.build(),
        program.judge.build(),
    )
    action_count = agents * action_size
    bodies_count, points = robots + 1, max(supports, 1)
    state_count = state_size(robots, supports > 0)
    memory_count = len(program.begin.outputs)
    observation_count = len(program.observe.outputs)
    command_count = len(program.command.outputs)
    judged_count, start_count = len(program.judge.outputs), len(program.draw.outputs)
    random_count = program.random_count
    terms, metrics = len(program.terms), len(program.metrics)

    @wp.kernel(module=module, enable_backward=False)
    def decision(
        episodes: Episodes,
        exchange: Exchange,
        k: Constants,
        seed: int,
        mode: int,
        decimation: int,
        first: int,
    ):
        e = wp.tid() + first
        if mode == PLAY and episodes.done[e]:
            return
        bodies = wp.zeros(shape=bodies_count, dtype=Body)
        contacts = wp.zeros(shape=room, dtype=Contact)
        standing = wp.zeros(shape=points, dtype=Support)
        commands = wp.zeros(shape=robots, dtype=wp.vec3)
        before = wp.zeros(shape=state_count, dtype=float)
        after = wp.zeros(shape=state_count, dtype=float)
        memory = wp.zeros(shape=memory_count, dtype=float)
        action = wp.zeros(shape=action_count, dtype=float)
        velocity = wp.zeros(shape=command_count, dtype=float)
        judged = wp.zeros(shape=judged_count, dtype=float)
        seen = wp.zeros(shape=observation_count, dtype=float)
        reward = wp.zeros(shape=agents, dtype=float)

        load_bodies(episodes.state, e, k, bodies)
        for i in range(memory_count):
            memory[i] = episodes.memory[e, i]
        read_bodies(bodies, k, after)
        done = bool(mode == BEGIN)
        success = bool(False)
        failure = bool(False)
        late = bool(False)
        clock = episodes.clock[e]
        if mode <= PLAY:
            for i in range(action_count):
                action[i] = exchange.action[e, i]
            command(action, velocity)
            for i in range(robots):
                commands[i] = wp.vec3(velocity[3 * i], velocity[3 * i + 1], velocity[3 * i + 2])
            friction = episodes.friction[e]
            earned = episodes.earned[e]
            for _ in range(decimation):
                if not done:
                    for i in range(state_count):
                        before[i] = after[i]
                    for _s in range(substeps):
                        advance(bodies, commands, k, contacts, standing, friction)
                    read_bodies(bodies, k, after)
                    judge(before, after, memory, judged)
                    clock = clock + 1
                    success = judged[0] > 0.5
                    failure = judged[1] > 0.5
                    late = clock >= control_steps and not success and not failure
                    done = success or failure or late
                    for t in range(terms):
                        mean = float(0.0)
                        for a in range(agents):
                            value = judged[2 + t * agents + a]
                            reward[a] = reward[a] + value
                            mean = mean + value / float(agents)
                        episodes.terms[e, t] = episodes.terms[e, t] + mean
                        earned = earned + mean
                    for i in range(metrics):
                        episodes.held[e, i] = episodes.held[e, i] + judged[2 + terms * agents + i]
            for i in range(agents):
                exchange.reward[e, i] = reward[i]
            episodes.earned[e] = earned
            episodes.done[e] = done
            episodes.success[e] = success
            episodes.failure[e] = failure
            episodes.late[e] = late
            episodes.length[e] = clock
            episodes.total[e] = earned

        observe(after, memory, seen)
        for i in range(observation_count):
            exchange.last[e, i] = seen[i]
        if done and mode != PLAY:
            random = wp.zeros(shape=random_count, dtype=float)
            start = wp.zeros(shape=start_count, dtype=float)
            number = episodes.number[e] + 1
            fill_uniform(seed, e, number, random)
            draw(random, start)
            episodes.friction[e] = place_bodies(start, k, bodies)
            read_bodies(bodies, k, after)
            begin(start, after, memory)
            for i in range(memory_count):
                episodes.memory[e, i] = memory[i]
            episodes.number[e] = number
            episodes.earned[e] = 0.0
            for i in range(metrics):
                episodes.held[e, i] = 0.0
            clock = 0
            observe(after, memory, seen)
        episodes.clock[e] = clock
        store_bodies(episodes.state, e, k, bodies)
        for i in range(observation_count):
            exchange.observation[e, i] = seen[i]

    return decision
