from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Tuple

import pytest
import torch

from mapush.checkpoint.module import load
from mapush.errors import CheckpointError, MapushError, RequestError
from mapush.evaluation.policy import LoadedPolicy, load_policy
from mapush.evaluation.success_rates import Entry, write_success_rate
from mapush.export import command, robot
from mapush.export.description import observation_names
from mapush.runs.__main__ import main
from mapush.simulators.base import State
from mapush.tasks import load_task
from mapush.tasks.push.observation import observe
from mapush.train import main as train
from tests.support import PROJECT, SMALL, differences, without_openrl

RECIPES = ("default", "published")

needs_openrl = pytest.mark.skipif(bool(without_openrl()), reason=without_openrl())
formats = pytest.mark.parametrize(
    "form", [pytest.param("openrl", marks=needs_openrl), "torchscript", "onnx"]
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of two checkpoints each, `default` and `published`."""
    root = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(PROJECT)
        for name in RECIPES:
            ends = ["--train_timesteps", "800", "--eval_freq", "0", "--final_envs", "0"]
            ends += ["--recipe", name, "--exp_name", name, "--root", str(root)]
            held = ["5", "4"] if name == "default" else ["1", "20"]
            assert train([*SMALL, "--hold", held[0], "--decisions", held[1], *ends]) == 0
    return root


def run_of(root: Path, name: str) -> Path:
    (found,) = (root / "results").glob(f"*_{name}")
    return found


def original(run: Path, step: int) -> LoadedPolicy:
    path = run / "checkpoints" / f"rl_model_{step}_steps" / "module.pt"
    return load_policy(path, load_task(run / "task"))


def observations(count: int = 50) -> torch.Tensor:
    return 3.0 * torch.randn(count, 8, generator=torch.Generator().manual_seed(5))


def export(root: Path, run: Path, form: str, *options: str) -> int:
    return main(["--root", str(root), "export", str(run), "--format", form, *options])


def commands(policy: LoadedPolicy, run: Path, seen: torch.Tensor) -> torch.Tensor:
    control = load_task(run / "task").control
    return torch.tensor(control.limit) * (control.gain * policy(seen)).clamp(-1.0, 1.0)


@pytest.mark.parametrize("name", RECIPES)
def test_a_torchscript_policy_computes_what_the_checkpoint_does(
    name: str, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, path = run_of(root, name), tmp_path / "robot.pt"
    assert export(root, run, "torchscript", "--output", str(path)) == 0
    assert "largest difference from the original on 1,000 random observations: " in (
        capsys.readouterr().out
    )
    extra = {robot.METADATA: ""}
    policy = torch.jit.load(str(path), _extra_files=extra)
    mine, seen = original(run, 800), observations()
    assert torch.allclose(policy(seen), mine(seen), atol=1e-6)
    assert torch.allclose(policy(seen[0]), mine(seen[0]), atol=1e-6)  # one robot alone
    assert torch.allclose(policy.command(seen), commands(mine, run, seen), atol=1e-6)
    known = json.loads(extra[robot.METADATA])
    assert known["hold_control_steps"] == mine.decimation == {"default": 5, "published": 1}[name]
    assert known["decide_every_seconds"] == pytest.approx(0.02 * mine.decimation)
    assert (known["task"], known["training_step"]) == ("cuboid", 800)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_an_onnx_policy_computes_what_the_checkpoint_does(
    name: str, root: Path, tmp_path: Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="pip install -r requirements/onnx.txt")
    run, path = run_of(root, name), tmp_path / "robot.onnx"
    assert export(root, run, "onnx", "--output", str(path)) == 0
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    mine = original(run, 800)
    for count in (1, 50):
        seen = observations(count)
        action, velocity = session.run(["action", "command"], {"observation": seen.numpy()})
        assert torch.allclose(torch.from_numpy(action), mine(seen), atol=1e-5)
        assert torch.allclose(torch.from_numpy(velocity), commands(mine, run, seen), atol=1e-5)
    known = session.get_modelmeta().custom_metadata_map
    assert known["hold_control_steps"] == str(mine.decimation)
    assert json.loads(known["observation"]) == observation_names(2)


# Everything is OpenRL's own: its network class, its agent, its load. Prints what came of it.
LOAD = """
import json, sys
import numpy as np
import openrl.runners.common
from gym.spaces import Box
from openrl.configs.config import create_config_parser
from openrl.modules.common import PPONet
from openrl.runners.common import PPOAgent

class Env:
    parallel_env_num, agent_num, env_name = 3, 2, "none"
    observation_space, action_space = Box(-1, 1, (int(sys.argv[2]),)), Box(-1, 1, (3,))
    def reset(self, seed=None):
        pass

agent = PPOAgent(PPONet(Env(), cfg=create_config_parser().parse_args([])))
agent.load(sys.argv[1])
seen = np.array(json.loads(sys.stdin.read()), dtype=np.float32)
action, _ = agent.act(seen, deterministic=True)
module = agent.net.module
critic = module.get_critic_value_normalizer()
moments = [float(v["exp_avg"].sum()) for o in module.optimizers.values() for v in o.state.values()]
print(json.dumps({
    "action": action.tolist(),
    "running_mean": float(critic.running_mean), "beta": critic.beta,
    "value": module.get_values(seen.reshape(6, -1), np.zeros(1), np.zeros(1)).flatten().tolist(),
    "moments": moments, "lr": module.optimizers["policy"].param_groups[0]["lr"],
    "gamma": module.cfg.gamma, "entropy": module.cfg.entropy_coef,
}))
"""


def load_with_openrl(path: Path, seen: torch.Tensor) -> Dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(path), str(seen.shape[-1])],
        input=json.dumps(seen.tolist()),
        env={**os.environ, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@needs_openrl
def test_openrls_own_agent_loads_the_exported_module(root: Path, tmp_path: Path) -> None:
    run = run_of(root, "published")
    assert export(root, run, "openrl", "--output", str(tmp_path)) == 0
    seen = observations(6).reshape(3, 2, 8)
    found = load_with_openrl(tmp_path / "module.pt", seen)
    assert torch.allclose(torch.tensor(found["action"]), original(run, 800)(seen), atol=1e-6)
    state = load(run / "checkpoints" / "rl_model_800_steps" / "module.pt")
    assert found["running_mean"] == float(state["value_normalizer"]["running_mean"]) != 0.0
    # The actor's come first in both; OpenRL orders each network's parameters as torch does.
    moments = [float(m["exp_avg"].sum()) for m in state["optimizer_state"]["state"].values()]
    assert sorted(found["moments"]) == pytest.approx(sorted(moments))
    assert (found["beta"], found["gamma"], found["entropy"]) == (0.99999, 0.99, 0.01)
    assert found["lr"] == 5e-4


@pytest.mark.slow
@needs_openrl
def test_an_exported_module_is_read_back_as_a_published_checkpoint(
    root: Path, tmp_path: Path
) -> None:
    run = run_of(root, "published")
    folder = tmp_path / "rl_model_800_steps"
    folder.mkdir()
    assert export(root, run, "openrl", "--output", str(folder)) == 0
    policy, mine = load_policy(folder / "module.pt", load_task(run / "task")), original(run, 800)
    assert policy.step == 800
    assert differences(dict(policy.actor.state_dict()), dict(mine.actor.state_dict())) == []


@pytest.mark.slow
@needs_openrl
def test_what_openrl_cannot_know_of_a_module_is_said(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(root, "default")
    assert export(root, run, "openrl", "--output", str(tmp_path)) == 0
    said = capsys.readouterr().out
    assert "give them 10 numbers, the cosine of observation numbers [4, 7]" in said
    assert "held for 5 control steps" in said
    seen = observations(6)
    turned = seen[:, [4, 7]]
    seen[:, [4, 7]] = torch.cos(turned)
    seen = torch.cat((seen, torch.sin(turned)), dim=1).reshape(3, 2, 10)
    found = load_with_openrl(tmp_path / "module.pt", seen)
    expected = original(run, 800)(observations(6)).reshape(3, 2, 3)
    assert torch.allclose(torch.tensor(found["action"]), expected, atol=1e-6)


@formats
def test_an_export_lands_under_the_root_by_run_and_step(form: str, root: Path) -> None:
    run = run_of(root, "published")
    assert export(root, run, form, "--step", "400") == 0
    folder = root / "exports" / run.name / "rl_model_400_steps"
    assert (folder / command.FILE_NAMES[form]).is_file()
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


@formats
def test_nothing_is_overwritten_unless_told(form: str, root: Path, tmp_path: Path) -> None:
    run, path = run_of(root, "published"), tmp_path / "there"
    path.write_text("mine")
    with pytest.raises(RequestError, match=r"there: is there already; give --overwrite"):
        export(root, run, form, "--output", str(path))
    assert path.read_text() == "mine"
    assert export(root, run, form, "--output", str(path), "--overwrite") == 0
    assert path.stat().st_size > 10_000


def test_what_computes_something_else_is_not_written(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(source: Any) -> Tuple[bytes, Any]:
        data, run = robot.make_torchscript(source)
        return data, lambda seen: (run(seen)[0] + 1e-3, run(seen)[1])

    monkeypatch.setattr(command, "make_torchscript", wrong)
    with pytest.raises(MapushError, match=r"differs from it by 1.0e-03, so nothing was written"):
        export(root, run_of(root, "default"), "torchscript", "--output", str(tmp_path / "x.pt"))
    assert list(tmp_path.iterdir()) == []


def exported_steps(root: Path, *options: str) -> int:
    target = root / "chosen.pt"
    run = run_of(root, "published")
    assert export(root, run, "torchscript", "--output", str(target), "--overwrite", *options) == 0
    extra = {robot.METADATA: ""}
    torch.jit.load(io.BytesIO(target.read_bytes()), _extra_files=extra)
    return json.loads(extra[robot.METADATA])["training_step"]


def test_the_checkpoint_of_a_run_is_chosen_by_step_or_by_success(root: Path) -> None:
    run = run_of(root, "published")
    assert exported_steps(root) == 800
    assert exported_steps(root, "--step", "400") == 400
    assert exported_steps(root, "--step", "0.4k") == 400
    with pytest.raises(RequestError, match=r"--step best: no checkpoint.*mapush.test --run"):
        exported_steps(root, "--step", "best")
    for step, success in ((400, 0.5), (800, 0.25)):
        write_success_rate(
            run / "success_rate.txt",
            Entry(
                step=step,
                success_rate=success,
                finished_time=1.0,
                metrics={},
                episodes=4,
                low=0.0,
                high=1.0,
            ),
        )
    assert exported_steps(root, "--step", "best") == 400
    with pytest.raises(RequestError, match=r"--step 17: .*400, 800"):
        exported_steps(root, "--step", "17")


def test_a_damaged_newest_checkpoint_is_passed_over_and_left_where_it_is(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    newest = run_of(root, "published") / "checkpoints" / "rl_model_800_steps" / "module.pt"
    good = newest.read_bytes()
    newest.write_bytes(good[:-100])
    try:
        assert exported_steps(root) == 400
        with pytest.raises(CheckpointError):
            exported_steps(root, "--step", "800")
        assert newest.is_file()
    finally:
        newest.write_bytes(good)
    assert "passed over" in caplog.text


def test_one_checkpoint_is_named_by_its_file_or_directory(root: Path, tmp_path: Path) -> None:
    run = run_of(root, "published")
    folder = run / "checkpoints" / "rl_model_400_steps"
    for number, named in enumerate((folder, folder / "module.pt")):
        assert export(root, named, "torchscript", "--output", str(tmp_path / str(number))) == 0
    alone = tmp_path / "alone.pt"
    alone.write_bytes((folder / "module.pt").read_bytes())
    with pytest.raises(RequestError, match=r"alone.pt: lies in no run; name its task with --exp"):
        export(root, alone, "torchscript")
    assert export(root, alone, "torchscript", "--exp", "cuboid") == 0
    assert (root / "exports" / "cuboid" / "rl_model_400_steps").is_dir()
    with pytest.raises(RequestError, match=r"--step 400: .* is one checkpoint"):
        export(root, alone, "torchscript", "--step", "400")
    with pytest.raises(RequestError, match=r"--exp cuboid: .* has its own task"):
        export(root, run, "torchscript", "--exp", "cuboid")


@pytest.mark.parametrize(
    ("form", "package", "said"),
    [
        ("onnx", "onnx", "requirements/onnx.txt"),
        ("onnx", "onnxruntime", "requirements/onnx.txt"),
        ("openrl", "openrl", "requirements/openrl.txt"),
    ],
)
def test_where_a_package_is_missing_it_is_said_what_to_install(
    form: str,
    package: str,
    said: str,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(RequestError, match=f"--format {form}: .*{package}.*{said}"):
        export(root, run_of(root, "published"), form, "--output", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_names_are_those_of_the_observations_numbers() -> None:
    robots = torch.tensor([[[0.0, 0.0, 0.0], [1.0, 2.0, 0.1], [3.0, 4.0, 0.2]]])
    box = torch.tensor([[5.0, 6.0, 0.3]])
    bodies = State(robots, box, torch.zeros(1, 2), torch.zeros(1))
    seen = observe(bodies, torch.tensor([[7.0, 8.0]]))[0, 0].tolist()
    assert dict(zip(observation_names(3), seen)) == pytest.approx(
        {
            "target_x": 7,
            "target_y": 8,
            "object_x": 5,
            "object_y": 6,
            "object_yaw": 0.3,
            "robot_minus_1_x": 3,
            "robot_minus_1_y": 4,
            "robot_minus_1_yaw": 0.2,
            "robot_minus_2_x": 1,
            "robot_minus_2_y": 2,
            "robot_minus_2_yaw": 0.1,
        }
    )
