"""What run.yaml says of the code that trained a run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Callable, Dict, List, Optional

import pytest

from mapush.runs.code import code_facts, resumed_with


def git(tree: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(
        ["git", *who, "-C", str(tree), *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with a package and a task, all committed."""
    tree = tmp_path / "tree"
    for name in ("mapush/a.py", "mapush/part/b.py", "task/cuboid/config.py", "notes.txt"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name)
    (tree / ".gitignore").write_text("__pycache__/\n")
    git(tree, "init", "-q")
    git(tree, "add", ".")
    git(tree, "commit", "-qm", "first")
    return tree


def facts(tree: Path) -> Dict[str, object]:
    return code_facts(tree / "mapush", [tree / "task" / "cuboid"])


def test_the_commit_is_that_of_the_tree(tree: Path) -> None:
    found = facts(tree)
    assert (found["commit"], found["changed"]) == (git(tree, "rev-parse", "HEAD"), False)
    assert len(str(found["hash"])) == 16


def changed(tree: Path) -> None:
    (tree / "mapush" / "a.py").write_text("changed")


def added(tree: Path) -> None:
    (tree / "mapush" / "new.py").write_text("new")


def staged(tree: Path) -> None:
    (tree / "task" / "cuboid" / "config.py").write_text("changed")
    git(tree, "add", ".")


def removed(tree: Path) -> None:
    (tree / "mapush" / "part" / "b.py").unlink()


def beside(tree: Path) -> None:
    (tree / "notes.txt").write_text("changed")
    (tree / "results").mkdir()
    (tree / "results" / "run.yaml").touch()


def cached(tree: Path) -> None:
    (tree / "mapush" / "__pycache__").mkdir()
    (tree / "mapush" / "__pycache__" / "a.py").touch()


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (changed, True),
        (added, True),
        (staged, True),
        (removed, True),
        (beside, False),
        (cached, False),
    ],
)
def test_a_change_counts_only_where_it_is_of_the_code(
    change: Callable[[Path], None], counts: bool, tree: Path
) -> None:
    before = facts(tree)
    change(tree)
    after = facts(tree)
    assert after["commit"] == before["commit"]
    assert after["changed"] is counts
    assert (after["hash"] != before["hash"]) is counts


def test_the_hash_is_of_names_and_content_wherever_they_lie(tree: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tree, copy, ignore=shutil.ignore_patterns(".git"))
    assert facts(copy) == {"commit": None, "changed": None, "hash": facts(tree)["hash"]}
    (copy / "mapush" / "a.py").rename(copy / "mapush" / "c.py")
    assert facts(copy)["hash"] != facts(tree)["hash"]


def test_a_repository_that_only_contains_the_tree_is_not_its_own(tree: Path) -> None:
    inner = tree / "vendor"
    shutil.copytree(tree / "mapush", inner / "mapush")
    assert code_facts(inner / "mapush")["commit"] is None
    (inner / ".git").mkdir()  # damaged: git would look further up
    assert code_facts(inner / "mapush")["commit"] is None


def test_a_worktree_is_a_tree_too(tree: Path, tmp_path: Path) -> None:
    git(tree, "worktree", "add", "-q", str(tmp_path / "other"))
    assert facts(tmp_path / "other") == facts(tree)


@pytest.mark.parametrize(
    ("given", "commit", "is_changed"),
    [
        ("a" * 40, "a" * 40, False),
        ("a" * 40 + "+changed", "a" * 40, True),
        ("b" * 64, "b" * 64, False),
    ],
)
def test_a_launcher_says_the_commit_of_a_copy(
    given: str, commit: str, is_changed: bool, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAPUSH_COMMIT", given)
    found = facts(tree)
    assert (found["commit"], found["changed"]) == (commit, is_changed)


@pytest.mark.parametrize("given", ["", "main", "a" * 39, "a" * 40 + "+", "A" * 40])
def test_what_is_no_commit_is_not_believed(
    given: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAPUSH_COMMIT", given)
    assert facts(tree)["commit"] == git(tree, "rev-parse", "HEAD")


@pytest.mark.parametrize("program", [None, "exit 1", "sleep 60", "echo a; echo b; echo c"])
def test_without_a_git_that_answers_the_commit_is_not_known(
    program: Optional[str], tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mapush.runs.code._SECONDS", 0.3)
    directory = tmp_path / "bin"
    directory.mkdir()
    if program is not None:
        (directory / "git").write_text(f"#!/bin/sh\n{program.replace('sleep', '/bin/sleep')}\n")
        (directory / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(directory))
    found = facts(tree)
    assert (found["commit"], found["changed"]) == (None, None)
    assert found["hash"]


def test_a_git_directory_in_the_environment_is_not_taken_for_this_one(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = facts(tree)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    assert facts(tree) == before


def test_git_writes_nothing(tree: Path) -> None:
    index = tree / ".git" / "index"
    before = index.stat().st_mtime_ns
    os.utime(tree / "mapush" / "a.py")
    facts(tree)
    assert index.stat().st_mtime_ns == before


ONE, OTHER = {"commit": "1", "hash": "1"}, {"commit": "1", "hash": "2"}


@pytest.mark.parametrize(
    ("known", "now", "listed"),
    [
        ({"code": ONE}, ONE, None),
        ({"code": ONE}, OTHER, [OTHER]),
        ({"code": ONE, "resumed_with": [OTHER]}, OTHER, None),
        ({"code": ONE, "resumed_with": [OTHER]}, ONE, [OTHER, ONE]),
        ({"code": ONE, "resumed_with": "damaged"}, OTHER, [OTHER]),
        ({}, ONE, [ONE]),
    ],
)
def test_other_code_that_resumes_a_run_is_listed(
    known: Dict[str, object], now: Dict[str, object], listed: Optional[List[object]]
) -> None:
    assert resumed_with(known, now) == ({} if listed is None else {"resumed_with": listed})
