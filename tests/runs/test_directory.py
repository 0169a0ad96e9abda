from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import filelock
import pytest
from owners import owner

from mapush.errors import RequestError, StorageError
from mapush.runs import record
from mapush.runs.directory import RunDirectory
from mapush.runs.finish import finish
from mapush.runs.listing import find_by_job, open_run, runs, runs_of_job
from mapush.runs.naming import reserve

START = datetime(2025, 10, 28, 18, 7, 58)
PROJECT = Path(__file__).parents[2]


def start(root: Path, job: str = "", moment: datetime = START, exp: str = "cuboid") -> RunDirectory:
    return reserve(root, exp, "go1push_mid", moment, owner(job), {"seed": 1, "num_envs": 200})


def test_a_start_takes_both_directories_and_records_itself_in_both(tmp_path: Path) -> None:
    run = start(tmp_path, "77")
    assert run.results == tmp_path / "results/10-28-18_cuboid"
    assert run.live == tmp_path / "log/MQE/go1push_mid/2025_10_28_18_07_58"
    assert run.current == run.live
    for directory in (run.results, run.live):
        found = record.read(directory / "run.yaml")
        assert found.status == record.RUNNING
        assert found.owner.job_id == "77"
        assert (found.seed, found.more) == (1, {"num_envs": 200})
        assert tmp_path / found.live == run.live
        assert datetime.fromisoformat(found.started) == START.astimezone()


def test_a_second_start_in_the_hour_gets_the_seconds_suffix(tmp_path: Path) -> None:
    names = [start(tmp_path).name for _ in range(3)]
    assert names == ["10-28-18_cuboid", "10-28-18_cuboid_07-58", "10-28-18_cuboid_07-59"]


def test_a_year_later_the_suffix_is_used(tmp_path: Path) -> None:
    start(tmp_path)
    assert start(tmp_path, moment=START.replace(year=2026)).name == "10-28-18_cuboid_07-58"


def test_a_clock_that_goes_back_harms_nothing(tmp_path: Path) -> None:
    taken = {start(tmp_path).live, start(tmp_path).live}
    earlier = start(tmp_path, moment=START.replace(second=57))
    assert earlier.live not in taken
    assert start(tmp_path, moment=START.replace(second=57)).live not in {*taken, earlier.live}


def test_an_existing_file_of_that_name_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results/10-28-18_cuboid").touch()
    assert start(tmp_path).name == "10-28-18_cuboid_07-58"


