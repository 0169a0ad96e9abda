from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

import pytest
from made_runs import make_run, runs_command

from mapush.errors import RequestError
from mapush.evaluation.success_rates import Entry, write_success_rate
from mapush.runs.__main__ import main
from mapush.runs.lease import acquire
from mapush.runs.owner import Owner
from mapush.runs.record import FAILED, PREEMPTED, RUNNING, Interruption


def listed(root: Path, capsys: pytest.CaptureFixture[str]) -> List[Dict[str, object]]:
    capsys.readouterr()
    assert main(["--json", "--root", str(root)]) == 0
    return json.loads(capsys.readouterr().out)


def entry(step: int, rate: float) -> Entry:
    return Entry(
        step, rate, 0.1, 0.9, 300, 12.5, {"collision degree": 0.01, "collaboration degree": 0.5}
    )


def test_runs_are_listed_newest_first_in_aligned_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path, scores={40_000: 0.25})
    make_run(tmp_path, steps=(), status=PREEMPTED, hours=1, owner=Owner.current("77"))
    assert main(["--root", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    heading, second, first = lines
    assert heading.split() == "run exp seed status steps success saved started job".split()
    assert second.startswith("10-28-19_cuboid")
    assert first.startswith("10-28-18_cuboid")
    assert "60,000 / 100,000" in first
    assert "0.250" in first
    assert second.endswith(" 77")
    for name in ("exp", "status", "started", "job"):
        at = heading.index(name)
        assert {line[at - 2 : at] for line in lines} == {"  "}
        assert all(line[at] != " " for line in lines)


def test_every_figure_is_there_for_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, scores={20_000: 0.5})
    (found,) = listed(tmp_path, capsys)
    files = [path for path in run.checkpoints.rglob("*") if path.is_file()]
    assert found["bytes"] == sum(path.stat().st_size for path in files)
    assert (found["steps"], found["total_steps"], found["checkpoints"]) == (60_000, 100_000, 3)
    assert (found["success_rate"], found["status"]) == (0.5, "complete")


@pytest.mark.parametrize(
    ("in_file", "in_training", "shown"),
    [
        ({}, {}, None),
        ({}, {20_000: 0.1, 40_000: 0.2}, 0.2),
        ({40_000: 0.7}, {40_000: 0.2}, 0.7),
        ({20_000: 0.7}, {40_000: 0.2}, 0.2),
        ({60_000: 0.7}, {40_000: 0.2}, 0.7),
    ],
)
def test_the_newest_success_rate_counts_and_the_evaluated_one_before_training_s(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    in_file: Dict[int, float],
    in_training: Dict[int, float],
    shown: object,
) -> None:
    run = make_run(tmp_path, scores=in_training)
    for step, rate in in_file.items():
        write_success_rate(run.results / "success_rate.txt", entry(step, rate))
    (found,) = listed(tmp_path, capsys)
    assert found["success_rate"] == shown


def test_a_running_run_without_a_process_behind_it_is_doubted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, status=RUNNING)
    ownership = acquire(run, Owner.current())
    assert listed(tmp_path, capsys)[0]["status"] == "running"
    ownership.release()
    assert listed(tmp_path, capsys)[0]["status"] == "running (dead?)"


def test_what_is_no_run_is_mentioned_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path, steps=())
    for number in range(7):
        (tmp_path / "results" / f"10-29-0{number}_cuboid").mkdir()
    (tmp_path / "results" / "pictures").mkdir()
    (tmp_path / "results" / "pictures" / "one.png").touch()
    main(["--root", str(tmp_path)])
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 4
    assert "10-29-00_cuboid" in said[2]
    assert "and 2 more" in said[2]
    assert "pictures" in said[3]


def test_an_unreadable_run_is_named_and_the_others_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path, steps=())
    bad = make_run(tmp_path, steps=(), hours=1)
    (bad.results / "run.yaml").write_text("status: [")
    worse = make_run(tmp_path, steps=(), hours=2)
    (worse.results / "success_rate.txt").write_text("all of them\n")
    main(["--root", str(tmp_path)])
    said = capsys.readouterr()
    assert "10-28-18_cuboid" in said.out
    for left_out in (bad, worse):
        assert left_out.name not in said.out
        assert [left_out.name in line for line in said.err.splitlines()].count(True) == 1


def test_a_root_without_runs_says_so(tmp_path: Path) -> None:
    done = runs_command("--root", tmp_path)
    assert done.returncode == 0
    assert done.stdout == f"there are no runs in {tmp_path / 'results'}\n"


