"""Does the rollback drill see what people saw?"""

from __future__ import annotations

from typing import Any

import pytest

from labs.drill_rollback import BAR_MS, Answered, Move, passed, seen

ANSWERS = [
    Answered(9.9, "old"),
    Answered(10.2, "old"),
    Answered(10.4, None, "it broke"),
    Answered(10.5, "new"),
]


def figures(**changes: Any) -> dict[str, Any]:
    """A drill in which all went well."""
    rollback = {"moves": 3, "last_ms": {"p50": 500.0, "max": 900.0}}
    return {"failed": 0, "never_seen": 0, "rollback": rollback, "canary_stopped_ms": 1_500.0, **changes}


def test_a_move_lasts_until_the_last_request_the_old_release_answered() -> None:
    found = seen("rollback", "new", 5.0, 10.0, ANSWERS)

    assert found.first_ms == pytest.approx(500)
    assert found.last_ms == pytest.approx(200)


def test_a_move_nobody_saw_is_told_as_such() -> None:
    assert seen("rollback", "new", 5.0, 10.0, ANSWERS[:3]) == Move("rollback", 5.0, None, None)


def test_a_move_the_old_release_never_outlived_took_no_time() -> None:
    assert seen("rollback", "new", 5.0, 10.3, ANSWERS).last_ms == 0.0


@pytest.mark.parametrize(
    "changes",
    [
        {"failed": 1},
        {"never_seen": 1},
        {"canary_stopped_ms": None},
        {"rollback": {"moves": 3, "last_ms": {"p50": 500.0, "max": BAR_MS + 1}}},
        {"rollback": {"moves": 0}},
    ],
)
def test_the_drill_passes_only_if_all_went_well(changes: dict[str, Any]) -> None:
    assert passed(figures())
    assert not passed(figures(**changes))
