"""What is refused or shown before anything is written: train.sh, --root, --dry-run."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from typing import List

import pytest
from fake_trainers import REPOSITORY, experiment
from login_node import ID, LoginNode

from mapush.errors import RequestError
from mapush.launch.jobs import known_jobs
from mapush.submit import main as submit

SEND = ["--exp", "cuboid", "--cluster", "slurm"]


@pytest.fixture(name="login", autouse=True)
def login_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoginNode:
    experiment(tmp_path / "here", "exit 0")
    monkeypatch.chdir(tmp_path / "here")
    return LoginNode(tmp_path / "slurm", monkeypatch)


def refusal(*options: str) -> str:
    with pytest.raises(RequestError) as caught:
        submit(list(options))
    message = str(caught.value)
    assert "\n" not in message
    return message


TRAIN = 'exec "${PYTHON:-python}" -m mapush.train'
# The text of a train.sh, and the experiment that it trains where that is not its own.
SCRIPTS = {
    "the project's own": ((REPOSITORY / "task" / "cuboid" / "train.sh").read_text(), ""),
    "of another task": ((REPOSITORY / "task" / "cylinder" / "train.sh").read_text(), "cylinder"),
    "one that there is not": (f'{TRAIN} --exp sphere "$@"', "sphere"),
    "in a continued line": (f"{TRAIN} \\\n    --exp cylinder \\\n    --seed 1", "cylinder"),
    "with an equals sign": (f"{TRAIN} --exp=Tblock", "Tblock"),
    "in quotes": (f"{TRAIN} --exp 'cylinder' --seed 1", "cylinder"),
    "in other quotes": (f'{TRAIN} --exp "cylinder"', "cylinder"),
    "the last of several": (f"{TRAIN} --exp cuboid\n{TRAIN} --exp cylinder", "cylinder"),
    "right, in quotes": (f"{TRAIN} --exp 'cuboid' --seed 1", ""),
    "a variable": (f'exp=cylinder\n{TRAIN} --exp "$exp"', ""),
    "another option": (f"{TRAIN} --exp cuboid --exp_name cylinder", ""),
    "in a comment": (f"# as with --exp cylinder\n  # --exp sphere\n{TRAIN} --exp cuboid", ""),
    "behind a comment's sign": (f"seed=1  # not as --exp cylinder\n{TRAIN} --exp cuboid", ""),
    "none at all": ("exit 0", ""),
    "no text": ("\udcff\udcfe --exp", ""),
}


@pytest.mark.parametrize(("text", "named"), SCRIPTS.values(), ids=SCRIPTS)
def test_a_train_script_that_trains_another_experiment_is_refused(
    text: str, named: str, login: LoginNode
) -> None:
    path = Path("task", "cuboid", "train.sh")
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    if named:
        message = refusal(*SEND)
        assert f"train.sh: trains --exp {named}, not cuboid; write --exp cuboid there" in message
        assert os.listdir() == ["task"]
        assert login.calls() == []
    else:
        assert submit(SEND) == 0


@pytest.mark.parametrize("several", [False, True], ids=["alone", "among several"])
@pytest.mark.parametrize("fault", ["unknown", "no script", "no configuration", "wrong"])
def test_a_task_that_cannot_be_trained_is_refused_before_anything_is_written(
    fault: str, several: bool, login: LoginNode
) -> None:
    experiment(Path(), "exit 0", "cylinder")
    folder = Path("task", "cylinder")
    if fault == "unknown":
        shutil.rmtree(folder)
    elif fault == "no script":
        (folder / "train.sh").unlink()
    elif fault == "no configuration":
        (folder / "config.py").unlink()
    else:
        (folder / "config.py").write_text("task = 3\n", encoding="utf-8")
    exps = ["cuboid", "cylinder"] if several else ["cylinder"]
    assert "cylinder" in refusal("--cluster", "slurm", "--exp", *exps)
    assert os.listdir() == ["task"]
    assert login.calls() == []


ROOTS = ["two words", "it's", 'a "quoted" one', "größer/日本", "$HOME", "a;b&c", "-n", "~", "#"]


@pytest.mark.parametrize("name", ROOTS)
@pytest.mark.parametrize("options", [[], ["--seeds", "1", "2"]], ids=["one", "array"])
def test_a_root_of_any_letters_that_slurm_takes_is_taken(
    options: List[str], name: str, login: LoginNode
) -> None:
    root = Path(name).absolute()
    assert submit([*SEND, f"--root={name}", *options]) == 0
    places = known_jobs(root)
    assert [place.slurm_id() for place in places] == ([f"{ID}_0", f"{ID}_1"] if options else [ID])
    (output,) = (line for line in login.script().splitlines() if line.startswith("#SBATCH --outp"))
    (word,) = shlex.split(output.partition(" ")[2])
    group = places[0].path[: -2 if options else None]
    assert word == f"--output={group}{'_%a' if options else ''}/job.log"
    (begin,) = (line for line in login.script().splitlines() if line.startswith("set -- --job "))
    assert shlex.split(begin)[3:] == [group, places[0].asked().code.path, places[0].asked().python]
    assert os.listdir(root / "log" / "submit")
    assert not (root / "results").exists()


@pytest.mark.parametrize("cluster", ["slurm", "local"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a:b", "a path with a colon"),
        ("two\nlines", "written in lines of text"),
        ("a\ttab", "written in lines of text"),
        ("\udcff", "written in lines of text"),
        ("100%", "take % and"),
        ("job-%j", "take % and"),
        ("back\\slash", "take % and"),
    ],
)
def test_a_root_that_no_job_can_work_in_is_refused_before_anything_is_written(
    name: str, words: str, cluster: str, login: LoginNode
) -> None:
    options = ["--exp", "cuboid", "--cluster", cluster, f"--root={name}"]
    if "\\" in name and cluster == "local":
        assert submit([*options, "--dry-run"]) == 0
        return
    for more in ([], ["--dry-run"], ["--seeds", "1", "2"]):
        message = refusal(*options, *more)
        assert message.startswith(f"--root {str(Path(name).absolute())!r}: ")
        assert words in message
    assert os.listdir() == ["task"]
    assert login.calls() == []


LONG = "x" * 5000


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--checkpoint", LONG], "is not there; name a module.pt"),
        (["--checkpoint", "gone.pt"], "is not there; name a module.pt"),
        (["--checkpoint", "\udcff"], "is no UTF-8"),
        (["--run", "\udcff"], "is no UTF-8"),
        (["--root", LONG], "the name is too long"),
        (["--container", "\udcff"], "must be one line of text"),
        (["--after", "\udcff"], "there is no such job"),
    ],
)
def test_a_path_that_cannot_be_is_refused_in_one_line(
    options: List[str], words: str, login: LoginNode
) -> None:
    Path("\udcff").touch()
    assert words in refusal(*SEND, *options)
    assert sorted(os.listdir()) == sorted(["\udcff", "task"])
    assert login.calls("sbatch") == []


def test_an_image_in_a_registry_may_be_called_what_no_file_is(login: LoginNode) -> None:
    image = Path("my.sif").absolute()
    image.touch()
    for seed, given, wanted in (("1", LONG, LONG), ("2", "my.sif", str(image))):
        assert submit([*SEND, "--container", given, "--seed", seed]) == 0
        assert known_jobs(Path())[-1].asked().profile.container == wanted


def test_a_rehearsal_shows_the_whole_script_that_sbatch_would_get(
    login: LoginNode, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SEND, "--partition", "low", "--gpus", "1", "--seed", "7", "--setup", "export A='b c'"]
    assert submit([*words, "--modules", "cuda/12.1", "--dry-run"]) == 0
    rehearsed = capsys.readouterr().out
    assert login.calls() == []
    assert os.listdir() == ["task"]
    assert submit([*words, "--modules", "cuda/12.1"]) == 0
    (place,) = known_jobs(Path())
    script, _, shown = rehearsed.rpartition("\n\n# /")
    name = shlex.split(next(x for x in script.splitlines() if "set -- --job" in x))[3]
    # What stands behind the batch script is submitit's, which the shell does not come to.
    script = script.partition("# never reached")[0]
    sent = login.script()
    assert sent.startswith(script.replace(name, place.path))
    assert sent[len(script.replace(name, place.path)) :].count("\n") <= 1
    wanted = ("--partition=low", "--gres=gpu:1", "--signal=USR2@90", "--requeue", "--export=ALL")
    for line in wanted:
        assert f"\n#SBATCH {line}\n" in script
    lines = shown.splitlines()
    assert f"/{lines[0]}" == name
    assert lines[1:3] == ["module load cuda/12.1", "export A='b c'"]
    assert lines[3].startswith("/bin/bash ")
    assert lines[3].endswith(f"/task/cuboid/train.sh --root {Path().absolute()} --seed 7")


def test_the_batch_script_is_that_of_the_project_to_its_last_line(login: LoginNode) -> None:
    assert submit(SEND) == 0
    text = (REPOSITORY / "slurm" / "train.sh").read_text(encoding="utf-8")
    body = text.partition("\n\n")[2].rstrip()
    assert body in login.script()
    # Of its head nothing: what the job asks for is the profile's to say.
    assert "--mincpus" not in login.script()
    assert "#SBATCH --cpus-per-task=2\n" in login.script()
