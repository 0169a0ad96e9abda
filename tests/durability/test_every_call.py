"""Killed, or refused by the storage, at any system call: the next start goes on by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Type

import pytest

from tests.durability.injection import (
    Injection,
    Outcome,
    attack,
    count_calls,
    faults,
    kills,
    unavailable,
)
from tests.durability.scenarios import SCENARIOS, Scenario

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
    assert {0, 2} >= {outcome.code for outcome in outcomes}
    assert any(outcome.code == 2 for outcome in outcomes)
