"""What the throughput benchmark makes of what it has measured."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Dict, List, Optional

import pytest
from rich.console import Console

from benchmarks import old_commit, recipes, throughput
from benchmarks.comparison import Goal, Row, comparison, in_turns
from benchmarks.contender import PROJECT, Contender, checked_out, present
from benchmarks.measure_training import PARTS, Training, train
from mapush.errors import RequestError

OLD_LOG = """\
[05/01/24 10:00:00] INFO run cuboid_1 in log
[05/01/24 10:00:01] INFO Episode: 1/2
                         steps: 20000
                         success_rate: 0.01
                         steps_per_second: 40000.5
                         seconds_save: 0.001
[05/01/24 10:00:02] INFO Episode: 2/2
                         steps: 40000
                         success_rate: 0.02
                         steps_per_second: 50000
                         seconds_save: 0.002
[05/01/24 10:00:03] INFO evaluation at 40,000 steps: success rate 0.070
"""


def update(steps: int, seconds: float, **spent: float) -> Dict[str, float]:
    """One of 100 steps that took `seconds` in all."""
    parts = {f"seconds_{part}": spent.get(part, 0.0) for part in PARTS}
    return {"steps": steps, "steps_per_second": 100 / seconds, **parts}


TRAINING = Training(
    # The second evaluation, of 3 s, counts with the update after it.
    [
        update(100, 4.0, update=1.0),
        update(200, 1.0, update=0.25),
        update(300, 4.0, update=0.5, evaluate=3.0),
        update(400, 2.0),
    ],
    [(100, 0.2), (200, 0.79), (300, 0.8), (400, 0.9)],
)


def test_speed_counts_from_the_first_update_on() -> None:
    assert TRAINING.steps == 300
    assert TRAINING.seconds == pytest.approx(7.0)
    assert TRAINING.speed == pytest.approx(300 / 7)
    assert TRAINING.spent("update") == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("rate", "seconds"), [(0.2, 4.0), (0.5, 5.0), (0.80, 6.0), (0.85, 8.0), (0.95, None)]
)
def test_time_to_a_success_rate_leaves_evaluations_out(
    rate: float, seconds: Optional[float]
) -> None:
    assert TRAINING.seconds_to(rate) == (None if seconds is None else pytest.approx(seconds))


def test_a_table_of_recipes_has_what_the_seeds_reached(capsys: pytest.CaptureFixture[str]) -> None:
    never = Training(TRAINING.updates, [(400, 0.3)])
    Console(width=120).print(recipes.results("box", ["", "epochs=2"], [[TRAINING, never], [never]]))
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if "│" in line]
    assert [[cell.strip() for cell in row[1:-1]] for row in rows] == [
        ["default", "0.600", "0.300, 0.900", "75", "2500.00", "6 (1 of 2)", "300 (1 of 2)"],
        ["epochs=2", "0.300", "0.300, 0.300", "75", "2500.00", "never", "never"],
    ]


@pytest.mark.parametrize(
    ("goal", "measured", "old", "met"),
    [
        (Goal(6, is_ratio=True), 600, 100, True),
        (Goal(6, is_ratio=True), 599, 100, False),
        (Goal(6, is_ratio=True), 600, None, None),
        (Goal(0.25, is_most=True, is_ratio=True), 25, 100, True),
        (Goal(0.25, is_most=True, is_ratio=True), 26, 100, False),
        (Goal(1.5, is_most=True), 1.5, 9.0, True),
        (Goal(1.5, is_most=True), 1.6, None, False),
    ],
)
def test_a_goal_is_met(
    goal: Goal, measured: float, old: Optional[float], met: Optional[bool]
) -> None:
    assert goal.is_met(measured, old) is met


def test_contenders_take_turns() -> None:
    asked: List[str] = []

    def measure(contender: Contender) -> int:
        asked.append(contender.name)
        return len(asked)

    contenders = [Contender(name, PROJECT, "mujoco") for name in ("old", "new")]
    assert in_turns(contenders, 3, measure) == {"old": [1, 3, 5], "new": [2, 4, 6]}
    assert asked == ["old", "new"] * 3


def test_a_table_has_medians_ratios_and_verdicts() -> None:
    rows = [
        Row("speed", {"old": [1, 2, 9], "new": [14, 12, 1]}, goal=Goal(6, is_ratio=True)),
        Row("seconds", {"old": [8.0], "new": [float("inf")]}, goal=Goal(9, is_most=True)),
        Row("many", {"new": [7.0]}, ".1f"),
    ]
    table = comparison("box", rows, "old", ["new"])
    cells = [list(column.cells) for column in table.columns]
    assert [str(column.header) for column in table.columns] == [
        *("median", "old", "new", "new / old", "goal")
    ]
    assert list(zip(*cells)) == [
        ("speed", "2", "12", "6.00x", ">= 6x met"),
        ("seconds", "8", "not reached", "", "<= 9 MISSED"),
        ("many", "", "7.0", "", ""),
    ]


def test_an_old_log_is_read(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text(OLD_LOG, encoding="utf-8")
    updates, evaluations = old_commit.read_log(tmp_path / "log.txt")
    assert [each["steps"] for each in updates] == [20_000, 40_000]
    assert [each["steps_per_second"] for each in updates] == [40_000.5, 50_000]
    assert updates[1]["seconds_save"] == 0.002
    assert evaluations == [(40_000, 0.07)]


def worktrees() -> str:
    command = ["git", "worktree", "list"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this checkout has no repository")
    return done.stdout


def test_a_commit_is_checked_out_beside_this_one_for_a_while() -> None:
    before = worktrees()
    with checked_out("HEAD") as tree:
        assert (tree / "mapush" / "train.py").is_file()
        assert (tree / "benchmarks" / "contender.py").is_file()
        assert str(tree) in worktrees()
    assert not tree.exists()
    assert worktrees() == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--sim", "mujuco"], "did you mean mujoco?"),
        (["--sim", "mujoco", "--against", "nothing"], "--against 'nothing': no commit"),
        (["--rounds", "0"], "--rounds 0: at least 1"),
        (["--exp", "cubiod"], "did you mean cuboid?"),
    ],
)
def test_a_wrong_request_is_told_in_one_line(words: List[str], told: str) -> None:
    with pytest.raises(RequestError, match=told.replace("?", r"\?")) as error:
        throughput.main(words)
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["simulator", "environment"])
def test_steps_are_measured_in_a_process_of_their_own(what: str) -> None:
    pytest.importorskip("mjbatch", reason="needs the mujoco extra")
    request = {"what": what, "exp": "cuboid", "num_envs": 2, "seconds": 0.01}
    assert present("mujoco").ask("benchmarks.measure_steps", **request)["speed"] > 100


@pytest.mark.slow
def test_a_training_is_measured_and_stops_when_it_is_enough() -> None:
    pytest.importorskip("mjbatch", reason="needs the mujoco extra")
    contender = present("mujoco")
    words = ["--num_envs=20", "--decisions=4", "--hold=5", "--eval_envs=2", "--final_envs=0"]
    whole = train(contender, "cuboid", [*words, "--train_timesteps=1200", "--eval_freq=400"])
    assert [each["steps"] for each in whole.updates] == [400, 800, 1200]
    assert [step for step, _ in whole.evaluations] == [400, 800, 1200]
    assert whole.speed > 0
    assert 0.1 < whole.memory < 2.0
    endless = [*words, "--train_timesteps=1000000000", "--eval_freq=0"]
    stopped = train(contender, "cuboid", endless, lambda now: len(now.updates) > 3)
    assert len(stopped.updates) > 3
    with pytest.raises(RequestError, match=r"^mujoco: mapush\.train: .*cubiod"):
        train(contender, "cubiod", words)
