"""Is what the log keeps of a slate what was served?"""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from feature_repo.slates import events_of
from serving.feed import Funnel
from serving.live import Live
from serving.records import slate_of
from serving.replies import Answer
from tests.serving.builders import Says, a_feed, a_query


def told_of(answer: Answer, funnel: Funnel) -> list[dict[str, Any]]:
    """The `served` events in the log, had the answer been this funnel's."""
    slate = slate_of(funnel, answer.serving, 0, b"")
    return events_of(orjson.loads(slate.body()))[1:]


def test_every_item_is_logged_as_it_was_served(live: Live) -> None:
    answer = live.feed(3, limit=7)
    funnel = answer.funnel

    told = told_of(answer, funnel)

    for place, (row, event) in enumerate(zip(funnel.choice.rows, told, strict=True)):
        features = [None if np.isnan(x) else float(x) for x in funnel.scored["features"][row]]
        assert event["video_id"] == funnel.scored["video_id"][row]
        assert event["source"] == funnel.source_of(int(row))
        assert (event["propensity"], event["explored"], event["position"], event["features"]) == (
            funnel.choice.propensities[place],
            funnel.choice.explored[place],
            place,
            features,
        )


def test_where_no_matrix_could_be_made_no_features_are_logged(live: Live) -> None:
    nothing = Says("features", lambda ids: np.full(len(ids), np.nan, np.float32))
    funnel = a_feed(hydrators=[nothing]).rank(a_query(), np.random.default_rng(0))

    told = told_of(live.feed(3), funnel)

    assert [event["features"] for event in told] == [None, None]
