from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from pathlib import Path
from typing import Optional, Tuple

import pytest
from made_runs import make_run

from mapush.runs.__main__ import main
from mapush.runs.owner import Owner
from mapush.runs.record import PREEMPTED, Interruption, seconds_away

START = datetime(2025, 10, 28, 19).astimezone()


def note(seconds: float, away: Optional[float], **more: object) -> Interruption:
    time = (START + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
    made = Interruption(time, "SIGTERM", 40_000, 1_234, 5.25, "n3", away, 0)
    return dataclasses.replace(made, **more)


def test_the_ledger_is_a_table_with_totals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, status=PREEMPTED)
    old = note(0, None, signal="SIGUSR1", restart=None, host="node7", steps_lost=0)
    killed = note(100, 30.0, signal="killed")
    run.update(interruptions=(old, killed, note(120, 10.0, restart=1), note(900, None, restart=2)))
    assert main(["--root", str(tmp_path), "show", run.name]) == 0
    said = capsys.readouterr().out.splitlines()
    heading = next(number for number, line in enumerate(said) if line.startswith("time "))
    assert said[heading - 1] == "4 interruptions"
    rows = [line.split() for line in said[heading + 1 : heading + 6]]
    assert said[heading].split("  ")[-1].strip() == "restart"
    assert [row[1:] for row in rows[:4]] == [
        ["SIGUSR1", "40,000", "0", "5.2", "-", "node7", "-"],
        ["killed", "40,000", "1,234", "5.2", "30.0", "n3", "0"],
        ["SIGTERM", "40,000", "1,234", "5.2", "10.0", "n3", "1"],
        ["SIGTERM", "40,000", "1,234", "5.2", "-", "n3", "2"],
    ]
    assert rows[4] == ["in", "all", "3,702", "21.0", "30.0"]


@pytest.mark.parametrize(
    ("notes", "seconds"),
    [
        ((), 0),
        ((note(0, None),), 0),
        ((note(0, 10.0), note(100, 20.0)), 30),
        ((note(0, 50.0), note(20, 30.0), note(40, 10.0)), 50),
        ((note(0, 50.0), note(45, 15.0)), 60),
        ((note(0, 50.0), note(0, 10.0, time="some day")), 60),
        ((note(0, 10.0, time="0001-01-01T00:00:00"), note(0, 10.0)), 20),
    ],
)
def test_time_away_is_counted_once(notes: Tuple[Interruption, ...], seconds: float) -> None:
    assert seconds_away(notes) == pytest.approx(seconds)


@pytest.mark.parametrize("job", ["11-23-18-07-58_cuboid", "4711_3"])
def test_a_run_is_shown_by_its_job(
    job: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    owner = Owner.current("11-23-18-07-58_cuboid")
    owner = dataclasses.replace(owner, slurm_job_id="4711_3", node="n3")
    make_run(tmp_path, steps=(), hours=1, owner=owner)
    make_run(tmp_path, steps=())
    assert main(["--root", str(tmp_path), "show", job]) == 0
    said = capsys.readouterr().out
    assert said.startswith("10-28-19_cuboid: ")
    assert "node n3 (job 11-23-18-07-58_cuboid, SLURM job 4711_3, since" in said
    assert main(["--root", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith(" 4711_3")
