from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Dict

import pytest

from mapush.checkpoint import manifest
from mapush.errors import CheckpointError

DESCRIBED = manifest.describe(b"weights", 40_000, 2, {"seed": 1}, {"success_rate": 0.5})


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(manifest.dumps(DESCRIBED))
    assert manifest.read(path) == DESCRIBED


def test_it_says_what_the_checkpoint_is_and_what_wrote_it() -> None:
    assert (DESCRIBED.step, DESCRIBED.epoch, DESCRIBED.bytes) == (40_000, 2, 7)
    assert {"mapush", "python", "torch"} <= set(DESCRIBED.versions)
    assert DESCRIBED.created.endswith("+00:00")


def test_the_config_hash_depends_on_the_values_and_not_on_their_order() -> None:
    def config_hash(config: Dict[str, Any]) -> str:
        return manifest.describe(b"", 0, 0, config).config_hash

    assert config_hash({"a": 1, "b": 2}) == config_hash({"b": 2, "a": 1})
    assert config_hash({"a": 1}) != config_hash({"a": 2})


def test_fields_of_a_later_version_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    fields = {**json.loads(manifest.dumps(DESCRIBED)), "later": [1]}
    del fields["seal"]
    text = json.dumps(fields, sort_keys=True).encode()
    path.write_text(json.dumps({**fields, "seal": hashlib.sha256(text).hexdigest()}))
    assert manifest.read(path) == DESCRIBED


def test_a_manifest_of_the_first_versions_has_no_seal(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    fields = json.loads(manifest.dumps(DESCRIBED))
    del fields["seal"]
    path.write_text(json.dumps(fields))
    assert manifest.read(path) == DESCRIBED


@pytest.mark.slow
def test_a_bit_flipped_anywhere_is_found_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    whole = manifest.dumps(DESCRIBED)
    for place in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            try:
                found = manifest.read(path)
            except CheckpointError:
                continue
            assert found == DESCRIBED


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b" " * 2_000_000,
        b"{}",
    ],
)
def test_a_damaged_manifest_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        manifest.read(path)
    assert "manifest.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sha256", "abc"),
        ("sha256", None),
        ("bytes", -1),
        ("step", "40000"),
        ("step", True),
        ("epoch", 1.5),
        ("config_hash", 3),
        ("created", None),
        ("versions", ["torch"]),
        ("versions", {"torch": 2}),
        ("evaluation", 0.5),
        ("evaluation", {"success_rate": "0.5"}),
    ],
)
def test_a_wrong_field_is_refused_naming_it(tmp_path: Path, field: str, value: object) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**json.loads(manifest.dumps(DESCRIBED)), field: value}))
    with pytest.raises(CheckpointError, match=field):
        manifest.read(path)


def test_a_missing_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        manifest.read(tmp_path / "manifest.json")