@pytest.mark.slow
def test_fifty_processes_that_start_at_once_get_fifty_of_each(tmp_path: Path) -> None:
    command = [sys.executable, str(Path(__file__).with_name("reserve_one.py")), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    processes = [
        subprocess.Popen(
            [*command, f"job{number}", START.isoformat(), "broken" if number % 2 else "working"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for number in range(50)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.close()
    lines = [process.stdout.read().strip().split("\t") for process in processes]
    assert [process.wait() for process in processes] == [0] * 50
    assert len({results for results, _, _ in lines}) == 50
    assert len({live for _, live, _ in lines}) == 50
    assert {torch for _, _, torch in lines} == {"False"}
    for number, (results, live, _) in enumerate(lines):
        found = find_by_job(tmp_path, f"job{number}")
        assert (str(found.results), str(found.live)) == (results, live)


def test_mkdir_alone_decides_who_gets_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the others had taken their names right after this process looked.
    monkeypatch.setattr(Path, "iterdir", lambda _: iter(()))
    taken = [start(tmp_path) for _ in range(3)]
    assert len({run.results for run in taken}) == 3
    assert len({run.live for run in taken}) == 3


@pytest.mark.parametrize(
    "fault", [NotImplementedError("flock"), OSError(37, "No locks available"), filelock.Timeout("")]
)
def test_names_are_right_without_a_working_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: OSError
) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise fault

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    assert len({start(tmp_path).results for _ in range(5)}) == 5


def test_a_lock_that_somebody_holds_for_good_does_not_stop_a_start(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    with filelock.FileLock(str(tmp_path / "results/.naming.lock")):
        assert start(tmp_path).name == "10-28-18_cuboid"


@pytest.mark.parametrize(("exp", "task"), [("../x", "t"), ("x", "../t"), ("x", "a/b"), ("", "t")])
def test_a_name_that_leaves_the_root_is_refused_and_nothing_is_written(
    tmp_path: Path, exp: str, task: str
) -> None:
    with pytest.raises(RequestError):
        reserve(tmp_path / "root", exp, task, START, owner())
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "results").touch()
    with pytest.raises(StorageError, match="results"):
        start(tmp_path)


def test_runs_are_listed_in_the_order_of_their_start(tmp_path: Path) -> None:
    later = start(tmp_path, moment=START.replace(year=2026, month=1))
    earlier = start(tmp_path)
    assert runs(tmp_path) == [earlier, later]


def test_starts_within_a_second_are_in_order_though_their_names_are_not(tmp_path: Path) -> None:
    last = datetime(2025, 12, 31, 23, 59, 59)
    moments = [last.replace(microsecond=1000 * number) for number in range(4)]
    started = [start(tmp_path, "7", moment) for moment in moments]
    assert started[2].name == "01-01-00_cuboid_00-00"
    assert runs(tmp_path) == started
    assert [run for run, _ in runs_of_job(tmp_path, "7")] == started
    assert find_by_job(tmp_path, "7") == started[-1]


def test_there_are_no_runs_where_there_is_no_results_directory(tmp_path: Path) -> None:
    assert runs(tmp_path) == []


def test_a_job_finds_its_run_and_not_the_latest(tmp_path: Path) -> None:
    mine = start(tmp_path, "7")
    start(tmp_path, "8")
    start(tmp_path, "")
    assert find_by_job(tmp_path, "7") == mine
    assert find_by_job(tmp_path, "77") is None
    assert find_by_job(tmp_path, "") is None


def test_a_job_finds_the_last_of_its_runs_whatever_the_status(tmp_path: Path) -> None:
    start(tmp_path, "7")
    last = start(tmp_path, "7", moment=START.replace(year=2026))
    finish(last)
    assert find_by_job(tmp_path, "7").name == last.name


def test_an_unreadable_record_is_warned_about_and_the_rest_found(tmp_path: Path) -> None:
    mine = start(tmp_path, "7")
    (start(tmp_path, "8").results / "run.yaml").write_text("status: [")
    warnings = []
    assert find_by_job(tmp_path, "7", warnings.append) == mine
    assert len(warnings) == 1
    assert "10-28-18_cuboid_07-58/run.yaml" in warnings[0]


def test_a_reservation_killed_before_its_record_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "results/10-28-18_cuboid").mkdir(parents=True)
    run = start(tmp_path)
    assert runs(tmp_path) == [run]


def test_a_reservation_killed_before_its_live_record_goes_on_from_the_other(tmp_path: Path) -> None:
    run = start(tmp_path, "7")
    (run.live / "run.yaml").unlink()
    found = find_by_job(tmp_path, "7")
    assert found == run
    assert found.update(status=record.PREEMPTED).status == record.PREEMPTED
    assert (run.live / "run.yaml").exists()


@pytest.mark.parametrize("by", ["name", "results", "live", "relative results"])
def test_a_run_opens_by_any_of_its_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    run = start(tmp_path)
    monkeypatch.chdir(tmp_path)
    text = {
        "name": run.name,
        "results": str(run.results),
        "live": str(run.live),
        "relative results": f"results/../results/{run.name}/",
    }[by]
    assert open_run(tmp_path, text) == run


def test_a_run_of_another_root_opens_by_its_path(tmp_path: Path) -> None:
    run = start(tmp_path / "one")
    for text in (run.results, run.live):
        assert open_run(tmp_path / "two", str(text)) == run


def test_a_run_opens_where_results_is_a_link_to_another_disk(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root/results").symlink_to(tmp_path / "scratch")
    run = start(tmp_path / "root")
    assert open_run(tmp_path / "root", str(run.results)) == run


def test_a_copy_of_a_finished_run_has_its_files_where_it_lies(tmp_path: Path) -> None:
    run = start(tmp_path)
    finish(run)
    shutil.copytree(run.results, tmp_path / "backup")
    assert open_run(tmp_path, str(tmp_path / "backup")).current == tmp_path / "backup"


def owned(root: Path, job: str, slurm_job: str, year: int) -> RunDirectory:
    moment = START.replace(year=year)
    return reserve(root, "cuboid", "t", moment, owner(job, slurm_job_id=slurm_job))


def test_a_run_opens_by_the_id_of_its_job_and_by_slurms(tmp_path: Path) -> None:
    newest = owned(tmp_path, "late", "55_1", 2027)
    oldest = owned(tmp_path, "first", "55_1", 2025)
    other = owned(tmp_path, "other", "55", 2026)
    named = owned(tmp_path, "55_2", "56", 2024)
    owned(tmp_path, "57", "55_2", 2028)
    found = {text: open_run(tmp_path, text) for text in ("first", "55_1", "55", "55_2")}
    assert found == {"first": oldest, "55_1": newest, "55": other, "55_2": named}


@pytest.mark.parametrize("text", ["", "5", "55_", "job_id"])
def test_a_part_of_an_id_opens_nothing(tmp_path: Path, text: str) -> None:
    owned(tmp_path, "", "", 2025)
    owned(tmp_path, "first", "55_1", 2025)
    with pytest.raises(RequestError, match="is no run"):
        open_run(tmp_path, text)


def test_a_run_s_name_goes_before_the_id_of_a_job(tmp_path: Path) -> None:
    run = start(tmp_path, "7")
    start(tmp_path, run.name)
    assert open_run(tmp_path, run.name) == run


def test_a_job_is_not_found_by_slurms_id(tmp_path: Path) -> None:
    owned(tmp_path, "first", "55_1", 2025)
    assert find_by_job(tmp_path, "55_1") is None


def test_a_name_that_is_no_run_lists_those_there_are(tmp_path: Path) -> None:
    start(tmp_path)
    with pytest.raises(RequestError, match="there are 10-28-18_cuboid"):
        open_run(tmp_path, "10-28-19_cuboid")


def test_a_finished_run_whose_live_name_was_given_again_is_found_at_home(tmp_path: Path) -> None:
    finished = start(tmp_path, "7")
    finish(finished)
    later = start(tmp_path, "7")
    assert later.live == finished.live
    found = open_run(tmp_path, finished.name)
    assert (found.results, found.current) == (finished.results, finished.results)
    assert found.read().status == record.COMPLETE
    found.update(seed=5)
    assert later.read().seed == 1
    assert [run.results for run in runs(tmp_path)] == [finished.results, later.results]
    assert open_run(tmp_path, later.name) == later


def test_a_record_that_claims_the_live_directory_of_another_run_is_refused(tmp_path: Path) -> None:
    victim, thief = start(tmp_path), start(tmp_path)
    stolen = victim.live.relative_to(tmp_path).as_posix()
    shutil.rmtree(thief.live)
    thief.update(live=stolen)
    with pytest.raises(RequestError, match="the live directory of results/10-28-18_cuboid;"):
        open_run(tmp_path, thief.name)
