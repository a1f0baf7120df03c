"""From a funnel to what the wire says of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from feature_repo.matrix import COLUMNS
from serving.explanations import Explanation
from serving.feed import Funnel
from serving.live import Answer, impression_id
from serving.wire import ChosenItem, ExplainedRequest, FeedItem, FeedResponse, RemovedBy, ScoredCandidate


def feed_response(answer: Answer) -> FeedResponse:
    """The slate as a client needs it."""
    funnel = answer.funnel
    return FeedResponse(
        request_id=funnel.query.request_id,
        release_id=answer.serving.release.release_id,
        served_at_us=funnel.query.now_us,
        cold_start=answer.cold_start,
        degraded=list(funnel.degraded),
        items=feed_items(funnel),
    )


def feed_items(funnel: Funnel) -> list[FeedItem]:
    return [FeedItem(**_item(funnel, place)) for place in range(len(funnel.choice.rows))]


def explained(explanation: Explanation) -> ExplainedRequest:
    """The whole funnel of a request."""
    funnel = explanation.funnel
    return ExplainedRequest(
        request_id=funnel.query.request_id,
        user_id=funnel.query.user_id,
        release_id=explanation.release_id,
        served_at_us=funnel.query.now_us,
        found={name: len(found.video_ids) for name, found in funnel.found.items()},
        distinct=len(funnel.union),
        removed=_removed(funnel),
        unscored=funnel.unscored,
        scored=_scored(funnel),
        slate=_slate(explanation),
        ms={stage: round(spent, 3) for stage, spent in funnel.ms.items()},
        degraded=list(funnel.degraded),
    )


def _item(funnel: Funnel, place: int) -> dict[str, Any]:
    row = int(funnel.choice.rows[place])
    scored = funnel.scored
    return {
        "position": place,
        "impression_id": impression_id(funnel.query.request_id, place),
        "video_id": int(scored.ids[row]),
        "creator_id": int(scored["creator_id"][row]),
        "topic": int(scored["topic"][row]),
        "value": _known(scored["value"][row]),
        "source": funnel.source_of(row),
        "propensity": float(funnel.choice.propensities[place]),
        "explored": bool(funnel.choice.explored[place]),
    }


def _removed(funnel: Funnel) -> dict[str, RemovedBy]:
    by_filter = {name: funnel.union.ids[funnel.removed_by == n] for n, name in enumerate(funnel.filters)}
    return {name: RemovedBy(count=len(ids), video_ids=ids.tolist()) for name, ids in by_filter.items()}


def _scored(funnel: Funnel) -> list[ScoredCandidate]:
    positions = {int(row): place for place, row in enumerate(funnel.choice.rows)}
    order = np.argsort(-funnel.scored["value"], kind="stable")  # NaN sorts last
    return [_candidate(funnel, int(row), positions.get(int(row))) for row in order]


def _candidate(funnel: Funnel, row: int, position: int | None) -> ScoredCandidate:
    scored = funnel.scored
    bits = int(scored["found_by"][row])
    return ScoredCandidate(
        video_id=int(scored.ids[row]),
        creator_id=int(scored["creator_id"][row]),
        topic=int(scored["topic"][row]),
        found_by=[name for place, name in enumerate(funnel.found) if bits >> place & 1],
        tower_score=_known(scored["tower_score"][row]),
        predictions={name: _known(column[row]) for name, column in _predictions(funnel).items()},
        value=_known(scored["value"][row]),
        position=position,
    )


def _predictions(funnel: Funnel) -> dict[str, np.ndarray]:
    from serving.explanations import KEPT_COLUMNS

    return {name: column for name, column in funnel.scored.columns.items() if name not in KEPT_COLUMNS}


def _slate(explanation: Explanation) -> list[ChosenItem]:
    funnel = explanation.funnel
    return [
        ChosenItem(
            **_item(funnel, place),
            features={
                name: _known(value) for name, value in zip(COLUMNS, explanation.features[place], strict=True)
            },
        )
        for place in range(len(funnel.choice.rows))
    ]


def _known(number: float) -> float | None:
    """NaN is null on the wire: JSON has no NaN."""
    return float(number) if math.isfinite(number) else None
