"""Propensities are exact: they add up, counting finds them, and they respect what was chosen above."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from serving.policies import Policy
from serving.selectors import DiverseTopK, softmax, standardised
from serving.verbs import Choice
from tests.serving.builders import a_query, a_table

VALUES = [0.5, 0.1, 0.4, 0.2]
TOPICS = [1, 1, 2, 2]
WARM = Policy(temperature=0.7, exploration=0.2, topic_penalty=0.8, creator_penalty=0.0)


def choose(values: list[float], topics: list[int], policy: Policy, seed: int, **query: object) -> Choice:
    table = a_table(values, topics)
    return DiverseTopK(policy).choose(a_query(**query), table, np.random.default_rng(seed))  # type: ignore[arg-type]


def probability_by_hand(slate: tuple[int, ...]) -> list[float]:
    """Each item's probability given those above it, from the definition, one number at a time."""
    spread, mean = float(np.std(VALUES)), float(np.mean(VALUES))
    worth = {row: (value - mean) / spread for row, value in enumerate(VALUES)}
    told = []
    for chosen in slate:
        weights = {row: np.exp(w / WARM.temperature) for row, w in worth.items()}
        soft = weights[chosen] / sum(weights.values())
        told.append((1 - WARM.exploration) * soft + WARM.exploration / len(worth))
        worth = {
            row: w - WARM.topic_penalty * (TOPICS[row] == TOPICS[chosen])
            for row, w in worth.items()
            if row != chosen
        }
    return told


def test_the_logged_propensities_are_those_of_the_definition() -> None:
    for seed in range(50):
        choice = choose(VALUES, TOPICS, WARM, seed)

        assert choice.propensities == pytest.approx(probability_by_hand(tuple(choice.rows)))


def test_slates_occur_as_often_as_their_propensities_say() -> None:
    """A chi-square test over all 24 slates of three; fails one reseeding in a thousand."""
    slates = list(itertools.permutations(range(4), 3))
    expected = np.array([np.prod(probability_by_hand(slate)) for slate in slates])
    drawn = Counter(tuple(choose(VALUES, TOPICS, WARM, seed).rows.tolist()) for seed in range(6_000))

    found = stats.chisquare([drawn[slate] for slate in slates], expected * 6_000)

    assert expected.sum() == pytest.approx(1)
    assert found.pvalue > 0.001


values = st.lists(st.floats(-5, 5) | st.just(float("nan")), min_size=1, max_size=12)


@given(values=values, temperature=st.floats(0.05, 5), left=st.data())
def test_probabilities_over_what_is_left_add_up_to_one(
    values: list[float], temperature: float, left: st.DataObject
) -> None:
    mask = np.array(
        left.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)).filter(any))
    )

    chances = softmax(standardised(np.array(values)), mask, temperature)

    assert chances.sum() == pytest.approx(1)
    assert (chances[~mask] == 0).all()


@given(values=values, seed=st.integers(0, 1_000), limit=st.integers(1, 12))
@settings(max_examples=50)
def test_a_slate_repeats_nothing_and_every_propensity_has_its_floor(
    values: list[float], seed: int, limit: int
) -> None:
    choice = choose(values, list(range(len(values))), WARM, seed, limit=limit)

    assert len(set(choice.rows.tolist())) == len(choice.rows) == min(limit, len(values))
    assert (choice.propensities >= WARM.exploration / len(values) - 1e-12).all()
    assert (choice.propensities <= 1).all()


def test_the_explored_share_is_the_policys() -> None:
    drawn = np.concatenate([choose(VALUES, TOPICS, WARM, seed).explored for seed in range(2_000)])

    assert stats.binomtest(int(drawn.sum()), len(drawn), WARM.exploration).pvalue > 0.001


def test_without_exploration_the_slate_is_the_best_and_certain() -> None:
    choice = choose([0.1, 0.9, 0.5], [1, 2, 3], WARM, seed=5, explore=False)

    assert choice.rows.tolist() == [1, 2, 0]
    assert choice.propensities.tolist() == [1.0, 1.0, 1.0]
    assert not choice.explored.any()


def test_without_exploration_chance_changes_nothing() -> None:
    slates = {tuple(choose(VALUES, TOPICS, WARM, seed, explore=False).rows) for seed in range(5)}

    assert len(slates) == 1


def test_an_item_of_the_same_topic_must_be_that_much_better() -> None:
    close, far = [0.9, 0.88, 0.87], [0.9, 0.88, 0.1]
    policy = Policy(topic_penalty=1.0, creator_penalty=0.0)

    assert choose(close, [1, 1, 2], policy, 0, explore=False).rows.tolist() == [0, 2, 1]
    assert choose(far, [1, 1, 2], policy, 0, explore=False).rows.tolist() == [0, 1, 2]


def test_unknown_topics_are_not_the_same_topic() -> None:
    policy = Policy(topic_penalty=10.0, creator_penalty=0.0)

    assert choose([0.9, 0.8, 0.1], [-1, -1, 2], policy, 0, explore=False).rows.tolist() == [0, 1, 2]


def test_an_unknown_value_is_chosen_last() -> None:
    choice = choose([float("nan"), 0.1, 0.2], [1, 2, 3], WARM, 0, explore=False)

    assert choice.rows.tolist() == [2, 1, 0]


def test_a_temperature_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="temperature must be above 0"):
        Policy(temperature=0.0)
