"""The folders of jobs: made, found again, and what is written in them."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, List

import pytest
from fake_trainers import REPOSITORY
from made_jobs import JOB, make_job, make_request, tiny_disk

from mapush.errors import RequestError, StorageError
from mapush.launch.jobs import JobFolder, find_job, known_jobs, submissions, take_folders
from mapush.launch.node.folder import OUTCOME, REQUEST, SLURM_ID, Outcome
from mapush.launch.request import JobRequest

START = datetime(2026, 11, 23, 18, 12, 45)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{", "null", '{"arguments": []}', "[" * 99_999, "\0", "\xff"),
        *(b'{"job_id": "\xff"}'.decode("latin-1"), '{"job_id": 7}'),
    ],
)
def test_a_damaged_request_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    place = make_job(tmp_path)
    (place.place / REQUEST).write_text(text, encoding="latin-1")
    with pytest.raises(RequestError, match=r"job\.json: cannot be read \(.*\); submit again") as at:
        place.asked()
    assert "\n" not in str(at.value)
    assert len(str(at.value)) < 600


def test_a_request_with_a_field_that_there_is_not_is_named(tmp_path: Path) -> None:
    place = make_job(tmp_path)
    data = place.place / REQUEST
    data.write_text(data.read_text().replace('"exp"', '"colour"'), encoding="utf-8")
    with pytest.raises(RequestError, match="exp: Field required"):
        place.asked()


def test_a_request_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"job\.json: cannot be read \(.*No such file"):
        JobFolder(tmp_path).asked()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"exit_code": "no"}', "\xff", "[" * 99_999, '{"exit_code": 1, "reason": ""}'],
)
def test_a_damaged_outcome_is_none(text: str, tmp_path: Path) -> None:
    place = make_job(tmp_path)
    (place.place / OUTCOME).write_text(text, encoding="latin-1")
    assert place.outcome() is None


def test_request_and_outcome_survive_their_files_to_the_letter(tmp_path: Path) -> None:
    arguments = ("--a", 'it\'s "$HOME" \\ %j é\n', "", "--seed=7")
    request = make_request(tmp_path, "exit 0", *arguments, gpus=1, binds=("/a b",), devices="0,1")
    place = make_job(tmp_path)
    place.open(request)
    assert place.asked() == request
    for outcome in (Outcome(0, "é"), Outcome(75, "cancelled", 'x "y"\n', True)):
        place.write_outcome(outcome)
        assert place.outcome() == outcome
    place.clear_outcome()
    assert place.outcome() is None


@pytest.mark.parametrize(
    ("arguments", "seed", "label"),
    [
        ([], "", "cuboid"),
        (["--seed", "7"], "7", "cuboid seed 7"),
        (["--seed=7", "--num_envs", "3"], "7", "cuboid seed 7"),
        (["--seed", "7", "--seed", "8"], "8", "cuboid seed 8"),
        (["--seed"], "", "cuboid"),
    ],
)
def test_a_request_is_told_from_others_by_its_seed(
    arguments: List[str], seed: str, label: str, tmp_path: Path
) -> None:
    request: JobRequest = make_request(tmp_path, "exit 0", *arguments)
    assert (request.seed, request.label) == (seed, label)


@pytest.mark.parametrize("text", ["", "12; rm", "12_", "_1", "x", "12_3_4", "-1", "é"])
def test_slurm_ids_that_are_none_are_not_believed(text: str, tmp_path: Path) -> None:
    place = make_job(tmp_path)
    (place.place / SLURM_ID).write_text(text, encoding="utf-8")
    assert place.slurm_id() == ""
    place.write(SLURM_ID, "12_3")
    assert place.slurm_id() == "12_3"


def test_a_job_that_is_opened_again_forgets_its_end_and_counts_anew(tmp_path: Path) -> None:
    place = make_job(tmp_path)
    place.note("start", node="n1")
    place.note("end", code=1, step=7)
    place.write(SLURM_ID, "12")
    place.write_outcome(Outcome(1, "it failed"))
    place.output.write_text("said", encoding="utf-8")
    place.open(place.asked())
    assert (place.outcome(), place.slurm_id()) == (None, "")
    assert (place.ledger().starts, place.ledger().ended) == (1, [])
    assert place.output.read_text(encoding="utf-8") == "said"


def names(root: Path) -> List[str]:
    return sorted(os.listdir(submissions(root)))


def test_each_job_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    first = [take_folders(tmp_path, "cuboid", START)[0].job_id for _ in range(3)]
    assert first == [f"11-23-18-12-{second}_cuboid" for second in (45, 46, 47)]


def test_an_array_has_a_folder_and_one_for_each_member(tmp_path: Path) -> None:
    take_folders(tmp_path, "array_1", START)  # has the name of a member
    for second in (46, 47):
        places = take_folders(tmp_path, "array", START, members=3)
        name = f"11-23-18-12-{second}_array"
        assert [place.job_id for place in places] == [f"{name}_{index}" for index in range(3)]
        assert (submissions(tmp_path) / name).is_dir()
    # Nothing of a name that was tried in vain is left.
    assert len(names(tmp_path)) == 1 + 2 * 4


def test_of_an_array_that_the_disk_has_no_room_for_nothing_is_left(tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "small", "size=1m,nr_inodes=60") as root:
        take_folders(root, "first", START)
        before = names(root)
        with pytest.raises(StorageError, match="the disk is full"):
            take_folders(root, "array", START, members=200)
        assert names(root) == before


def test_many_at_once_get_different_folders(tmp_path: Path) -> None:
    program = (
        "import sys; from datetime import datetime; from pathlib import Path\n"
        "from mapush.launch.jobs import take_folders; sys.stdin.readline()\n"
        "for _ in range(20):\n"
        "    for place in take_folders(Path(sys.argv[1]), 'a', datetime(2026, 1, 1), 3):\n"
        "        print(place.job_id)"
    )
    options: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    takers = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=REPOSITORY, **options)
        for _ in range(4)
    ]
    for taker in takers:
        assert taker.stdin is not None
        taker.stdin.write("go\n")
        taker.stdin.flush()
    taken = [name for taker in takers for name in taker.communicate(timeout=60)[0].split()]
    assert len(taken) == len(set(taken)) == 4 * 20 * 3


def test_jobs_are_listed_in_the_order_of_their_submission(tmp_path: Path) -> None:
    assert known_jobs(tmp_path) == []
    # Names have no year.
    order = ["12-31-23-59-59_cuboid", "01-01-00-00-00_cuboid", "06-01-00-00-00_a"]
    for number, name in enumerate(order):
        place = make_job(tmp_path, job_id=name)
        os.utime(place.place / REQUEST, (1000 + number, 1000 + number))
    (submissions(tmp_path) / "no-request").mkdir()
    assert [place.job_id for place in known_jobs(tmp_path)] == order


def test_a_job_is_found_by_its_name_or_by_slurms_number_the_last_that_had_it(
    tmp_path: Path,
) -> None:
    old, new = (make_job(tmp_path, job_id=name) for name in (JOB, "11-23-19-00-00_cuboid"))
    for number, place in enumerate((old, new)):
        place.write(SLURM_ID, "12")  # numbers come round again
        os.utime(place.place / REQUEST, (1000 + number, 1000 + number))
    assert find_job(tmp_path, JOB).job_id == JOB
    assert find_job(tmp_path, "12").job_id == new.job_id
    for text in ("13", "", ".", "..", "../submit", f"{JOB}/", "gone", "x" * 5000, "a\nb", "_"):
        with pytest.raises(RequestError, match="there is none in") as caught:
            find_job(tmp_path, text)
        assert "\n" not in str(caught.value)


def test_a_job_that_was_submitted_just_now_is_starting(tmp_path: Path) -> None:
    place = make_job(tmp_path)
    assert place.is_starting()
    assert place.is_living()
    os.utime(place.place / REQUEST, (1000, 1000))
    assert not place.is_living()
    assert not JobFolder(tmp_path / "gone").is_starting()
