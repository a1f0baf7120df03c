"""Does the funnel show, stage by stage, what it says it shows?"""

from __future__ import annotations

import numpy as np
import pytest

from labs.funnel import FOUND, HEADS, RANDOM, SCORED, SERVED, SPREAD, STAGES, changed, compared, shown
from labs.worths import Walks
from serving.candidates import Candidates, Query
from serving.policies import Policy
from tests.serving.builders import Finds, Refuses, a_feed, a_query


def felt(_: Query, table: Candidates) -> np.ndarray:
    """People like small ids; the heads of the fake feed like large ones."""
    return -table.ids.astype(np.float64)


def slates() -> dict[str, list[int]]:
    """Six videos found, one refused, three scored, three shown."""
    feed = a_feed(sources=[Finds(4, 5, 6, 1, 2, 3)], filters=[Refuses(1)], most_candidates=3)
    funnel = feed.rank(a_query(limit=2), np.random.default_rng(0))
    return {name: shows(funnel).tolist()[:2] for name, shows in shown(felt).items()}


def test_each_stage_shows_the_best_that_is_left() -> None:
    assert slates() == {FOUND: [2, 3], SCORED: [4, 5], HEADS: [6, 5], SPREAD: [6, 5], SERVED: [6, 5]}


def walks(per_impression: float) -> Walks:
    impressions = np.array([10.0, 20.0, 30.0])
    return Walks(np.arange(3), per_impression * impressions, impressions)


def test_losses_add_up_to_what_is_lost_between_everything_and_the_slate() -> None:
    worth = {RANDOM: 0.0, **{name: 3.0 - 0.5 * place for place, name in enumerate(STAGES)}}

    answer = compared("r-1", {name: walks(each) for name, each in worth.items()}, seed=0)

    assert [lost.value for lost in answer.lost.values()] == pytest.approx([0.5] * 5)
    assert answer.worths[SERVED].headroom.value == pytest.approx(0.5 / 3.0)
    assert answer.figures()["lost"].keys() == set(STAGES[1:])


def test_a_setting_is_changed_in_its_own_type() -> None:
    found = changed(Policy(), ["selector=mmr", "most_candidates=300", "exploration=0.1"])

    assert found == Policy(selector="mmr", most_candidates=300, exploration=0.1)


@pytest.mark.parametrize("written", ["quotas=3", "nothing=1", "selector", "exploration=2"])
def test_a_setting_that_cannot_be_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"must be|within \[0, 1\]"):
        changed(Policy(), [written])
