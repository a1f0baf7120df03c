"""Propensities are exact for every selector: they are the definition's, and counting finds them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from serving.candidates import Candidates
from serving.diversities import Repetition, Volume, directions
from serving.index import VideoIndex
from serving.policies import Policy
from serving.selectors import Decay, selector_of
from serving.verbs import Choice
from tests.serving.builders import a_query, a_table
from tests.serving.slates_by_hand import ByHand, Cost, cosines, decay, dpp, mmr, surely_as_often

VALUES = [0.5, 0.1, 0.4, 0.2]
TOPICS = [1, 1, 2, 2]
VECTORS = np.array([[1, 0.1, 0], [0.9, 0.4, 0.1], [0, 1, 0.3], [-0.2, 0.3, 1]], np.float32)
SELECTORS = ("decay", "mmr", "dpp")


def a_policy(selector: str = "decay", **more: float) -> Policy:
    warm = {"temperature": 0.7, "exploration": 0.2, "topic_penalty": 0.8, "creator_penalty": 0.0}
    return Policy(selector=selector, **{**warm, **more})  # type: ignore[arg-type]


def the_table() -> Candidates:
    table = a_table(VALUES, TOPICS)
    return table.with_columns({"catalog_row": np.arange(len(table))})


def choose(policy: Policy, seed: int = 0, **query: Any) -> Choice:
    index = VideoIndex(np.arange(4), VECTORS)
    return selector_of(policy, index).choose(a_query(**query), the_table(), np.random.default_rng(seed))


def by_hand(policy: Policy) -> ByHand:
    costs: dict[str, Cost] = {
        "decay": decay(the_table(), policy),
        "mmr": mmr(VECTORS, policy),
        "dpp": dpp(VECTORS, policy),
    }
    return ByHand(the_table(), policy, costs[policy.selector])


@pytest.mark.parametrize("selector", SELECTORS)
def test_the_logged_propensities_are_those_of_the_definition(selector: str) -> None:
    policy = a_policy(selector)
    for seed in range(50):
        choice = choose(policy, seed, limit=4)

        assert choice.propensities == pytest.approx(
            by_hand(policy).probabilities(choice.rows.tolist()), abs=1e-6
        )


@pytest.mark.parametrize("selector", SELECTORS)
def test_slates_occur_as_often_as_their_propensities_say(selector: str) -> None:
    drawn = [choose(a_policy(selector), seed) for seed in range(6_000)]

    assert surely_as_often(by_hand(a_policy(selector)), drawn, slots=3)


def test_counting_would_notice_another_penalty() -> None:
    drawn = [choose(a_policy(topic_penalty=0.2), seed) for seed in range(6_000)]

    assert not surely_as_often(by_hand(a_policy()), drawn, slots=3)


@pytest.mark.parametrize("selector", SELECTORS)
def test_without_exploration_each_slot_has_the_best_of_the_definition(selector: str) -> None:
    chosen = choose(a_policy(selector), limit=4, explore=False).rows.tolist()
    worth = (np.array(VALUES) - np.mean(VALUES)) / np.std(VALUES)
    cost = by_hand(a_policy(selector)).cost

    for place, row in enumerate(chosen):
        left = [each for each in range(4) if each not in chosen[:place]]
        assert row == max(left, key=lambda each: worth[each] - cost(each, chosen[:place]))


values = st.lists(st.floats(-5, 5) | st.just(float("nan")), min_size=1, max_size=12)


@given(values=values, seed=st.integers(0, 1_000), limit=st.integers(1, 12))
@settings(max_examples=50)
def test_a_slate_repeats_nothing_and_every_propensity_has_its_floor(
    values: list[float], seed: int, limit: int
) -> None:
    table, policy = a_table(values, list(range(len(values)))), a_policy()

    choice = Decay(policy).choose(a_query(limit=limit), table, np.random.default_rng(seed))

    assert len(set(choice.rows.tolist())) == len(choice.rows) == min(limit, len(values))
    assert (choice.propensities >= policy.exploration / len(values) - 1e-12).all()
    assert (choice.propensities <= 1).all()


def test_the_explored_share_is_the_policys() -> None:
    drawn = np.concatenate([choose(a_policy(), seed).explored for seed in range(2_000)])

    assert stats.binomtest(int(drawn.sum()), len(drawn), a_policy().exploration).pvalue > 0.001


def test_without_exploration_chance_changes_nothing_and_is_certain() -> None:
    choices = [choose(a_policy(), seed, explore=False) for seed in range(5)]

    assert len({tuple(choice.rows) for choice in choices}) == 1
    assert choices[0].propensities.tolist() == [1.0, 1.0, 1.0]
    assert not choices[0].explored.any()


def best(values: list[float], topics: list[int], policy: Policy) -> list[int]:
    choice = Decay(policy).choose(a_query(explore=False), a_table(values, topics), np.random.default_rng(0))
    rows: list[int] = choice.rows.tolist()
    return rows


def test_an_item_of_the_same_topic_must_be_that_much_better() -> None:
    policy = a_policy(topic_penalty=1.0)

    assert best([0.9, 0.88, 0.87], [1, 1, 2], policy) == [0, 2, 1]
    assert best([0.9, 0.88, 0.1], [1, 1, 2], policy) == [0, 1, 2]


def test_unknown_topics_are_not_the_same_topic() -> None:
    assert best([0.9, 0.8, 0.1], [-1, -1, 2], a_policy(topic_penalty=10.0)) == [0, 1, 2]


def test_an_unknown_value_is_chosen_last() -> None:
    assert best([float("nan"), 0.1, 0.2], [1, 2, 3], a_policy()) == [2, 1, 0]


def test_no_diversity_touches_what_was_scored() -> None:
    table = the_table()

    Decay(a_policy()).choose(a_query(), table, np.random.default_rng(0))

    assert table["value"].tolist() == VALUES


@given(seed=st.integers(0, 10_000), rows=st.integers(2, 12))
@settings(max_examples=50)
def test_volume_says_what_determinants_say(seed: int, rows: int) -> None:
    """More rows than numbers in a vector, so only the ridge keeps the kernel's volume above 0."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(rows, 3)).astype(np.float32)
    order, cost = rng.permutation(rows), dpp(vectors, a_policy())
    volume, spent = Volume(directions(vectors), a_policy().dpp_weight, rows), np.zeros(rows)
    for place, row in enumerate(order[:-1]):
        spent += volume.cost(int(row))

        left = order[place + 1 :]
        assert spent[left] == pytest.approx([cost(each, list(order[: place + 1])) for each in left], abs=1e-4)


def test_a_vector_of_zeros_is_like_nothing() -> None:
    turned = directions(np.array([[0, 0], [3, 4]], np.float32))

    assert turned.tolist() == [[0, 0], [pytest.approx(0.6), pytest.approx(0.8)]]
    assert cosines(turned[1:]).tolist() == [[pytest.approx(1)]]


def test_repetition_counts_topic_and_creator_apart() -> None:
    table = a_table([0, 0, 0], [1, 1, 2], [5, 5, 5])

    cost = Repetition(table, a_policy(topic_penalty=0.5, creator_penalty=0.25)).cost(0)

    assert cost.tolist() == [0.75, 0.75, 0.25]
