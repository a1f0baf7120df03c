"""Is a policy's worth inferred right? Against loops written from the definitions."""

from __future__ import annotations

import numpy as np
import pytest

from labs.worths import Walks, margin, share_of_headroom, unbeaten, worth


def walks(seed: int, shift: float = 0.0, people: int = 60) -> Walks:
    rng = np.random.default_rng(seed)
    impressions = rng.integers(1, 20, people).astype(np.float64)
    return Walks(np.arange(people), impressions * (rng.normal(size=people) + shift), impressions)


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_satisfaction_is_a_mean_over_impressions_and_length_a_mean_over_people() -> None:
    one = Walks(np.array([1, 2]), np.array([3.0, 1.0]), np.array([1.0, 3.0]))

    found = worth(one, one, Walks(one.people, one.satisfaction + 1, one.impressions), rng())

    assert found.satisfaction.value == pytest.approx((3.0 + 1.0) / 4)
    assert found.session_length.value == pytest.approx(2.0)


def test_random_has_none_of_the_headroom_and_the_oracle_all_of_it() -> None:
    floor, ceiling = walks(1), walks(2, shift=3.0)

    assert share_of_headroom(floor, floor, ceiling, rng()).value == pytest.approx(0.0)
    assert share_of_headroom(ceiling, floor, ceiling, rng()).value == pytest.approx(1.0)


def test_the_share_of_headroom_is_the_definition_written_out() -> None:
    ours, floor, ceiling = walks(3, shift=1.0), walks(1), walks(2, shift=3.0)

    means = [
        sum(each.satisfaction.tolist()) / sum(each.impressions.tolist()) for each in (ours, floor, ceiling)
    ]

    found = share_of_headroom(ours, floor, ceiling, rng())
    assert found.value == pytest.approx((means[0] - means[1]) / (means[2] - means[1]))
    assert found.low < found.value < found.high


def test_a_policy_has_no_margin_over_itself() -> None:
    found = margin(walks(1), walks(1), rng())

    assert (found.satisfaction.low, found.satisfaction.value, found.satisfaction.high) == (0.0, 0.0, 0.0)


def test_a_policy_whose_interval_reaches_the_champion_is_unbeaten() -> None:
    worse, equal = margin(walks(1, shift=2.0), walks(1), rng()), margin(walks(1), walks(4), rng())

    assert unbeaten({"worse": worse, "equal": equal}) == ["equal"]


def test_walks_of_other_people_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="same people"):
        margin(walks(1, people=60), walks(1, people=61), rng())
