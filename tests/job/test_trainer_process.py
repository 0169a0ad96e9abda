from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import List, Optional

import pytest
from fake_trainers import listener, script

from mapush.errors import StorageError
from mapush.job.trainer_process import RELAYED, SignalRelay, run_trainer, trainer_environment


def run(path: Path, tmp_path: Path, relay: SignalRelay, *arguments: str) -> int:
    environment = trainer_environment("job-1", 0, None)
    return run_trainer(path, arguments, environment, tmp_path / "job.log", relay)


@pytest.mark.parametrize(
    ("text", "code"), [("exit 0", 0), ("exit 75", 75), ("exit 2", 2), ("kill -9 $$", -9)]
)
def test_the_exit_code_is_the_trainers(text: str, code: int, tmp_path: Path) -> None:
    assert run(script(tmp_path, text), tmp_path, SignalRelay()) == code


def test_arguments_with_spaces_and_quotes_arrive_intact(tmp_path: Path) -> None:
    arguments = ["--a", "two words", "--b", 'it\'s "$HOME"', ""]
    run(script(tmp_path, "printf '%s\\n' \"$@\""), tmp_path, SignalRelay(), *arguments)
    assert (tmp_path / "job.log").read_text(encoding="utf-8").split("\n")[:-1] == arguments


def test_the_trainer_knows_its_job_and_both_its_streams_are_kept(tmp_path: Path) -> None:
    path = script(tmp_path, 'echo "$MAPUSH_JOB_ID"; echo complaint >&2')
    run(path, tmp_path, SignalRelay())
    run(path, tmp_path, SignalRelay())
    assert (tmp_path / "job.log").read_text(encoding="utf-8") == "job-1\ncomplaint\n" * 2


def test_every_signal_reaches_the_trainer_once(tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    path = listener(tmp_path, "SIGTERM", heard)
    names = ["SIGUSR1", "SIGUSR2", "SIGINT", "SIGTERM"]
    acknowledged: List[str] = []

    def send_one_after_the_other() -> None:
        with heard.open(encoding="utf-8") as lines:
            for name in names:
                acknowledged.append(next(lines).strip())
                os.kill(os.getpid(), getattr(signal, name))
            acknowledged.append(next(lines).strip())

    before = [signal.getsignal(number) for number in RELAYED]
    sender = threading.Thread(target=send_one_after_the_other)
    sender.start()
    with SignalRelay() as relay:
        code = run(path, tmp_path, relay)
    sender.join()
    assert code == 75
    assert acknowledged == ["ready", *names]
    assert (tmp_path / "job.log").read_text(encoding="utf-8").split() == names
    assert [signal.getsignal(number) for number in RELAYED] == before


def test_a_signal_before_the_trainer_starts_is_not_lost(tmp_path: Path) -> None:
    with SignalRelay() as relay:
        os.kill(os.getpid(), signal.SIGTERM)
        code = run(script(tmp_path, "sleep 60"), tmp_path, relay)
    assert code == -signal.SIGTERM
    assert relay.received == [signal.SIGTERM]


@pytest.mark.parametrize(
    ("gpus", "devices", "seen"), [(0, "0,1", ""), (0, None, ""), (1, "3", "3"), (1, None, None)]
)
def test_the_trainer_sees_the_gpus_that_its_submitter_saw(
    gpus: int, devices: Optional[str], seen: Optional[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "what submitit sets")
    assert trainer_environment("job-1", gpus, devices).get("CUDA_VISIBLE_DEVICES") == seen


def test_an_output_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "job.log").mkdir()
    with pytest.raises(StorageError, match=r"job\.log"):
        run(script(tmp_path, "exit 0"), tmp_path, SignalRelay())
