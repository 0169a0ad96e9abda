from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

import pytest
from fake_trainers import REPOSITORY
from made_jobs import fill, tiny_disk

from mapush.errors import RequestError, StorageError
from mapush.launch import snapshot


@pytest.fixture(name="project")
def small_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with little in it, in the real one's place."""
    project = tmp_path / "project"
    files = {
        "mapush/submit.py": "submit",
        "mapush/launch/local.py": "step",
        "mapush/__pycache__/submit.cpython-38.pyc": "junk",
        "mapush/.hidden": "junk",
        "job/enter.sh": "enter",
        "job/profiles/default.yaml": "",
        "task/cuboid/config.py": "config",
        "task/cuboid/train.sh": "train",
        "task/cuboid/.train.sh.swp": "junk",
        "task/cylinder/train.sh": "other",
        "results/run.yaml": "no business of a job",
    }
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(snapshot, "PROJECT", project)
    return project


@pytest.fixture(name="parent")
def parent_of_copies(tmp_path: Path) -> Path:
    return tmp_path / "root" / "log" / "submit" / "code"


def content(folder: Path) -> Dict[str, str]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in paths}


COPIED = {
    "job/enter.sh": "enter",
    "job/profiles/default.yaml": "",
    "mapush/launch/local.py": "step",
    "mapush/submit.py": "submit",
    "task/cuboid/config.py": "config",
    "task/cuboid/train.sh": "train",
}


def take(project: Path, parent: Path, *names: str) -> Path:
    copy = snapshot.take(parent, [project / "task" / name for name in names or ("cuboid",)])
    assert copy.path == str(parent / copy.hash)
    return Path(copy.path)


def test_code_scripts_and_the_tasks_asked_for_are_copied_and_nothing_else(
    project: Path, parent: Path
) -> None:
    copy = take(project, parent)
    assert content(copy) == COPIED
    assert str(copy) == snapshot.place(parent, [project / "task" / "cuboid"]).path
    both = take(project, parent, "cuboid", "cylinder")
    assert content(both) == {**COPIED, "task/cylinder/train.sh": "other"}


def test_a_rehearsal_writes_nothing(project: Path, parent: Path) -> None:
    snapshot.place(parent, [project / "task" / "cuboid"])
    assert not parent.exists()


def test_what_is_edited_later_does_not_change_a_copy(project: Path, parent: Path) -> None:
    copy = take(project, parent)
    (project / "task" / "cuboid" / "train.sh").write_text("edited")
    (project / "mapush" / "submit.py").unlink()
    assert content(copy) == COPIED
    other = take(project, parent)
    assert other != copy
    assert content(other)["task/cuboid/train.sh"] == "edited"
    assert content(copy) == COPIED


def test_the_same_code_is_copied_once(project: Path, parent: Path) -> None:
    first = take(project, parent)
    inode = (first / "mapush" / "submit.py").stat().st_ino
    (first / "mapush" / "__pycache__").mkdir()
    (first / "mapush" / "__pycache__" / "submit.pyc").touch()  # of the jobs that run it
    assert take(project, parent) == first
    assert (first / "mapush" / "submit.py").stat().st_ino == inode
    assert os.listdir(parent) == [first.name]


def test_a_file_that_moves_or_is_renamed_makes_another_copy(project: Path, parent: Path) -> None:
    names = {take(project, parent).name}
    (project / "job" / "enter.sh").rename(project / "job" / "enter2.sh")
    names.add(take(project, parent).name)
    (project / "job" / "enter2.sh").rename(project / "mapush" / "enter.sh")
    names.add(take(project, parent).name)
    assert len(names) == 3


def truncate(copy: Path) -> None:
    (copy / "mapush" / "submit.py").write_text("")


def lose(copy: Path) -> None:
    (copy / "job" / "enter.sh").unlink()


def add(copy: Path) -> None:
    (copy / "mapush" / "torch.py").touch()


def empty(copy: Path) -> None:
    for path in sorted(copy.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.parametrize("damage", [truncate, lose, add, empty])
def test_a_damaged_copy_is_replaced(damage: object, project: Path, parent: Path) -> None:
    copy = take(project, parent)
    damage(copy)  # type: ignore[operator]
    assert take(project, parent) == copy
    assert content(copy) == COPIED


def test_a_killed_copy_is_not_taken_for_a_whole_one(project: Path, parent: Path) -> None:
    (parent / ".0123456789abcdef.00000000.tmp").mkdir(parents=True)
    assert content(take(project, parent)) == COPIED


def test_a_tree_that_is_edited_while_it_is_copied_is_not_copied_in_part(
    project: Path, parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copyfile = shutil.copyfile

    def edit_and_copy(source: Path, target: Path) -> None:
        (project / "task" / "cuboid" / "train.sh").write_text("edited")
        copyfile(source, target)

    monkeypatch.setattr(shutil, "copyfile", edit_and_copy)
    with pytest.raises(RequestError, match="was edited while it was copied; submit again"):
        take(project, parent)
    assert os.listdir(parent) == []
    assert content(take(project, parent))["task/cuboid/train.sh"] == "edited"


def test_without_the_scripts_of_the_checkout_jobs_are_refused(project: Path, parent: Path) -> None:
    for path in sorted((project / "job").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (project / "job").rmdir()
    with pytest.raises(RequestError, match="needs mapush's whole checkout"):
        take(project, parent)
    assert not parent.exists()


def test_a_parent_that_cannot_be_made_is_a_storage_error(project: Path, tmp_path: Path) -> None:
    (tmp_path / "root").write_text("in the way")
    with pytest.raises(StorageError, match="root"):
        take(project, tmp_path / "root" / "code")


@pytest.mark.slow
def test_a_full_disk_leaves_no_part_of_a_copy(project: Path, tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "small", "size=64k") as root:
        (project / "mapush" / "big.py").write_text("x" * 100_000)
        (root / "code").mkdir()
        fill(root)
        (root / "ballast").unlink()
        with pytest.raises(StorageError, match="the disk is full"):
            take(project, root / "code")
        assert os.listdir(root / "code") == []


@pytest.mark.slow
@pytest.mark.parametrize("damaged", [False, True], ids=["new", "damaged"])
def test_many_at_once_share_one_whole_copy(damaged: bool, project: Path, parent: Path) -> None:
    if damaged:
        truncate(take(project, parent))
    program = (
        "import sys; from pathlib import Path; from mapush.launch import snapshot\n"
        "snapshot.PROJECT = Path(sys.argv[1]); sys.stdin.readline()\n"
        "print(snapshot.take(Path(sys.argv[2]), [Path(sys.argv[1]) / 'task' / 'cuboid']).path)"
    )
    takers: List[subprocess.Popen[str]] = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(project), str(parent)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    for taker in takers:
        assert taker.stdin is not None
        taker.stdin.write("go\n")
        taker.stdin.flush()
    answers = [taker.communicate(timeout=60) for taker in takers]
    assert [err for _, err in answers if err] == []
    (copy,) = {out.strip() for out, _ in answers}
    assert content(Path(copy)) == COPIED


def test_the_real_checkout_is_copied_whole(tmp_path: Path) -> None:
    copy = Path(snapshot.take(tmp_path, [REPOSITORY / "task" / "cuboid"]).path)
    for part in ("mapush", "job"):
        wanted = {
            path.relative_to(REPOSITORY)
            for path in (REPOSITORY / part).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert {path for path in wanted if not (copy / path).is_file()} == set()
    assert sorted(os.listdir(copy)) == ["job", "mapush", "task"]
