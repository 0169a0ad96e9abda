from __future__ import annotations

from pathlib import Path
from typing import Dict, Mapping, Tuple

import handmade_archives as archives
import pytest
import torch
from checkpoint_states import state_at
from handmade_archives import archive, name, program, text, whole

from mapush.checkpoint import module, published
from mapush.checkpoint.archive import read_archive
from mapush.errors import CheckpointError

REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "checkpoints"
PUBLISHED = sorted(REFERENCE.glob("*/rl_model_*_steps/module.pt"))
OBSERVATION_SIZE = {"cuboid": 8, "Tblock": 8, "cylinder": 11}

needs_reference = pytest.mark.skipif(
    not PUBLISHED, reason="the published checkpoints are not in ../shared beside the project"
)
every_published = pytest.mark.parametrize(
    "path", PUBLISHED, ids=lambda path: f"{path.parents[1].name}-{path.parent.name}"
)

TRUNK_SHAPES = {
    "base.mlp.fc1.0.weight": (64, None),
    "base.mlp.fc1.0.bias": (64,),
    "base.mlp.fc1.2.weight": (64,),
    "base.mlp.fc1.2.bias": (64,),
    "base.mlp.fc3.0.weight": (64, 64),
    "base.mlp.fc3.0.bias": (64,),
    "base.mlp.fc3.1.weight": (64,),
    "base.mlp.fc3.1.bias": (64,),
}
ACTOR_SHAPES = {
    **TRUNK_SHAPES,
    "act.action_out.fc_mean.weight": (3, 64),
    "act.action_out.fc_mean.bias": (3,),
    "act.action_out.logstd._bias": (3, 1),
}
CRITIC_SHAPES = {**TRUNK_SHAPES, "v_out.weight": (1, 64), "v_out.bias": (1,)}


def shapes(network: Mapping[str, torch.Tensor]) -> Dict[str, Tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.items()}


@needs_reference
def test_all_thirty_are_there() -> None:
    assert len(PUBLISHED) == 30


@every_published
def test_a_published_checkpoint_gives_its_networks_under_openrls_names(path: Path) -> None:
    size = OBSERVATION_SIZE[path.parents[1].name]
    state = published.load(path)
    for network, expected in (("actor_network", ACTOR_SHAPES), ("critic_network", CRITIC_SHAPES)):
        found = shapes(state[network])
        assert found == {**expected, "base.mlp.fc1.0.weight": (64, size)}
        assert all(torch.isfinite(tensor).all() for tensor in state[network].values())
        assert all(type(tensor) is torch.Tensor for tensor in state[network].values())
    assert state["network_architecture"] == {
        "observation_size": size,
        "action_size": 3,
        "hidden_sizes": [64, 64],
        "activation": "ReLU",
    }


@every_published
def test_a_published_checkpoint_gives_step_normaliser_and_optimizers(path: Path) -> None:
    state = published.load(path)
    assert path.parent.name == f"rl_model_{state['training_step']}_steps"
    assert set(state["value_normalizer"]) == {"running_mean", "running_mean_sq", "debiasing_term"}
    for side, network in (("actor", "actor_network"), ("critic", "critic_network")):
        parameters = [torch.nn.Parameter(tensor.clone()) for tensor in state[network].values()]
        optimizer = torch.optim.Adam(parameters)
        optimizer.load_state_dict(state["optimizer_state"][side])
        assert optimizer.param_groups[0]["lr"] == 5e-4
        for parameter in parameters:
            assert optimizer.state[parameter]["exp_avg"].shape == parameter.shape


@every_published
def test_a_published_checkpoint_is_told_from_one_of_ours(path: Path) -> None:
    assert published.is_published(read_archive(path))
    with pytest.raises(CheckpointError, match="is a published OpenRL checkpoint"):
        module.load(path)


@needs_reference
def test_loading_imports_nothing_the_pickle_names(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, *_: object) -> None:
        raise AssertionError(f"imports {name}")

    monkeypatch.setattr("builtins.__import__", refuse)
    published.load(PUBLISHED[0])


@needs_reference
def test_a_checkpoint_outside_a_named_directory_has_step_0(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    path.write_bytes(PUBLISHED[0].read_bytes())
    assert published.load(path)["training_step"] == 0


@needs_reference
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_published_checkpoint_is_refused(tmp_path: Path, share: float) -> None:
    data = PUBLISHED[0].read_bytes()
    path = tmp_path / "module.pt"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CheckpointError, match=r"module\.pt: is "):
        published.load(path)


@needs_reference
def test_a_changed_byte_of_the_pickle_is_refused(tmp_path: Path) -> None:
    data = bytearray(PUBLISHED[0].read_bytes())
    data[data.index(b"PPOModule")] ^= 1
    path = tmp_path / "module.pt"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="CRC"):
        published.load(path)


def test_one_of_ours_is_no_published_one(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    path.write_bytes(module.dumps(state_at(0)))
    assert not published.is_published(read_archive(path))
    with pytest.raises(CheckpointError, match="holds a dict, not an OpenRL"):
        published.load(path)


def instance(cls: str, state: bytes) -> bytes:
    module_name, _, attribute = cls.rpartition(".")
    return name(module_name, attribute) + b")\x81" + state + b"b"


def mapping(**values: bytes) -> bytes:
    body = b"".join(text(key) + value for key, value in values.items())
    return b"}(" + body + b"u"


EMPTY = b"}"
HOSTILE = {
    "no attributes": instance(published.MODULE_CLASS, b"N"),
    "no models": instance(published.MODULE_CLASS, mapping(cfg=b"N")),
    "models that are a list": instance(published.MODULE_CLASS, mapping(models=b"]")),
    "a model that is a number": instance(
        published.MODULE_CLASS, mapping(models=mapping(policy=b"K\x01", critic=b"K\x01"))
    ),
    "a module that holds itself": instance(
        published.MODULE_CLASS,
        mapping(
            models=mapping(
                policy=name("x", "Net")
                + b")\x81q\x01"
                + mapping(_parameters=EMPTY, _buffers=EMPTY, _modules=mapping(a=b"h\x01"))
                + b"b",
                critic=b"h\x01",
            )
        ),
    ),
    "a parameter that is a command": instance(
        published.MODULE_CLASS,
        mapping(
            models=mapping(
                policy=instance(
                    "x.Net",
                    mapping(
                        _parameters=mapping(w=name("os", "system") + b"(" + text("ls") + b"tR"),
                        _buffers=EMPTY,
                        _modules=EMPTY,
                    ),
                ),
                critic=b"N",
            )
        ),
    ),
    "a huge tensor": archives.tensor(size=(1 << 50,), count=1 << 50),
    "os.system itself": name("os", "system") + b"(" + text("ls") + b"tR",
    "tuples nested without end as a key": b"})" + b"\x85" * 100_000 + b"Ns",
    "a state of a number": whole(3) + EMPTY + b"b",
}


@pytest.mark.parametrize("case", sorted(HOSTILE))
def test_a_hostile_published_checkpoint_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    fired = []
    monkeypatch.setattr("os.system", fired.append)
    path = tmp_path / "module.pt"
    path.write_bytes(archive(program(HOSTILE[case]), {"0": bytes(16)}))
    with pytest.raises(CheckpointError) as caught:
        published.load(path)
    assert "\n" not in str(caught.value)
    assert not fired
