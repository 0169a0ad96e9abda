"""SLURM's commands behind a site's wrappers, slow, broken, or not where they are looked for."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import Dict, List, Tuple

import pytest
from made_commands import put, says
from recorded_slurm import V20_11, V22_05, V24_05

from mapush.launch import squeue
from mapush.launch.jobs import JobFolder
from mapush.launch.node import slurm
from mapush.launch.node.folder import SLURM_ID
from mapush.launch.node.slurm import GONE, NoCommand, SlurmError
from mapush.launch.squeue import in_queue

SILENT = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
UNKNOWN = "slurm_load_jobs error: Invalid job id specified"


@pytest.fixture(name="commands")
def folder_of_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is first in the PATH; there is no SLURM but what a test puts there."""
    folder, tools = tmp_path / "bin", tmp_path / "tools"
    for each in (folder, tools):
        each.mkdir()
    for name in ("cat", "dirname", "env", "sleep"):
        (tools / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", f"{folder}:{tools}")
    monkeypatch.setattr(slurm, "_PLACES", ())
    return folder


BEFORE = "*** Maintenance on Monday ***\n\nJobs may be preempted: JobState=FAILED Restarts=9\n"
AFTER = "\nRestarts=7\nSee https://help.site/?JobId=9\nThank you.\n"


@pytest.mark.parametrize("asked", ["635", "4712", "70_2"])
def test_a_job_is_read_past_a_banner_before_and_after_it(asked: str, commands: Path) -> None:
    text = {"635": V22_05, "4712": V20_11, "70_2": V24_05}[asked]
    says(commands, "scontrol", text)
    plain = slurm.job(asked)
    says(commands, "scontrol", BEFORE + text + AFTER, "scontrol: warning: be nice\n")
    assert slurm.job(asked) == plain
    says(commands, "scontrol", text.replace("\n", "\r\n"))
    assert slurm.job(asked) == plain


def test_a_banner_that_is_no_text_hides_nothing(commands: Path) -> None:
    says(commands, "scontrol", V22_05)
    plain = slurm.job("635")
    (commands / "scontrol.out").write_bytes(b"gr\xfc\xdfe\xff\n" + V22_05.encode())
    assert slurm.job("635") == plain


def queue(*slurm_ids: str) -> str:
    return "".join(f"{each}|RUNNING|2026-03-22T22:20:55|None\n" for each in slurm_ids)


def test_living_jobs_are_told_apart_past_clusters_and_banners(commands: Path) -> None:
    clusters = f"CLUSTER: x\n{queue('8', '9_1')}\nCLUSTER: y\n{queue('10')}"
    says(commands, "squeue", BEFORE + clusters + AFTER)
    assert list(in_queue()) == ["8", "9_1", "10"]


@pytest.mark.parametrize(
    ("answer", "asked", "expected"),
    [
        ("", ["8"], []),
        (queue("8"), ["8", "9"], ["8"]),
        (queue("18", "80"), ["8"], []),
        (queue("8_1", "8_3"), ["8_0", "8_1", "8_3", "8"], ["8_1", "8_3"]),
        (queue("8", "8"), ["8"], ["8"]),
        (f"  {queue('8').strip()}  \n", ["8"], ["8"]),
    ],
)
def test_a_job_lives_if_squeue_lists_just_it(
    answer: str, asked: List[str], expected: List[str], commands: Path, tmp_path: Path
) -> None:
    says(commands, "squeue", answer)
    place = JobFolder(tmp_path)
    for slurm_id in asked:
        place.write(SLURM_ID, slurm_id)
        assert place.is_living() == (slurm_id in expected)


@pytest.mark.usefixtures("commands")
def test_about_a_job_that_slurm_does_not_run_nothing_is_asked(tmp_path: Path) -> None:
    assert not JobFolder(tmp_path).is_living()  # there is no squeue


def test_the_queue_and_the_script_of_a_job_are_read_past_clusters(commands: Path) -> None:
    says(commands, "squeue", "CLUSTER: x\n8|RUNNING|2026-03-22T22:20:55|None\nCLUSTER: y\n")
    assert list(in_queue()) == ["8"]
    says(commands, "squeue", "be | nice\nCLUSTER: x\n7|/s/ab/x.sh\n8|/s/a/x.sh\n9|/s/a/y.sh\n")
    assert squeue.find_by_script("/s/a") == ["8", "9"]
    assert squeue.find_by_script("/s/a/") == ["8", "9"]
    assert squeue.find_by_script("/s/b") == []


@pytest.mark.parametrize(
    "where", [("out", 0), ("err", 0), ("out", 1), ("err", 1)], ids=lambda each: f"{each}"
)
def test_an_error_is_an_error_also_where_a_wrapper_loses_the_exit_code(
    where: Tuple[str, int], commands: Path
) -> None:
    stream, code = where
    for name in ("squeue", "scontrol"):
        said = {stream: f"site: be nice\n{SILENT}\n"}
        says(commands, name, said.get("out", ""), said.get("err", "be nice\n"), code)
    for ask in (
        lambda: in_queue(),
        lambda: squeue.find_by_script("/s"),
        lambda: slurm.job("8"),
    ):
        with pytest.raises(SlurmError, match="Unable to contact slurm controller") as caught:
            ask()
        assert "\n" not in str(caught.value)
    said = {stream: f"site: be nice\n{UNKNOWN}\n"}
    says(commands, "scontrol", said.get("out", ""), said.get("err", "be nice\n"), code)
    assert slurm.job("8").state == GONE


@pytest.mark.parametrize(
    ("err", "words"),
    [
        ("", "scontrol: it failed without a message"),
        ("scontrol: error: a\n\nscontrol: error: b\n", "scontrol: a; b"),
        ("scontrol: fatal: no configuration\n", "scontrol: no configuration"),
        ("x" * 9000, "xxx"),
    ],
)
def test_a_failure_is_told_in_one_line_of_bearable_length(
    err: str, words: str, commands: Path
) -> None:
    says(commands, "scontrol", "", err, 1)
    with pytest.raises(SlurmError) as caught:
        slurm.job("8")
    message = str(caught.value)
    assert words in message
    assert "\n" not in message
    assert len(message) < 600


def test_a_command_that_hangs_is_ended_with_all_that_it_started(
    commands: Path, tmp_path: Path
) -> None:
    ended = tmp_path / "fifo"
    os.mkfifo(ended)
    put(commands, "squeue", f"trap '' TERM\n(exec sleep 15) > '{ended}' &\necho 8\nwait")
    reader = os.open(ended, os.O_RDONLY | os.O_NONBLOCK)
    began = time.monotonic()
    with pytest.raises(SlurmError, match=r"^squeue: no answer in 0 s$"):
        slurm.call("squeue", seconds=0.3)
    with pytest.raises(SlurmError, match="no answer"):
        in_queue(seconds=0.3)
    assert time.monotonic() - began < 20
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b""  # nobody holds it open any more
    os.close(reader)


def test_a_command_that_is_not_there_is_named_with_the_path(
    commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NoCommand) as caught:
        slurm.job("8")
    assert str(caught.value) == f"scontrol: not found in PATH ({os.environ['PATH']})"
    with pytest.raises(NoCommand, match=r"^squeue: not found in PATH \(/only/here\)$"):
        slurm.call("squeue", environment={"PATH": "/only/here"})
    # One that may not be run is none.
    put(commands, "scontrol", "echo").chmod(stat.S_IRUSR)
    (commands / "squeue").mkdir()
    for name in ("scontrol", "squeue"):
        assert slurm.find(name) is None


def test_a_command_beside_the_path_is_found_and_the_path_comes_first(
    commands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [tmp_path / "opt" / "slurm" / "bin", tmp_path / "usr" / "slurm" / "bin"]
    for place in places:
        place.mkdir(parents=True)
        put(place, "scontrol", f"echo {place}")
    monkeypatch.setattr(slurm, "_PLACES", tuple(str(place) for place in places))
    for environment in (None, {"PATH": "/only/here"}, {"PATH": ""}):
        assert slurm.call("scontrol", environment=environment) == f"{places[0]}\n"
    own = put(commands, "scontrol", "echo mine")
    assert slurm.find("scontrol") == str(own)
    assert slurm.call("scontrol") == "mine\n"


# As a dynamic linker does: it ends with 127 where a library is wrong or missing.
LINKED = """
echo "${LD_LIBRARY_PATH-none}" >>"$(dirname "$0")/tried"
[ "${LD_LIBRARY_PATH-none}" = GOOD ] || { echo 'libslurm.so: cannot open' >&2; exit 127; }
cat "$(dirname "$0")/answer"
"""


@pytest.mark.parametrize(
    ("good", "users", "tried"),
    [
        # The user's libraries may break the command: it is tried without them.
        ("none", {"LD_LIBRARY_PATH": "/conda/lib"}, ["none"]),
        # And where it cannot do without them, with them.
        ("/opt/slurm/lib", {"LD_LIBRARY_PATH": "/opt/slurm/lib"}, ["none", "/opt/slurm/lib"]),
        ("none", {}, ["none"]),
    ],
)
def test_the_users_libraries_neither_break_a_command_nor_are_missed(
    good: str, users: Dict[str, str], tried: List[str], commands: Path
) -> None:
    put(commands, "scontrol", LINKED.replace("GOOD", good))
    (commands / "answer").write_text(V22_05, encoding="utf-8")
    found = slurm.job("635", {"PATH": os.environ["PATH"], **users})
    assert found.nodes == "c-8-42"
    assert (commands / "tried").read_text(encoding="utf-8").split() == tried


@pytest.mark.parametrize("users", [{}, {"LD_LIBRARY_PATH": "/wrong"}])
def test_a_command_that_no_libraries_help_is_told_with_its_own_words(
    users: Dict[str, str], commands: Path
) -> None:
    put(commands, "scontrol", LINKED.replace("GOOD", "/nowhere"))
    with pytest.raises(SlurmError, match=r"libslurm\.so: cannot open"):
        slurm.job("635", {"PATH": os.environ["PATH"], **users})
    count = len((commands / "tried").read_text(encoding="utf-8").split())
    assert count == 1 + len(users)


def test_a_command_is_asked_in_one_zone_one_language_and_the_users_cluster(
    commands: Path,
) -> None:
    put(commands, "squeue", "env")
    users = {
        "PATH": os.environ["PATH"],
        "TZ": "Europe/Berlin",
        "LC_ALL": "de_DE.UTF-8",
        "LANG": "de_DE.UTF-8",
        "SQUEUE_FORMAT": "%j",
        "SLURM_TIME_FORMAT": "relative",
        "SLURM_CLUSTERS": "x",
        "SLURM_CONF": "/etc/x.conf",
        "SLURM_JWT": "token",
        "FOO": "bar",
    }
    said = slurm.call("squeue", environment=users).splitlines()
    found = dict(line.split("=", 1) for line in said)
    assert {name: found.get(name) for name in users} == {
        **users,
        "TZ": "UTC",
        "LC_ALL": "C",
        "SQUEUE_FORMAT": None,
        "SLURM_TIME_FORMAT": None,
    }
