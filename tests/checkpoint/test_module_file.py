from __future__ import annotations

import builtins
import hashlib
import io
import os
import re
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, List

import handmade_archives as archives
import pytest
import torch
from checkpoint_states import same, state_at
from handmade_archives import Call, archive, program

from mapush.checkpoint import manifest, module
from mapush.errors import CheckpointError


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "module.pt"
    path.write_bytes(module.dumps(state_at(40_000)))
    return path


def with_manifest(path: Path) -> None:
    data = path.read_bytes()
    described = manifest.describe(data, 40_000, 2, {})
    path.with_name("manifest.json").write_bytes(manifest.dumps(described))


def refusal(path: Path, verify: bool = True) -> str:
    with pytest.raises(CheckpointError) as caught:
        module.load(path, verify)
    message = str(caught.value)
    assert str(path.parent) in message
    assert "\n" not in message
    return message


def test_what_is_saved_comes_back_to_the_last_bit(saved: Path) -> None:
    state = module.load(saved)
    assert state.pop("format") == module.FORMAT
    assert same(state_at(40_000), state)


def test_plain_torch_reads_it_with_weights_only(saved: Path) -> None:
    assert torch.load(saved, weights_only=True)["training_step"] == 40_000


def test_a_view_is_saved_without_the_buffer_it_is_a_window_on(tmp_path: Path) -> None:
    state = state_at(0)
    state["environment_state"] = {"row": torch.zeros(1_000_000)[:3]}
    assert len(module.dumps(state)) < 100_000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"actor_network": None}, "actor_network is a NoneType"),
        ({"actor_network": {"w": [1.0]}}, "actor_network is not tensors by name"),
        ({"training_step": "40"}, "training_step is a str"),
        ({"training_step": True}, "training_step is a bool"),
        ({"epoch": -1}, "epoch is -1"),
        ({"config": {"path": Path()}}, "config.path: is a PosixPath"),
        ({"config": {("a", 1): 2}}, "has a tuple as a key"),
        ({"rng": {"numpy": {1, 2}}}, "rng.numpy: is a set"),
        ({"format": "mapush-2"}, "'mapush-2'"),
        ({"extra": 1}, "unknown extra"),
    ],
)
def test_a_state_that_could_not_be_read_back_is_not_saved(
    change: Dict[str, Any], words: str
) -> None:
    with pytest.raises(CheckpointError, match=words):
        module.dumps({**state_at(0), **change})


def test_a_state_that_holds_itself_is_refused() -> None:
    config = {}
    config["self"] = config
    with pytest.raises(CheckpointError, match="nested deeper than 32"):
        module.dumps({**state_at(0), "config": config})


@pytest.mark.parametrize("field", sorted(module.FIELDS))
def test_a_file_that_lacks_a_field_is_refused_naming_it(tmp_path: Path, field: str) -> None:
    state = {"format": module.FORMAT, **state_at(0)}
    del state[field]
    torch.save(state, tmp_path / "module.pt")
    message = refusal(tmp_path / "module.pt")
    assert ("format 'None'" if field == "format" else f"lacks {field}") in message


@pytest.mark.parametrize("content", [[1, 2], torch.zeros(3), {"format": 1}, {"format": "mapush-9"}])
def test_a_torch_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    torch.save(content, tmp_path / "module.pt")
    refusal(tmp_path / "module.pt")


def test_a_legacy_torch_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    state = {"format": module.FORMAT, **state_at(0)}
    torch.save(state, path, _use_new_zipfile_serialization=False)
    assert "is truncated, damaged or no checkpoint" in refusal(path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no such checkpoint"),
        (lambda path: path.mkdir(), "is a directory; name the module.pt inside it"),
        (lambda path: path.touch(), "is empty"),
        (lambda path: os.mkfifo(path), "not a regular file"),
        (lambda path: path.write_bytes(b"PK\3\4" + bytes(200)), "truncated, damaged"),
        (lambda path: path.write_bytes(bytes(5000)), "truncated, damaged"),
        (lambda path: path.write_text("version https://git-lfs"), "truncated, damaged"),
        (lambda path: path.symlink_to(path), "cannot be read"),
    ],
)
def test_what_is_no_file_or_no_archive_is_refused(
    tmp_path: Path, make: Callable[[Path], object], words: str
) -> None:
    make(tmp_path / "module.pt")
    assert words in refusal(tmp_path / "module.pt")