@pytest.mark.parametrize("act", ["show", "verify", "prune --keep all"])
def test_an_unknown_run_is_refused_and_those_there_are_named(tmp_path: Path, act: str) -> None:
    make_run(tmp_path, steps=())
    with pytest.raises(RequestError, match="10-28-18_cuboid") as caught:
        main([*act.split(), "10-28-18_cuboit", "--root", str(tmp_path)])
    assert caught.value.exit_code == 2
    assert "'10-28-18_cuboit'" in str(caught.value)


def test_a_wrong_command_line_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = runs_command("prune", "x", "--root", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--keep" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("place", ["name", "results", "live"])
def test_a_run_is_shown_by_name_results_or_live_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    stopped = Interruption("2025-10-28T19:00:00+01:00", "SIGTERM", 40_000, 1_234, 5.5, "node7")
    run = make_run(
        tmp_path, status=PREEMPTED, scores={40_000: 0.25}, command=("python", "-m", "mapush.train")
    )
    run.update(interruptions=(stopped,))
    write_success_rate(run.live / "success_rate.txt", entry(60_000, 0.75))
    named = {"name": run.name, "results": run.results, "live": run.live}[place]
    assert main(["--root", str(tmp_path), "show", str(named)]) == 0
    said = capsys.readouterr().out
    for part in (
        "10-28-18_cuboid: preempted",
        "60,000 of 100,000",
        str(run.results),
        str(run.live),
        "python -m mapush.train",
        "train_timesteps  100000",
        "SIGTERM",
        "1,234",
        "node7",
        "0.250  during training",
        "0.750  300 episodes",
        "0.100 to 0.900",
        f"--run 10-28-18_cuboid --root {tmp_path}",
    ):
        assert part in said


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (RUNNING, "--run 10-28-18_cuboid"),
        (FAILED, "--run 10-28-18_cuboid"),
        ("complete", "rl_model_60000_steps/module.pt --train_timesteps 200000"),
    ],
)
def test_how_a_run_goes_on_depends_on_how_it_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], status: str, said: str
) -> None:
    run = make_run(tmp_path, status=status)
    main(["--root", str(tmp_path), "show", run.name])
    assert said in capsys.readouterr().out.partition("what to do next")[2]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (FAILED, ["mapush.train --run {run} --root {root}"]),
        (
            "complete",
            [
                "mapush.train --checkpoint {last} --train_timesteps 200000 --root {root}",
                "mapush.test --run {results}",
            ],
        ),
    ],
)
def test_the_command_lines_shown_can_be_pasted_whatever_the_directory_is_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], status: str, expected: List[str]
) -> None:
    root = tmp_path / "it's $HOME"
    words = ("python", "-m", "mapush.train", "--root", str(root))
    run = make_run(root, status=status, command=words)
    main(["--root", str(root), "show", run.name])
    said = capsys.readouterr().out
    command = re.search(r"^  command +(.*)$", said, re.MULTILINE)
    assert command
    assert shlex.split(command[1]) == list(words)
    last = run.results / "checkpoints" / "rl_model_60000_steps" / "module.pt"
    names = {"run": run.name, "root": root, "results": run.results, "last": last}
    lines = [line.partition("python -m ")[2] for line in said.splitlines() if ":  python" in line]
    assert [shlex.split(line) for line in lines] == [
        [word.format(**names) for word in line.split()] for line in expected
    ]


def test_a_run_that_is_being_trained_needs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, status=RUNNING)
    owner = Owner.current()
    acquire(run, owner)
    main(["--root", str(tmp_path), "show", run.name])
    end = capsys.readouterr().out.partition("what to do next")[2]
    assert "nothing is to be done" in end
    assert f"process {owner.pid}" in end


def test_text_of_a_record_cannot_drive_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, steps=(), command=("\x1b[2J", "[bold]x[/bold]"))
    main(["--root", str(tmp_path), "show", run.name])
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "'?[2J' '[bold]x[/bold]'" in said


def test_looking_imports_no_torch_and_writes_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path, status=RUNNING)
    acquire(run, Owner.current())
    (run.checkpoints / ".in-use").mkdir()
    (run.checkpoints / ".in-use" / "0123").touch()
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    program = (
        "import sys\nfrom mapush.runs.__main__ import main\n"
        f"root = {str(tmp_path)!r}\n"
        f"main(['--root', root]); main(['--root', root, 'show', {run.name!r}])\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before
