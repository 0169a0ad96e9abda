"""Killed, or refused by the storage, at any system call: the next start goes on by itself."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Callable, Dict, List, Type

import pytest

from mapush.checkpoint.store import CheckpointStore, load_entry
from mapush.files import TRANSIENT
from mapush.runs.lease import LEASES
from tests.durability.injection import (
    ERRORS,
    Injection,
    Outcome,
    attack,
    count_calls,
    faults,
    kills,
    unavailable,
)
from tests.durability.scenarios import (
    JOB,
    SCENARIOS,
    Finish,
    Scenario,
    the_run,
    train_main,
)
from tests.support import SMALL, differences, only_run

pytestmark = pytest.mark.skipif(
    bool(unavailable()), reason=unavailable() or "system calls can be tampered with"
)


class Attack:
    """An operation with the calls it makes."""

    def __init__(self, scenario: Scenario, place: Path) -> None:
        self.scenario = scenario
        self._place = place
        undisturbed = scenario.copy(place / "undisturbed")
        calls = count_calls(lambda: scenario.prepare(undisturbed))
        self.calls = {call: calls[call] for call in scenario.calls if call in calls}
        scenario.judge(undisturbed, Outcome(0, ""))
        self._count = 0

    def run(self, injection: Injection) -> Outcome:
        """Attack the operation once and judge what is left."""
        self._count += 1
        root = self.scenario.copy(self._place / str(self._count))
        outcome = attack(lambda: self.scenario.prepare(root), injection)
        try:
            self.scenario.judge(root, outcome)
        except Exception as error:
            raise AssertionError(f"{self.scenario.name}, {injection}: {error!r}") from error
        return outcome


@pytest.fixture(scope="module", params=SCENARIOS, ids=lambda kind: kind.name)
def attacked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Attack:
    kind: Type[Scenario] = request.param
    place = tmp_path_factory.mktemp("attack")
    return Attack(kind(place / "template"), place)


def test_killed_at_any_call_it_leaves_the_old_or_the_new_and_nothing_is_lost(
    attacked: Attack,
) -> None:
    untouched: Dict[str, bool] = {}
    for injection in kills(attacked.calls):
        untouched[injection.call] = not attacked.run(injection).killed
    # The sweep went on until the operation came through.
    assert all(untouched.values())
    assert "rename" in attacked.calls or "link" in attacked.calls


def test_a_fault_of_the_storage_at_any_call_is_said_in_one_line_and_nothing_is_lost(
    attacked: Attack,
) -> None:
    outcomes: List[Outcome] = []
    for injection in faults(attacked.calls)[:: attacked.scenario.share_of_faults]:
        outcomes.append(attacked.run(injection))
    refusals = attacked.scenario.refusals
    assert {0, *refusals} >= {outcome.code for outcome in outcomes}
    assert any(outcome.code in refusals for outcome in outcomes)


@pytest.mark.parametrize("fault", ERRORS)
def test_training_goes_on_through_faults_loudly_and_ends_as_if_there_were_none(
    fault: str, trained: Finish, undisturbed: Dict[str, object], tmp_path: Path
) -> None:
    root = trained.copy(tmp_path / "root")
    checkpoints = the_run(root).checkpoints

    def setup() -> Callable[[], object]:
        os.environ["MAPUSH_JOB_ID"] = JOB
        return lambda: train_main(further(root))

    # Of each thread's looks into the directory of the checkpoints, so of the first few saves; a
    # fault that may be over in a moment is looked at ten times.
    when = "3..14" if getattr(errno, fault) in TRANSIENT else "3..5"
    outcome = attack(setup, Injection("openat", when, fault), checkpoints)
    assert outcome.code == 0, outcome.said
    log = (only_run(root) / "log.txt").read_text()
    (warning,) = [line for line in log.splitlines() if "training continues" in line]
    assert "WARNING" in warning
    assert str(checkpoints) in warning
    assert "checkpoints are saved again" in log
    assert differences(final_state(root), undisturbed) == []


@pytest.mark.parametrize("fault", ["ESTALE", "EIO", "ETIMEDOUT"])
def test_a_heartbeat_that_fails_for_a_moment_ends_no_training(
    fault: str, trained: Finish, undisturbed: Dict[str, object], tmp_path: Path
) -> None:
    root = trained.copy(tmp_path / "root")
    lease = the_run(root).live / LEASES / "000001"

    def setup() -> Callable[[], object]:
        os.environ["MAPUSH_JOB_ID"] = JOB
        return lambda: train_main(further(root))

    outcome = attack(setup, Injection("utimensat", "1..2", fault), lease)
    assert outcome.code == 0, outcome.said
    assert differences(final_state(root), undisturbed) == []


@pytest.mark.parametrize(
    ("call", "fault"), [("openat", "ESTALE"), ("openat", "EIO"), ("read", "EIO")]
)
@pytest.mark.parametrize("name", ["module.pt", "manifest.json"])
def test_a_checkpoint_that_cannot_be_read_for_a_moment_is_the_one_that_is_gone_on_from(
    call: str, fault: str, name: str, trained: Finish, tmp_path: Path
) -> None:
    root = trained.copy(tmp_path / "root")
    run = the_run(root)
    newest = CheckpointStore(run.checkpoints).entries()[-1].path

    def go_on() -> None:
        found = CheckpointStore(run.checkpoints).newest_valid()
        assert found is not None
        assert found[0].path == newest

    outcome = attack(lambda: go_on, Injection(call, "1..3", fault), newest / name)
    assert outcome.code == 0, outcome.said
    assert not list(run.checkpoints.glob("*.bad-*"))


def further(root: Path) -> List[str]:
    """The command that resumes the run with more steps to reach."""
    options = "--train_timesteps 3200 --eval_freq 0 --final_envs 0".split()
    return [*SMALL, *options, "--root", str(root), "--run", the_run(root).name]


def final_state(root: Path) -> Dict[str, object]:
    return load_entry(CheckpointStore(only_run(root) / "checkpoints").entries()[-1])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Finish:
    """A run of job 7 that was killed at 800 steps."""
    return Finish(tmp_path_factory.mktemp("trained") / "template")


@pytest.fixture(scope="module")
def undisturbed(trained: Finish, tmp_path_factory: pytest.TempPathFactory) -> Dict[str, object]:
    root = trained.copy(tmp_path_factory.mktemp("undisturbed") / "root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAPUSH_JOB_ID", JOB)
        assert train_main(further(root)) == 0
    return final_state(root)