def test_truncation_at_any_length_is_noticed(saved: Path) -> None:
    data = saved.read_bytes()
    for length in [*range(64), *range(64, len(data), 211), len(data) - 1]:
        saved.write_bytes(data[:length])
        refusal(saved)


def test_a_flipped_bit_anywhere_is_noticed_with_the_manifest(saved: Path) -> None:
    with_manifest(saved)
    data = bytearray(saved.read_bytes())
    for position in range(0, len(data), 61):
        data[position] ^= 1 << position % 8
        saved.write_bytes(data)
        assert refusal(saved)
        data[position] ^= 1 << position % 8


def test_a_flipped_bit_in_a_tensor_is_noticed_without_a_manifest(saved: Path) -> None:
    with zipfile.ZipFile(saved) as file:
        info = next(each for each in file.infolist() if "/data/" in each.filename)
        inside = file.read(info)
    data = bytearray(saved.read_bytes())
    data[data.index(inside)] ^= 1
    saved.write_bytes(data)
    assert "CRC" in refusal(saved)


def test_a_manifest_of_another_checkpoint_is_noticed_unless_verify_is_off(saved: Path) -> None:
    with_manifest(saved)
    saved.write_bytes(module.dumps(state_at(60_000)))
    assert "sha256" in refusal(saved)
    assert module.load(saved, verify=False)["training_step"] == 60_000


def test_a_damaged_manifest_is_no_missing_one(saved: Path) -> None:
    saved.with_name("manifest.json").write_text("{")
    assert "manifest.json" in refusal(saved)


