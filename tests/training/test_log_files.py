"""log.txt and TensorBoard as a run writes them and goes on with them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mapush.runs.directory import RunDirectory
from mapush.training.log import RunLog
from mapush.training.tensorboard import PATTERN, ScalarWriter, drop_after
from tests.support import scalars


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A directory that is both the live one and the results."""
    return RunDirectory(tmp_path, tmp_path, tmp_path)


def write_points(directory: Path, steps: list[int]) -> None:
    writer = ScalarWriter(directory)
    for step in steps:
        writer.write({"loss/value_loss": float(step)}, step)
    writer.close()


def test_points_after_the_resumed_step_are_dropped_and_the_others_stay(tmp_path: Path) -> None:
    write_points(tmp_path, [100, 200, 300])
    drop_after(tmp_path, 200)
    assert scalars(tmp_path) == {"loss/value_loss": [(100, 100.0), (200, 200.0)]}
    drop_after(tmp_path, 200)
    assert scalars(tmp_path) == {"loss/value_loss": [(100, 100.0), (200, 200.0)]}


@pytest.mark.parametrize("lost", [1, 5, 20])
def test_a_file_that_a_kill_has_torn_is_cut_to_its_whole_records(lost: int, tmp_path: Path) -> None:
    write_points(tmp_path, [100, 200, 300])
    (path,) = tmp_path.glob(PATTERN)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - lost)
    drop_after(tmp_path, 1000)
    assert scalars(tmp_path) == {"loss/value_loss": [(100, 100.0), (200, 200.0)]}


def test_an_update_is_logged_in_the_form_of_the_seed_document(run: RunDirectory) -> None:
    log = RunLog(run, False, total=1000, updates=5)
    log.update(3, 600, {"train": {"average_step_reward": -0.5}, "loss": {"value_loss": 0.25}})
    log.close()
    text = run.log.read_text()
    stamp = r"\[\d\d/\d\d/\d\d \d\d:\d\d:\d\d\]"
    assert re.fullmatch(
        rf"{stamp} INFO Episode: 3/5\n"
        r" {25}steps: 600\n"
        r" {25}average_step_reward: -0\.5\n"
        r" {25}value_loss: 0\.25\n",
        text,
    )


def test_a_restarted_run_appends_to_its_log_and_draws_each_point_once(run: RunDirectory) -> None:
    for since, steps in ((0, (200, 400, 600)), (400, (600, 800))):
        log = RunLog(run, True, total=1000, updates=5, since=since)
        for step in steps:
            log.update(step // 200, step, {"train": {"reward": float(step)}})
        log.close()
    assert [step for step, _ in scalars(run.tensorboard)["train/reward"]] == [200, 400, 600, 800]
    assert run.log.read_text().count("INFO Episode") == 5


def test_a_log_that_ends_in_half_a_line_goes_on_in_a_new_one(run: RunDirectory) -> None:
    log_file = run.log
    log_file.write_bytes(b"[11/23/26 18:07:58] INFO Epis")
    for text in ("one", "two"):
        log = RunLog(run, False, total=1000, updates=5)
        log.say(text)
        log.close()
    torn, *whole = log_file.read_text().splitlines()
    assert torn.endswith("INFO Epis")
    assert [line.rpartition(" ")[2] for line in whole] == ["one", "two"]


def test_without_a_terminal_the_screen_gets_plain_lines(
    run: RunDirectory, capsys: pytest.CaptureFixture
) -> None:
    log = RunLog(run, False, total=1000, updates=5)
    log.update(5, 1000, {"speed": {"steps_per_second": 1234.0}, "train": {"success_rate": 0.5}})
    log.close()
    shown = capsys.readouterr().out
    assert shown.strip() == "training:         1,000 / 1,000 steps  1,234 steps/s  success 0.500"
    assert "\x1b" not in shown
