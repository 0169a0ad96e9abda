"""A task and the planar simulator as one kernel do what the task's torch functions say."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
import torch

pytest.importorskip("warp", reason="needs the planar extra")

from mapush.environment.base import Episode, Transition
from mapush.environment.fused.environment import FusedEnvironment
from mapush.environment.fused.program import record
from mapush.environment.vector import VectorEnvironment
from mapush.errors import CheckpointError, TaskError
from mapush.simulators.base import Start, State
from mapush.simulators.planar import compiled
from mapush.simulators.planar.simulator import PlanarSimulator
from mapush.tasks.base import Random
from mapush.tasks.push.logic import PushLogic
from tests.environment.scripted import task_of
from tests.support import PROJECT, SMALL, run_train

EXPS = ("cuboid", "Tblock", "cylinder")
ENVS, HOLD = 48, 5


def fused(exp: str, envs: int = ENVS, threads: int = 0, seed: int = 3) -> FusedEnvironment:
    return FusedEnvironment(task_of(exp), envs, "cpu", seed, HOLD, threads)


def actions(exp: str, count: int, envs: int = ENVS) -> List[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [
        3 * torch.randn(envs, task_of(exp).agents, 3, generator=generator) for _ in range(count)
    ]


def toward(observation: torch.Tensor) -> torch.Tensor:
    """Turn to the object and walk into it, which makes episodes of every kind."""
    to = observation[..., 2:4]
    turn = torch.atan2(to[..., 1], to[..., 0])
    return torch.stack((2 * torch.cos(turn), 2 * torch.sin(turn), 4 * turn), dim=-1)


def eager(environment: FusedEnvironment) -> VectorEnvironment:
    """The same episodes, control step by control step in torch."""
    task = environment.task
    simulator = PlanarSimulator(task.scene, environment.num_envs)
    other = VectorEnvironment(task, simulator, seed=0, decimation=environment.decimation)
    state = environment.state_dict()
    shapes = environment._program.memory_shapes
    sizes = [int(torch.Size(shape).numel()) for shape in shapes.values()]
    memory = dict(zip(shapes, state["memory"].split(sizes, dim=1)))
    other.load_state_dict(
        {
            **other.state_dict(),
            **{name: memory[name].reshape(-1, *shape) for name, shape in shapes.items()},
            "simulator": state["simulator"],
            "clock": state["clock"].long(),
            "return": state["return"],
        }
    )
    return other


@pytest.mark.parametrize("exp", EXPS)
def test_a_decision_is_what_the_torch_functions_say(exp: str) -> None:
    environment = fused(exp)
    for _ in range(30):
        environment.step(toward(environment.observe()))
    other = eager(environment)
    torch.testing.assert_close(environment.observe(), other.observe(), rtol=1e-5, atol=1e-5)
    action = toward(environment.observe())
    mine, theirs = environment.step(action), other.step(action)
    assert torch.equal(mine.terminated, theirs.terminated)
    assert torch.equal(mine.truncated, theirs.truncated)
    going = ~(mine.terminated | mine.truncated)
    # A robot as near to two faces, or an object at the push term's limit, may go either way.
    apart = (mine.reward - theirs.reward).abs()
    assert float((apart < 1e-5).float().mean()) > 0.94
    assert float(apart.max()) < 0.01
    torch.testing.assert_close(
        mine.last_observation[going], theirs.last_observation[going], rtol=1e-4, atol=1e-4
    )
    terms = other.take_reward_terms()
    environment.take_reward_terms()
    assert set(terms) == set(environment.take_reward_terms())


@pytest.mark.slow
@pytest.mark.parametrize("exp", EXPS)
def test_first_episodes_end_as_in_torch(exp: str) -> None:
    environment = fused(exp, envs=64)
    other = eager(environment)
    mine, theirs = environment.play(toward), other.play(toward)
    same = (mine.success == theirs.success) & (mine.failure == theirs.failure)
    # Contact is chaotic: a last bit may make another episode of a few.
    assert same.float().mean() > 0.85
    close = (mine.control_steps - theirs.control_steps).abs() < 30
    assert (same & close).float().mean() > 0.75
    alike = mine.control_steps == theirs.control_steps
    torch.testing.assert_close(
        mine.reward[alike & same], theirs.reward[alike & same], rtol=0.05, atol=0.5
    )
    assert int(mine.failure.sum()) > 0


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_bits_do_not_depend_on_the_number_of_threads(threads: int) -> None:
    one, other = fused("cuboid", 200, 1), fused("cuboid", 200, threads)
    for action in actions("cuboid", 20, 200):
        mine, theirs = one.step(action), other.step(action)
        assert torch.equal(mine.reward, theirs.reward)
    assert_same(one.state_dict(), other.state_dict())


def test_a_capture_continues_to_the_bit_in_another_environment() -> None:
    environment = fused("Tblock")
    todo = actions("Tblock", 230)
    for action in todo[:190]:
        environment.step(action)
    captured = environment.state_dict()
    environment.take_episodes()
    expected = [environment.step(action) for action in todo[190:]]
    other = fused("Tblock", seed=99)
    other.load_state_dict(captured)
    for before, action in zip(expected, todo[190:]):
        assert_same_transition(before, other.step(action))
    assert_same(environment.state_dict(), other.state_dict())
    assert environment.take_episodes() == other.take_episodes()
    assert environment.success_rate == other.success_rate


def test_a_start_depends_on_its_environment_and_episode_alone() -> None:
    few, many = fused("cuboid", 8), fused("cuboid", 40)
    assert torch.equal(few.observe(), many.observe()[:8])
    still, pushing = torch.zeros(8, 2, 3), torch.zeros(40, 2, 3)
    pushing[8:] = 1.0
    for _ in range(201):
        few.step(still)
        many.step(pushing)
    assert len(few.take_episodes()) >= 8
    assert torch.equal(few.observe(), many.observe()[:8])


def test_starts_follow_the_published_distributions() -> None:
    environment = fused("cuboid", 4000)
    seen = environment.observe()
    distance = seen[..., 2:4].norm(dim=-1)
    assert float(distance.min()) >= 1.2
    assert float(distance.max()) <= 1.3 + 1e-5
    target = (seen[:, 0, :2] - seen[:, 0, 2:4]).norm(dim=-1)
    assert float(target.min()) >= 1.5
    assert float(target.max()) <= 3.0 + 1e-5
    assert abs(float(target.mean()) - 2.25) < 0.03
    assert abs(float(seen[..., 4].mean()) - torch.pi) < 0.08


def test_restart_is_as_if_it_were_built_anew() -> None:
    environment = fused("cylinder")
    for action in actions("cylinder", 5):
        environment.step(action)
    environment.restart(11)
    assert_same(environment.state_dict(), fused("cylinder", seed=11).state_dict())
    assert not environment.take_episodes()


def test_finished_episodes_are_counted_as_they_went() -> None:
    environment = fused("cuboid")
    for _ in range(205):
        environment.step(torch.zeros(ENVS, 2, 3))
    episodes: List[Episode] = environment.take_episodes()
    assert len(episodes) >= ENVS
    lengths = {each.control_steps for each in episodes}
    assert 1000 in lengths
    assert all(1 <= length <= 1000 for length in lengths)
    assert environment.success_rate == sum(e.success for e in episodes) / len(episodes)
    terms = environment.take_reward_terms()
    assert set(terms) == set(PushLogic.reward_names)
    assert terms["approach_reward"] < 0


def test_a_capture_of_another_size_is_refused() -> None:
    with pytest.raises(CheckpointError, match="simulator state"):
        fused("cuboid", 8).load_state_dict(fused("cuboid", 9).state_dict())


Observed = Callable[[torch.Tensor, State], torch.Tensor]


def _into(seen: torch.Tensor, state: State) -> torch.Tensor:
    kept = torch.zeros(seen.shape)
    kept[:] = seen
    return kept


@pytest.mark.parametrize(
    ("observed", "says"),
    [
        pytest.param(lambda o, s: o - s.robots.mean(dim=0)[:, :1], "mixes environments", id="mix"),
        pytest.param(lambda o, s: o - o.mean(), "mean there mixes environments", id="mean"),
        pytest.param(lambda o, s: o.flip(0), "torch.flip is nothing that", id="order"),
        pytest.param(lambda o, s: o.cumsum(dim=2), "torch.cumsum is nothing that", id="unknown"),
        pytest.param(
            lambda o, s: torch.div(o, 2, rounding_mode="floor"), "with rounding_mode=", id="rounded"
        ),
        pytest.param(lambda o, s: o.long().float(), "with dtype=torch.int64", id="whole"),
        pytest.param(lambda o, s: o.pow(3), "a power of 3 is not known", id="cube"),
        pytest.param(lambda o, s: o if bool(o.any()) else -o, "is nothing that|mixes", id="branch"),
        pytest.param(lambda o, s: o.mul_(2.0), "torch.mul_ is nothing that", id="in-place"),
        pytest.param(_into, "torch.copy_ is nothing that", id="written"),
    ],
)
def test_what_a_kernel_cannot_do_is_refused_by_name(
    observed: Observed, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Logic(PushLogic):
        def observe(self, state: State) -> torch.Tensor:
            return observed(super().observe(state), state)

    monkeypatch.setattr("mapush.environment.fused.program.make_logic", Logic)
    with pytest.raises(TaskError, match=says):
        record(task_of("cuboid"))


def test_an_object_needs_no_target_and_keeps_its_friction(monkeypatch: pytest.MonkeyPatch) -> None:
    class Logic(PushLogic):
        def draw(self, count: int, random: Random) -> Start:
            return replace(super().draw(count, random), target=torch.empty(0, 2))

        def begin(self, mask: torch.Tensor, start: Start, state: State) -> None:
            super().begin(mask, replace(start, target=state.object[:, :2] + 2.0), state)

    expected = fused("cuboid").state_dict()["simulator"]
    monkeypatch.setattr("mapush.environment.fused.program.make_logic", Logic)
    assert_same(fused("cuboid").state_dict()["simulator"], expected)


@pytest.mark.slow
def test_a_start_of_training_does_not_import_torchs_compiler(tmp_path: Path) -> None:
    options = [*SMALL, "--train_timesteps", "400", "--eval_freq", "0", "--root", str(tmp_path)]
    program = (
        "import sys; from mapush.commands.train import main\n"
        f"print(main({options!r}), 'torch._dynamo' in sys.modules)"
    )
    done = run_python(program)
    assert done.stdout.splitlines()[-1] == "0 False", done.stderr


@pytest.mark.slow
def test_an_images_kernels_are_found_and_nothing_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = "from mapush.environment.fused import bundle; import sys\n"
    bundle += f"sys.argv[1:] = ['--to', {str(tmp_path / 'kernels')!r}]; sys.exit(bundle.main())"
    done = run_python(bundle)
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("MAPUSH_KERNELS", str(tmp_path / "kernels"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = run_train(tmp_path, "--train_timesteps", "400", "--final_envs", "2")
    assert done.returncode == 0, done.stderr
    assert "compiling" not in done.stderr
    assert not list((tmp_path / "cache").rglob("*.o"))


def run_python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_a_damaged_kernel_is_compiled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    expected = fused("cuboid").state_dict()
    (kernel,) = (tmp_path / "mapush" / "kernels").glob("mapush_*")
    (binary,) = kernel.rglob("*.o")
    binary.write_bytes(binary.read_bytes()[:-1])
    caplog.clear()
    with caplog.at_level("WARNING", "mapush"):
        assert_same(expected, fused("cuboid").state_dict())
    assert "compiling" in caplog.text
    assert compiled._is_whole(kernel)
    caplog.clear()
    with caplog.at_level("WARNING", "mapush"):
        fused("cuboid")
    assert "compiling" not in caplog.text


def assert_same(one: Dict[str, Any], other: Dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, dict):
            assert_same(value, other[name])
        elif isinstance(value, torch.Tensor):
            assert torch.equal(value, other[name]), name
        else:
            assert value == other[name], name


def assert_same_transition(one: Transition, other: Transition) -> None:
    assert torch.equal(one.reward, other.reward)
    assert torch.equal(one.terminated, other.terminated)
    assert torch.equal(one.last_observation, other.last_observation)