class Armed:
    """Notices if anything calls it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fired = False
        for owner, attribute in ((os, "system"), (os, "mkdir"), (builtins, "eval")):
            monkeypatch.setattr(owner, attribute, self)

    def __call__(self, *arguments: object) -> None:
        self.fired = True


def _pickled(value: object) -> bytes:
    return b"\x80\x02" + archives.whole(value) + b"."


HOSTILE_PICKLES = {
    "os.system": _pickled(Call(os.system, "echo hacked")),
    "os.system in a field": _pickled(
        {
            "format": module.FORMAT,
            **dict.fromkeys(state_at(0)),
            "config": {"x": Call(os.system, "")},
        }
    ),
    "builtins.eval": _pickled(Call(eval, "print('hacked')")),
    "getattr": _pickled(Call(getattr, "text", "upper")),
    "an import": program(archives.name("antigravity", "x")),
    "a stack global": program(archives.text("posix") + archives.text("system") + b"\x93"),
    "an instance": program(b"(" + archives.name("subprocess", "Popen").replace(b"c", b"i", 1)),
    "an object": program(b"(" + archives.name("subprocess", "Popen") + archives.text("ls") + b"o"),
    "an extension": program(b"\x82\x01"),
    "a call of a tensor": program(archives.tensor() + b")R"),
    "a persistent id that is text": program(b"Pmodule\n"),
    "a persistent id that is no storage": program(archives.text("storage") + b"Q"),
    "a persistent id of another type": program(
        b"(" + archives.text("storage") + archives.name("os", "system") + archives.text("0") + b"tQ"
    ),
    "a storage that is not there": program(archives.tensor(key="7")),
    "a storage outside the data": program(archives.tensor(key="../data.pkl")),
    "a huge tensor": program(archives.tensor(size=(1 << 40,), count=1 << 40)),
    "a huge tensor of stride 0": program(archives.tensor(size=(1 << 40,), stride=(0,))),
    "a tensor past its storage": program(archives.tensor(offset=1)),
    "a tensor before its storage": program(archives.tensor(offset=-1)),
    "a tensor of negative size": program(archives.tensor(size=(-4,))),
    "a tensor of strange stride": program(archives.tensor(size=(2, 2), stride=(1,))),
    "nested lists without end": program(b"]" * 200_000 + b"a" * 199_999),
    "nested tuples as a key": program(b"})" + b"\x85" * 200_000 + b"Ns"),
    "a list that holds itself": program(b"]q\x00h\x00a"),
    "a dict that holds itself": program(b"}q\x00" + archives.text("format") + b"h\x00s"),
    "a huge memo index": program(b"]r\xff\xff\xff\x7f"),
    "a recall of nothing": program(b"h\x05"),
    "a huge text": program(b"X\xff\xff\xff\x7fabc"),
    "a huge number": program(b"\x8b\xff\xff\xff\x7f\x01"),
    "an empty stack": b"\x80\x02.",
    "tuples of nothing": program(b"\x87"),
    "a mark without an end": program(b"t"),
    "no end": b"\x80\x02]",
    "nothing": b"",
    "not a pickle": b"\xff\xfe\xfd",
    "too many bytes": program(b"N0" * 2_500_000 + b"N"),
}


@pytest.mark.parametrize("name", sorted(HOSTILE_PICKLES))
def test_a_hostile_pickle_is_refused_and_never_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "module.pt"
    path.write_bytes(archive(HOSTILE_PICKLES[name], {"0": bytes(16)}))
    refusal(path)  # what torch imports at its first use makes named tuples, by `eval`
    armed = Armed(monkeypatch)
    message = refusal(path)
    assert not armed.fired
    assert len(message) < 600


@pytest.mark.parametrize(
    ("name", "words"),
    [
        # torch's own words, where it refuses: those of 2.4 are others.
        ("a huge tensor", "claims|does not match|out of bounds|resize"),
        ("a huge tensor of stride 0", "in a storage of 4;"),
        ("a tensor past its storage", "claims|out of bounds|resize"),
    ],
)
def test_a_tensor_is_no_larger_than_the_bytes_that_are_there(
    tmp_path: Path, name: str, words: str
) -> None:
    path = tmp_path / "module.pt"
    path.write_bytes(archive(HOSTILE_PICKLES[name], {"0": bytes(16)}))
    assert re.search(words, refusal(path))


@pytest.mark.parametrize("front", [b"junk", b"\x80\x02N."])
def test_a_zip_behind_other_bytes_is_refused(saved: Path, front: bytes) -> None:
    saved.write_bytes(front + saved.read_bytes())
    assert "does not begin as a zip" in refusal(saved)


def test_a_torchscript_program_is_refused_before_torch_sees_it(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("module/data.pkl", program(b"N"))
        file.writestr("module/constants.pkl", program(b")"))
    assert "is a TorchScript program" in refusal(path)


def test_an_absurdly_large_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    with path.open("wb") as file:
        file.truncate(1 << 34)
    assert "17,179,869,184 bytes and a checkpoint at most 1,073,741,824" in refusal(path)


def test_a_file_is_read_once(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_manifest(saved)
    read: List[str] = []
    original = Path.read_bytes

    def counted(path: Path) -> bytes:
        read.append(path.name)
        return original(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    assert module.load_any(saved)["training_step"] == 40_000
    assert read == [saved.name]


def test_more_tuples_than_are_read_back_are_not_saved() -> None:
    with pytest.raises(CheckpointError, match=r"has 40,[0-9]+ tuples and at most 30,000"):
        module.dumps({**state_at(0), "config": {"x": [(n,) for n in range(40_000)]}})


def test_the_message_names_what_a_hostile_pickle_would_have_called(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    path.write_bytes(archive(HOSTILE_PICKLES["os.system"]))
    assert "posix.system" in refusal(path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (archive(bytes(10**6), compression=zipfile.ZIP_DEFLATED), "compressed entries"),
        (archive(b"") + b"x" * 70_000, "truncated"),
        (archive(program(b"N")).replace(b"little", b"bigbig"), "CRC"),
    ],
)
def test_a_hostile_archive_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "module.pt").write_bytes(data)
    assert words in refusal(tmp_path / "module.pt")


def test_an_archive_whose_entries_overlap_claims_no_more_than_its_size(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("module/data.pkl", bytes(10_000))
        for number in range(50):
            # Every further entry points at the bytes of the first.
            info = zipfile.ZipInfo(f"module/data/{number}")
            info.file_size = info.compress_size = 10_000
            info.header_offset = 0
            info.CRC = file.infolist()[0].CRC
            file.filelist.append(info)
    (tmp_path / "module.pt").write_bytes(buffer.getvalue())
    assert "claims to hold more than its size" in refusal(tmp_path / "module.pt")


def test_the_digest_in_a_manifest_is_that_of_the_file(saved: Path) -> None:
    with_manifest(saved)
    digest = manifest.read(saved.with_name("manifest.json")).sha256
    assert digest == hashlib.sha256(saved.read_bytes()).hexdigest()
