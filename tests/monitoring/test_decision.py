"""The decision follows its rules in every situation there is."""

from __future__ import annotations

import itertools

import pytest

from monitoring.decision import NEXT_COMMAND, RULES, Action, Facts, decide
from monitoring.findings import Finding, Verdict, judged, not_judged

CHECKS = ("freshness", "skew", "server", "drift")


def finding(check: str, fine: bool) -> Finding:
    return judged(check, "something", "7", "<= 5", fine, "look there")


def facts(new: int = 0, hours: float | None = None, before: bool = False, days: float = 1.0) -> Facts:
    return Facts(new, 1000, days, hours, before)


def written_out(broken: set[str], now: Facts) -> Action:
    """The rules once more, as a person would say them."""
    if "server" in broken and now.just_promoted and now.has_predecessor:
        return Action.ROLL_BACK
    if broken & {"freshness", "skew", "server"}:
        return Action.INVESTIGATE
    if "drift" in broken:
        return Action.RETRAIN if now.new_labels >= 100 else Action.INVESTIGATE
    return Action.RETRAIN if now.is_old and now.new_labels >= 100 else Action.NOTHING


def test_in_every_situation_the_rules_say_what_a_person_would() -> None:
    subsets = itertools.chain.from_iterable(itertools.combinations(CHECKS, n) for n in range(len(CHECKS) + 1))
    worlds = itertools.product([0, 99, 100], [None, 1.0, 25.0], [False, True], [6.9, 7.0])
    for broken, (new, hours, before, days) in itertools.product(list(subsets), list(worlds)):
        now = facts(new, hours, before, days)

        found = decide([finding(check, check not in broken) for check in CHECKS], now)

        assert found.action is written_out(set(broken), now), (broken, now)


@pytest.mark.parametrize("check", ["log", "freshness", "volume", "missing"])
def test_nothing_is_learned_from_a_broken_log_however_much_has_drifted(check: str) -> None:
    found = decide([finding("drift", False), finding(check, False)], facts(new=10**6))

    assert found.action is Action.INVESTIGATE


def test_drift_alone_is_no_reason_to_train() -> None:
    found = decide([finding("drift", False)], facts(new=99))

    assert found.action is Action.INVESTIGATE
    assert "99 mature labels since a snapshot of 1,000" in str(found)


def test_drift_with_a_tenth_of_new_labels_is_a_reason_to_train() -> None:
    assert decide([finding("drift", False)], facts(new=100)).next_command == "make train"


def test_a_server_that_fails_right_after_a_promotion_is_rolled_back_even_when_the_log_is_broken() -> None:
    found = decide([finding("log", False), finding("server", False)], facts(hours=2.0, before=True))

    assert found.action is Action.ROLL_BACK
    assert found.next_command == "make rollback"


def test_a_first_champion_cannot_be_rolled_back() -> None:
    assert decide([finding("server", False)], facts(hours=2.0)).action is Action.INVESTIGATE


def test_what_could_not_be_judged_changes_nothing() -> None:
    found = decide([not_judged(check, "x", "no rows") for check in CHECKS], facts(new=10**6))

    assert found.action is Action.NOTHING


def test_a_decision_names_every_failed_finding_with_its_value_and_bound() -> None:
    found = decide([finding("server", False), finding("server", True)], facts())

    assert found.reasons[0] == "server of something: 7, must be <= 5 (look there)"
    assert len(found.reasons) == 2


def test_every_action_has_a_next_command_and_a_rule_or_is_nothing() -> None:
    assert set(NEXT_COMMAND) == set(Action)
    assert {action for action, _ in RULES} | {Action.NOTHING} == set(Action)


def test_an_unknown_snapshot_still_needs_a_label_to_learn_from() -> None:
    assert not Facts(0, 0).enough_new_labels
    assert Facts(1, 0).enough_new_labels


def test_a_fine_finding_keeps_no_advice() -> None:
    assert finding("drift", True).says == ""
    assert finding("drift", True).verdict is Verdict.OK
