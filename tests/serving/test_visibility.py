"""Who may see what: a verdict and a reason for every row, and the filters of the feed agree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.clock import HOUR_US
from feature_repo.online import VideoMirror
from serving.candidates import Candidates, Query, candidates
from serving.compose import compose
from serving.filters import Eligible, NotBlocked, NotSeen
from serving.hydrators import Catalogued
from serving.policies import Policy
from serving.visibility import NEGATIVE_RATE, Limits, Reason, Verdict, Visibility
from tests.serving.builders import NOW_US, a_catalog, a_mirror, a_query, a_release, a_world, creator_of

CAREFUL = Policy(borderline_negative_rate=0.5, unreviewed_hours=6.0)


def a_table(*video_ids: int) -> Candidates:
    table = candidates(np.array(video_ids))
    return table.with_columns(Catalogued(a_catalog()).describe(a_query(), table))


def a_visibility(policy: Policy = CAREFUL, rates: dict[int, float] | None = None) -> Visibility:
    """Nobody complains but of the videos named."""
    mirror = a_mirror(a_catalog())
    found = np.array([(rates or {}).get(int(each), 0.0) for each in mirror.video_ids], np.float32)
    return Visibility(policy, VideoMirror(mirror.video_ids, {**mirror.columns, NEGATIVE_RATE: found}, NOW_US))


def verdict(video_id: int, judge: Visibility | None = None, **query: Any) -> tuple[Verdict, Reason]:
    return (judge or a_visibility()).verdicts(a_query(**query), a_table(video_id)).of(0)


def test_what_nobody_objects_to_is_allowed() -> None:
    assert verdict(20) == (Verdict.ALLOW, Reason.NONE)


@pytest.mark.parametrize(
    ("video_id", "query", "reason"),
    [
        (999, {}, Reason.UNKNOWN_VIDEO),
        (0, {"now_us": NOW_US - 2 * HOUR_US}, Reason.NOT_YET_UPLOADED),
        (20, {"seen": np.array([20])}, Reason.SEEN),
        (20, {"hidden": np.array([20])}, Reason.HIDDEN),
        (20, {"blocked": np.array([creator_of(20)])}, Reason.BLOCKED_CREATOR),
    ],
)
def test_what_may_not_be_shown_is_dropped_with_its_reason(
    video_id: int, query: dict[str, Any], reason: Reason
) -> None:
    assert verdict(video_id, **query) == (Verdict.DROP, reason)


def test_a_removed_video_is_dropped_as_removed() -> None:
    table = a_table(20)
    gone = Candidates({**table.columns, "removed_us": np.array([NOW_US - 1])})

    assert a_visibility().verdicts(a_query(), gone).of(0) == (Verdict.DROP, Reason.REMOVED)


def test_what_people_complain_about_is_limited() -> None:
    judge = a_visibility(rates={20: 0.6, 21: 0.5})

    assert verdict(20, judge) == (Verdict.LIMIT, Reason.BORDERLINE)
    assert verdict(21, judge) == (Verdict.ALLOW, Reason.NONE)


def test_a_rate_that_is_not_known_is_not_borne() -> None:
    assert verdict(20, a_visibility(rates={20: float("nan")})) == (Verdict.LIMIT, Reason.BORDERLINE)


def test_an_upload_of_the_last_hours_is_limited_until_it_was_reviewed() -> None:
    """Video v is 1 + 4 v hours old."""
    assert verdict(1) == (Verdict.LIMIT, Reason.UNREVIEWED)
    assert verdict(2) == (Verdict.ALLOW, Reason.NONE)


def test_our_policy_limits_nothing_by_itself() -> None:
    assert verdict(1, a_visibility(Policy(), rates={1: 1.0})) == (Verdict.ALLOW, Reason.NONE)


def test_dropping_comes_before_limiting() -> None:
    assert verdict(1, seen=np.array([1])) == (Verdict.DROP, Reason.SEEN)


ids = st.lists(st.integers(0, 70), unique=True, max_size=20).map(lambda found: np.array(sorted(found), int))


@given(
    shown=ids,
    seen=ids,
    hidden=ids,
    blocked=st.sets(st.integers(100, 112), max_size=4),
    hours=st.integers(0, 90),
)
def test_the_filters_of_the_feed_keep_what_is_not_dropped(
    shown: np.ndarray, seen: np.ndarray, hidden: np.ndarray, blocked: set[int], hours: int
) -> None:
    table, now_us = a_table(*shown), NOW_US - hours * HOUR_US
    query = a_query(seen=seen, hidden=hidden, blocked=np.array(sorted(blocked), int), now_us=now_us)

    kept = [rule.keep(query, table) for rule in (Eligible(), NotSeen(), NotBlocked())]

    assert np.array_equal(a_visibility().verdicts(query, table).shown, np.logical_and.reduce(kept))


def test_a_rule_that_fails_says_its_worst_of_all_that_no_rule_before_it_judged() -> None:
    table = a_table(20, 21)
    blind = Candidates({name: of for name, of in table.columns.items() if name != "creator_id"})

    found = a_visibility().verdicts(a_query(seen=np.array([20])), blind)

    assert [found.of(row) for row in (0, 1)] == [
        (Verdict.DROP, Reason.SEEN),
        (Verdict.DROP, Reason.UNCHECKED),
    ]


def test_without_features_everything_is_limited() -> None:
    empty = Visibility(CAREFUL, VideoMirror(a_catalog().video_ids, {}, NOW_US))

    assert Limits(empty).describe(a_query(), a_table(20))["limited"].tolist() == [True]
    assert verdict(20, empty) == (Verdict.LIMIT, Reason.UNCHECKED)


def test_reasons_are_counted_by_name() -> None:
    found = a_visibility().verdicts(a_query(seen=np.array([20, 21])), a_table(1, 20, 21, 30))

    assert found.counts() == {"none": 1, "seen": 2, "unreviewed": 1}


def served(query: Query, policy: Policy) -> list[int]:
    feed = compose(a_release(policy=policy), a_world())
    found: list[int] = feed.rank(query, np.random.default_rng(0)).slate.ids.tolist()
    return found


def test_our_feed_shows_what_is_unreviewed_late_or_not_at_all() -> None:
    """Videos 0 and 1 are younger than six hours."""
    policy = Policy(unreviewed_hours=6.0, exploration=1.0, limited_from=20, most_limited=1)

    slate = served(a_query(limit=60), policy)

    assert not {0, 1} & {*slate[:20]}
    assert len({0, 1} & {*slate}) == 1
    assert {0, 1} <= {*served(a_query(limit=60), replace(policy, unreviewed_hours=0.0))}
