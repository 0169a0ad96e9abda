"""The walking policy's files: verified, fetched from a pinned commit, never taken on trust."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Callable, Dict, Tuple

import pytest

from mapush.errors import RequestError
from mapush.robots import assets
from tests.support import PROJECT

CONTENT = {"policy/body.jit": b"\0body", "robot/go1.urdf": b"<robot/>\n", "robot/empty.stl": b""}
FILES = {path: assets.blob_id(content) for path, content in CONTENT.items()}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Tuple[Path, str]:
    """A repository whose last commit is not the pinned one, and the pinned commit."""
    folder = tmp_path_factory.mktemp("repository")

    def git(*words: str) -> str:
        identity = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
        command = ["git", "-C", str(folder), *identity, *words]
        return subprocess.check_output(command, text=True).strip()

    git("init", "--quiet")
    git("config", "uploadpack.allowFilter", "true")
    git("config", "uploadpack.allowAnySHA1InWant", "true")
    for path, content in {**CONTENT, "other/large.bin": b"x" * 100_000}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    git("add", "-A")
    git("commit", "--quiet", "-m", "what is wanted")
    commit = git("rev-parse", "HEAD")
    (folder / "policy/body.jit").write_bytes(b"a later one")
    git("commit", "--quiet", "-a", "-m", "later")
    return folder, commit


def source(repository: Tuple[Path, str]) -> Dict[str, str]:
    folder, commit = repository
    return {"repository": folder.as_uri(), "commit": commit}


def test_the_id_is_git_s() -> None:
    done = subprocess.run(
        ["git", "hash-object", "--stdin"], input=b"\0body", capture_output=True, check=True
    )
    assert assets.blob_id(b"\0body") == done.stdout.decode().strip()


def test_fetches_the_pinned_commit_and_only_what_is_lacking(
    repository: Tuple[Path, str], tmp_path: Path
) -> None:
    target = tmp_path / "assets"
    assert assets.fetch(target, files=FILES, **source(repository)) == list(FILES)
    assert {path: (target / path).read_bytes() for path in CONTENT} == CONTENT
    assert sorted(path for path in target.rglob("*") if path.is_file()) == sorted(
        target / path for path in CONTENT
    )
    (target / "policy/body.jit").write_bytes(b"damaged")
    assert assets.fetch(target, files=FILES, **source(repository)) == ["policy/body.jit"]
    assert assets.fetch(target, "file:///nowhere", "0" * 40, FILES) == []  # asks nobody
    assets.verify(target, FILES)


def test_what_is_not_the_expected_file_never_appears(
    repository: Tuple[Path, str], tmp_path: Path
) -> None:
    expected = {**FILES, "policy/body.jit": "0" * 40}
    with pytest.raises(RequestError, match=r"policy/body.jit: has git blob id"):
        assets.fetch(tmp_path, files=expected, **source(repository))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("url", "commit"),
    [("file:///nowhere", "0" * 40), ("{folder}", "0" * 40), ("{folder}", "--all")],
)
def test_a_repository_that_has_it_not_is_one_line(
    url: str, commit: str, repository: Tuple[Path, str], tmp_path: Path
) -> None:
    address = url.format(folder=repository[0].as_uri())
    with pytest.raises(RequestError, match=r"^git (fetch|checkout): .*reachable") as caught:
        assets.fetch(tmp_path, address, commit, FILES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.unlink(), "cannot be read (No such file"),
        (lambda path: path.write_bytes(b""), "has git blob id e69de29bb2d1"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read (Is a directory)"),
    ],
)
def test_a_file_that_is_missing_or_other_is_named_with_how_to_get_it(
    damage: Callable[[Path], object], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path = tmp_path / "two words"
    for path, content in CONTENT.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    monkeypatch.setattr(assets, "FILES", FILES)
    monkeypatch.setenv("MAPUSH_ASSETS", str(tmp_path))
    assert assets.find_assets()["robot/go1.urdf"] == tmp_path / "robot/go1.urdf"
    damage(tmp_path / "policy/body.jit")
    with pytest.raises(RequestError) as caught:
        assets.find_assets()
    text = str(caught.value)
    assert text.startswith(f"{tmp_path}/policy/body.jit: ")
    assert says in text
    assert f"python -m mapush.robots.assets --to '{tmp_path}'" in text
    assert "MAPUSH_ASSETS" in text


def test_no_variable_changes_what_is_expected(tmp_path: Path) -> None:
    (tmp_path / "double.json").write_text(json.dumps(dict.fromkeys(assets.FILES, "0")))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mapush.robots.assets",
            "--verify",
            "--to",
            str(tmp_path),
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "body_latest.jit: cannot be read" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_command_needs_no_torch() -> None:
    program = "import sys, mapush.robots.assets; print('torch' in sys.modules)"
    found = subprocess.check_output([sys.executable, "-c", program], cwd=PROJECT, text=True)
    assert found.strip() == "False"
