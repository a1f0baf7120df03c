"""Promised shares and limits are part of the propensity, and hold."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from feature_repo.clock import HOUR_US
from serving.candidates import Candidates
from serving.diversities import Repetition
from serving.mixtures import Mixture, mixture_of
from serving.policies import Policy, policy_from_json
from serving.pools import pools
from serving.selectors import Decay
from serving.slots import Doors, drawn_at_once, drawn_in_turn, standardised
from serving.verbs import Choice
from tests.serving.builders import NOW_US, a_query, a_table
from tests.serving.draws_by_hand import drawn_by_hand, weights
from tests.serving.slates_by_hand import ByHand, decay, surely_as_often

VALUES = [0.5, 0.1, 0.4, 0.2]
WARM = Policy(temperature=0.7, exploration=0.2)
PROMISING = Policy(temperature=0.7, exploration=0.1, cold_start_share=0.2, creator_floor=0.3)


def a_shown_table(new: Collection[int] = (), little_shown: Collection[int] = ()) -> Candidates:
    """Four candidates: some uploaded an hour ago and never seen, some of creators nobody was shown."""
    rows = range(len(VALUES))
    return a_table(VALUES).with_columns(
        {
            "uploaded_us": np.array([NOW_US - (HOUR_US if r in new else 900 * HOUR_US) for r in rows]),
            "video_impressions_7d": np.array([0.0 if r in new else 500.0 for r in rows], np.float32),
            "creator_impressions_7d": np.array([9.0 if r in little_shown else 1e6 for r in rows], np.float32),
        }
    )


def drawn(table: Candidates, policy: Policy, seed: int, **query: Any) -> Choice:
    return Decay(policy).choose(a_query(**query), table, np.random.default_rng(seed))


def by_hand(table: Candidates, policy: Policy, new: set[int], little_shown: set[int]) -> ByHand:
    promised = (policy.cold_start_share, frozenset(new)), (policy.creator_floor, frozenset(little_shown))
    return ByHand(table, policy, decay(table, policy), promised)


@pytest.mark.parametrize(("new", "little_shown"), [({1}, {1, 3}), ({0, 1}, set()), (set(), {2})])
def test_promised_slots_occur_as_often_as_their_propensities_say(
    new: set[int], little_shown: set[int]
) -> None:
    table = a_shown_table(new, little_shown)

    choices = [drawn(table, PROMISING, seed) for seed in range(6_000)]

    assert surely_as_often(by_hand(table, PROMISING, new, little_shown), choices, slots=3)


def test_the_propensity_of_a_promised_slot_is_that_of_the_definition() -> None:
    table = a_shown_table({1, 2}, {3})
    for seed in range(50):
        choice = drawn(table, PROMISING, seed, limit=4)

        expected = by_hand(table, PROMISING, {1, 2}, {3}).probabilities(choice.rows.tolist())
        assert choice.propensities == pytest.approx(expected)


def test_new_uploads_get_their_share_however_bad_the_heads_think_they_are() -> None:
    policy = Policy(temperature=0.01, exploration=0.0, cold_start_share=0.25)

    firsts = [int(drawn(a_shown_table({1}), policy, seed, limit=1).rows[0]) for seed in range(2_000)]

    assert stats.binomtest(firsts.count(1), len(firsts), 0.25).pvalue > 0.001


def test_a_slot_says_which_part_of_the_policy_drew_it() -> None:
    parts = {
        name for seed in range(200) for name in drawn(a_shown_table({1}, {3}), PROMISING, seed).drawn_from
    }

    assert parts == {"uniform", "value", "new", "little_shown_creator"}


def test_a_promise_to_nobody_goes_back_to_value() -> None:
    assert drawn(a_shown_table(), PROMISING, 3).propensities == pytest.approx(
        drawn(a_table(VALUES), Policy(temperature=0.7, exploration=0.1), 3).propensities
    )


def limited(*rows: int) -> Candidates:
    return a_table(VALUES).with_columns({"limited": np.isin(np.arange(len(VALUES)), rows)})


def test_a_limited_video_is_never_among_the_first() -> None:
    policy = Policy(limited_from=2, exploration=0.5)
    for seed in range(100):
        assert 0 not in drawn(limited(0), policy, seed).rows[:2]


def test_a_slate_has_no_more_limited_videos_than_the_policy_says() -> None:
    policy = Policy(limited_from=0, most_limited=1, exploration=0.5)

    slates = [drawn(limited(0, 1, 2), policy, seed, limit=4).rows for seed in range(50)]

    assert {len(slate) for slate in slates} == {2}
    assert all(3 in slate for slate in slates)


def test_propensities_under_limits_are_over_what_is_open() -> None:
    choice = drawn(limited(0, 1), Policy(limited_from=1, exploration=1.0), 0)

    assert choice.propensities.tolist() == [pytest.approx(1 / 2), pytest.approx(1 / 3), pytest.approx(1 / 2)]


@pytest.mark.parametrize("explore", [True, False])
def test_when_it_is_not_known_what_is_limited_everything_is(explore: bool) -> None:
    unknown = a_table(VALUES).with_columns({"limited": np.full(4, np.nan, np.float32)})

    assert len(drawn(unknown, WARM, 0, explore=explore).rows) == 0


values = st.lists(st.floats(-5, 5) | st.just(float("nan")), min_size=1, max_size=12)


lucks = st.floats(0, 1, exclude_max=True)
policies = st.builds(
    Policy,
    temperature=st.floats(0.05, 5),
    exploration=st.sampled_from([0.0, 0.02, 0.3, 1 / 3]),
    cold_start_share=st.sampled_from([0.0, 0.1, 1 / 3]),
    creator_floor=st.sampled_from([0.0, 0.2, 1 / 3]),
    limited_from=st.integers(0, 3),
    most_limited=st.integers(0, 3),
    topic_penalty=st.floats(0, 2),
)


@st.composite
def tables(draw: st.DrawFn) -> Candidates:
    """Values known and unknown, topics alike, and any rows new, little shown or limited."""
    found = draw(values)

    def some(of: st.SearchStrategy[Any]) -> Any:
        return np.array(draw(st.lists(of, min_size=len(found), max_size=len(found))))

    return a_table(found, some(st.integers(-1, 2)).tolist()).with_columns(
        {
            "uploaded_us": NOW_US - HOUR_US * some(st.sampled_from([1, 900])),
            "video_impressions_7d": some(st.sampled_from([0.0, np.nan])),
            "creator_impressions_7d": some(st.sampled_from([0.0, 1e6, np.nan])),
            "limited": some(st.sampled_from([0.0, 1.0, np.nan])),
        }
    )


@given(table=tables(), policy=policies, which=lucks, who=lucks, left=st.data())
@settings(max_examples=300, deadline=None)
def test_a_slot_is_drawn_as_by_hand_and_its_propensity_is_the_same_to_the_last_bit(
    table: Candidates, policy: Policy, which: float, who: float, left: st.DataObject
) -> None:
    opened = left.draw(st.lists(st.booleans(), min_size=len(table), max_size=len(table)))
    worth, mixture = standardised(table["value"]), mixture_of(a_query(), table, policy)

    row, propensity, part = mixture.drawn(worth, np.array(opened), which, who)

    promised = [(each.name, each.share, each.members.tolist()) for each in pools(a_query(), table, policy)]
    told = (worth.tolist(), opened, policy.exploration, promised, policy.temperature, (which, who))
    assert (row == -1) == (not any(opened))
    assert row == -1 or (row, propensity, mixture.names[part]) == drawn_by_hand(*told)


@given(table=tables(), policy=policies, seed=st.integers(0, 1_000))
@settings(max_examples=200, deadline=None)
def test_a_slate_drawn_at_once_is_the_one_drawn_in_turn(table: Candidates, policy: Policy, seed: int) -> None:
    mixture, repetition = mixture_of(a_query(), table, policy), Repetition(table, policy)
    luck = np.random.default_rng(seed).random((len(table), 2))

    once = drawn_at_once(table, Doors(table, policy), mixture, repetition, luck)

    turn = drawn_in_turn(table, Doors(table, policy), mixture, repetition, luck)
    assert once.rows.tolist() == turn.rows.tolist()
    assert once.propensities.tobytes() == turn.propensities.tobytes()
    assert (once.drawn_from, once.explored.tolist()) == (turn.drawn_from, turn.explored.tolist())


@given(values=values, temperature=st.floats(0.05, 5), left=st.data(), which=lucks, who=lucks)
def test_what_is_closed_weighs_nothing_and_is_never_drawn(
    values: list[float], temperature: float, left: st.DataObject, which: float, who: float
) -> None:
    mask = left.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)).filter(any))
    worth, everybody = standardised(np.array(values)), np.ones((1, len(values)), np.bool_)
    mixture = Mixture(("uniform", "value"), np.array([0.2]), everybody, temperature)

    found = weights(worth.tolist(), mask, temperature)

    assert max(found) == 1
    assert not any(weight for weight, is_open in zip(found, mask, strict=True) if not is_open)
    assert mask[mixture.drawn(worth, np.array(mask), which, who)[0]]


@pytest.mark.parametrize("exploration", [0.0, 1.0])
def test_luck_just_below_1_draws_the_last_row_that_is_open(exploration: float) -> None:
    mixture = Mixture(("uniform", "value"), np.array([exploration]), np.ones((1, 10), np.bool_), 1.0)

    row, propensity, _ = mixture.drawn(np.zeros(10), np.arange(10) < 9, 0.5, float(np.nextafter(1.0, 0.0)))

    assert row == 8
    assert propensity == pytest.approx(1 / 9)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400))
def test_worth_is_value_in_standard_deviations(values: list[float]) -> None:
    known = np.array(values)
    from_mean = known - known.mean()
    spread = np.sqrt(np.square(from_mean).sum() / len(known))

    assert standardised(known).tolist() == (from_mean / (spread or 1.0)).tolist()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"cold_start_share": 0.5, "creator_floor": 0.6}, "nor their sum above 1"),
        ({"creator_floor": -0.1}, "none may be below 0"),
        ({"selector": "best"}, "must be one of decay, mmr, dpp"),
        ({"dpp_weight": -1.0}, "must not be negative"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Policy(**changes)  # type: ignore[arg-type]


def test_a_policy_written_before_there_were_selectors_reads_as_the_one_it_was() -> None:
    old = {"most_candidates": 400, "temperature": 0.2, "topic_penalty": 0.35}

    assert policy_from_json(old) == Policy(most_candidates=400, temperature=0.2, topic_penalty=0.35)
    assert policy_from_json(Policy(selector="mmr").as_json()) == Policy(selector="mmr")


def test_new_is_what_is_both_young_and_little_seen() -> None:
    hours, impressions = np.array([1, 47, 49, 1]), np.array([0, 99, 0, 100], np.float32)
    table = a_table(VALUES).with_columns(
        {"uploaded_us": NOW_US - HOUR_US * hours, "video_impressions_7d": impressions}
    )

    (found,) = pools(a_query(), table, Policy(cold_start_share=0.1))

    assert found.members.tolist() == [True, True, False, False]


def test_of_a_video_of_which_nothing_is_known_nothing_is_promised() -> None:
    unknown = a_table(VALUES).with_columns({"creator_impressions_7d": np.full(4, np.nan, np.float32)})

    (found,) = pools(a_query(), unknown, Policy(creator_floor=0.1))

    assert not found.members.any()
