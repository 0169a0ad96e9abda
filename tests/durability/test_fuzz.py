"""Files that are damaged or made up are read or refused in one line, in little time and memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from mapush.checkpoint import published
from tests.checkpoint import handmade_archives as archives
from tests.durability.readers import READERS, Fuzz, published_module
from tests.support import PROJECT

EXAMPLES = 150


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")  # of made-up files
@pytest.mark.parametrize("name", READERS)
def test_a_reader_reads_or_refuses_whatever_it_is_given(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    assert Fuzz(tmp_path, name).run(EXAMPLES, fixed=True) >= EXAMPLES // 2


def test_the_published_checkpoint_that_is_damaged_is_a_good_one(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    path.write_bytes(archives.archive(archives.program(published_module()), {"0": bytes(16)}))
    assert list(published.load(path)["actor_network"]) == ["fc.weight", "out.weight"]
