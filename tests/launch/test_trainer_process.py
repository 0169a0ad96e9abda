from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import List, Optional

import pytest
from fake_trainers import listening, meanwhile
from made_jobs import JOB, make_job, make_request

from mapush.errors import RequestError, StorageError
from mapush.job.folder import JobFolder
from mapush.job.trainer_process import RELAYED, SignalRelay, run_trainer, trainer_environment


def run(text: str, root: Path, relay: SignalRelay, *arguments: str) -> int:
    request = make_request(root, text, *arguments)
    environment = trainer_environment(JobFolder.of(root, JOB), request, 0)
    return run_trainer(request, environment, root / "job.log", relay)


@pytest.mark.parametrize(
    ("text", "code"), [("exit 0", 0), ("exit 75", 75), ("exit 2", 2), ("kill -9 $$", -9)]
)
def test_the_exit_code_is_the_trainers(text: str, code: int, tmp_path: Path) -> None:
    assert run(text, tmp_path, SignalRelay()) == code


def test_arguments_with_spaces_and_quotes_arrive_intact(tmp_path: Path) -> None:
    arguments = ["--a", "two words", "--b", 'it\'s "$HOME"', ""]
    run("printf '%s\\n' \"$@\"", tmp_path, SignalRelay(), *arguments)
    assert (tmp_path / "job.log").read_text(encoding="utf-8").split("\n")[:-1] == arguments


def test_the_trainer_knows_its_job_and_both_its_streams_are_kept(tmp_path: Path) -> None:
    text = 'echo "$MAPUSH_JOB_ID"; echo complaint >&2'
    run(text, tmp_path, SignalRelay())
    run(text, tmp_path, SignalRelay())
    assert (tmp_path / "job.log").read_text(encoding="utf-8") == f"{JOB}\ncomplaint\n" * 2


def test_the_trainer_runs_in_the_snapshot_and_imports_what_lies_there(tmp_path: Path) -> None:
    program = "import mapush, os; print(os.getcwd(), mapush.__file__)"
    run(f'pwd; "$PYTHON" -c "{program}"', tmp_path, SignalRelay())
    code = make_request(tmp_path).code
    lines = (tmp_path / "job.log").read_text(encoding="utf-8").splitlines()
    assert lines == [code, f"{code} {code}/mapush/__init__.py"]


def test_every_signal_reaches_the_trainer_once(tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    text = listening(tmp_path, "SIGTERM", heard)
    names = ["SIGUSR1", "SIGUSR2", "SIGINT", "SIGTERM"]
    acknowledged: List[str] = []

    def send_one_after_the_other() -> None:
        with heard.open(encoding="utf-8") as lines:
            for name in names:
                acknowledged.append(next(lines).strip())
                os.kill(os.getpid(), getattr(signal, name))
            acknowledged.append(next(lines).strip())

    before = [signal.getsignal(number) for number in RELAYED]
    with meanwhile(send_one_after_the_other), SignalRelay() as relay:
        code = run(text, tmp_path, relay)
    assert code == 75
    assert acknowledged == ["ready", *names]
    assert (tmp_path / "job.log").read_text(encoding="utf-8").split() == names
    assert [signal.getsignal(number) for number in RELAYED] == before


def test_a_signal_before_the_trainer_starts_is_not_lost(tmp_path: Path) -> None:
    with SignalRelay() as relay:
        os.kill(os.getpid(), signal.SIGTERM)
        code = run("exec sleep 60", tmp_path, relay)
    assert code == -signal.SIGTERM
    assert relay.received == [signal.SIGTERM]


@pytest.mark.parametrize(
    ("gpus", "devices", "seen"), [(0, "0,1", ""), (0, None, ""), (1, "3", "3"), (1, None, None)]
)
def test_the_trainer_sees_the_gpus_that_its_submitter_saw(
    gpus: int,
    devices: Optional[str],
    seen: Optional[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "what submitit sets")
    request = make_request(tmp_path, gpus=gpus, devices=devices)
    place = JobFolder.of(tmp_path, JOB)
    assert trainer_environment(place, request, 0).get("CUDA_VISIBLE_DEVICES") == seen


def test_on_a_cluster_the_trainer_sees_the_gpus_that_the_scheduler_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    request = make_request(tmp_path, gpus=1, devices="0")
    environment = trainer_environment(JobFolder.of(tmp_path, JOB), request, 0, gpu_devices=False)
    assert environment["CUDA_VISIBLE_DEVICES"] == "3"


def test_an_output_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "job.log").mkdir()
    with pytest.raises(StorageError, match=r"job\.log"):
        run("exit 0", tmp_path, SignalRelay())


def test_a_snapshot_that_this_machine_does_not_see_is_named(tmp_path: Path) -> None:
    place = make_job(tmp_path)
    request = make_request(tmp_path)
    (Path(request.code) / "job").unlink()
    environment = trainer_environment(place, request, 0)
    with pytest.raises(RequestError, match=r"job/enter\.sh: is not there on \S+; submit again"):
        run_trainer(request, environment, place.output, SignalRelay())
