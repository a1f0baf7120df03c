"""The whole journey of a request, from an explanation to what the wire says of it; worked out when asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from feature_repo.catalogue import CREATOR_STATS, VIDEO_PROFILE, VIDEO_STATS, VIEWS
from feature_repo.matrix import COLUMNS
from feature_repo.online import VideoMirror
from serving.candidates import NO_IDS, Column
from serving.explanations import Explanation
from serving.feed import KEPT, Funnel
from serving.moves import Move, moves
from serving.policies import Policy
from serving.releases import Release
from serving.replies import items_of, known
from serving.visibility import Reason, Verdict, Visibility
from serving.wire import (
    ChosenItem,
    ExplainedHead,
    ExplainedMove,
    ExplainedRelease,
    ExplainedRequest,
    ExplainedSource,
    FoundBy,
    RemovedBy,
    ScoredCandidate,
)

MIRRORED = (VIDEO_PROFILE, VIDEO_STATS, CREATOR_STATS)


def explained(explanation: Explanation) -> ExplainedRequest:
    """Everything that is told of a request."""
    funnel, origin = explanation.funnel, explanation.origin
    query = funnel.query
    return ExplainedRequest(
        request_id=query.request_id,
        user_id=query.user_id,
        release_id=origin.release.release_id,
        served_at_us=query.now_us,
        limit=query.limit,
        surface=query.surface,
        explore=query.explore,
        seed=origin.seed,
        release=_release(origin.release),
        policy=origin.release.policy.as_json(),
        weights=origin.models.values.prices,
        remembered=dict(explanation.remembered),
        feature_ages_s=_ages_s(query.now_us - origin.features_time_us),
        sources=_sources(funnel, origin.release.policy),
        found={name: len(found.video_ids) for name, found in funnel.found.items()},
        distinct=len(funnel.union),
        removed=_removed(explanation),
        cut=int((funnel.removed_by == KEPT).sum()) - len(funnel.scored),
        unscored=funnel.unscored,
        scored=_scored(explanation),
        slate=_slate(explanation),
        ms={stage: round(spent, 3) for stage, spent in funnel.ms.items()},
        degraded=list(funnel.degraded),
    )


def _release(release: Release) -> ExplainedRelease:
    return ExplainedRelease(
        release_id=release.release_id,
        matrix_hash=release.matrix_hash,
        snapshot_hash=release.snapshot_hash,
        feature_service=release.feature_service,
    )


def _ages_s(mirror_us: int) -> dict[str, float]:
    return {view.name: mirror_us / 1e6 if view in MIRRORED else 0.0 for view in VIEWS}


def _sources(funnel: Funnel, policy: Policy) -> dict[str, ExplainedSource]:
    first = funnel.scored["source"]
    chosen = first[funnel.choice.rows]
    return {
        name: ExplainedSource(
            quota=policy.quotas.get(name, 0),
            found=len(found.video_ids),
            first=int((first == number).sum()),
            chosen=int((chosen == number).sum()),
        )
        for number, (name, found) in enumerate(funnel.found.items())
    }


def _removed(explanation: Explanation) -> dict[str, RemovedBy]:
    """By filter, the videos it removed, and which rule of visibility speaks against each."""
    funnel, reasons = explanation.funnel, _reasons(explanation)
    by = funnel.removed_by[funnel.removed_by != KEPT]
    return {
        name: _removed_by(explanation.removed.ids[by == number], reasons[by == number])
        for number, name in enumerate(funnel.filters)
    }


def _removed_by(ids: Column, reasons: Column) -> RemovedBy:
    because = {Reason(code).name.lower(): ids[reasons == code].tolist() for code in np.unique(reasons)}
    return RemovedBy(count=len(ids), video_ids=ids.tolist(), because=because)


def _reasons(explanation: Explanation) -> Column:
    """Of every removed row; one that no rule drops was removed because a filter failed."""
    drops_alone = replace(
        explanation.origin.release.policy, borderline_negative_rate=1.0, unreviewed_hours=0.0
    )
    rules = Visibility(drops_alone, VideoMirror(NO_IDS, {}, 0))
    told = rules.verdicts(explanation.funnel.query, explanation.removed)
    return np.where(told.verdicts == Verdict.DROP, told.reasons, Reason.UNCHECKED)


def _scored(explanation: Explanation) -> list[ScoredCandidate]:
    funnel = explanation.funnel
    positions = {int(row): place for place, row in enumerate(funnel.choice.rows)}
    order = np.argsort(-funnel.scored["value"], kind="stable")  # NaN sorts last
    return [_candidate(explanation, int(row), positions.get(int(row))) for row in order]


def _candidate(explanation: Explanation, row: int, position: int | None) -> ScoredCandidate:
    funnel, scored = explanation.funnel, explanation.funnel.scored
    bits = int(scored["found_by"][row])
    acts = explanation.origin.models.values.prices
    return ScoredCandidate(
        video_id=int(scored.ids[row]),
        creator_id=int(scored["creator_id"][row]),
        topic=int(scored["topic"][row]),
        found_by=[name for place, name in enumerate(funnel.found) if bits >> place & 1],
        tower_score=known(scored["tower_score"][row]),
        predictions={act: known(scored[act][row]) for act in acts},
        value=known(scored["value"][row]),
        position=position,
    )


def _slate(explanation: Explanation) -> list[ChosenItem]:
    funnel, origin = explanation.funnel, explanation.origin
    told = moves(origin.release.policy, origin.models.index, funnel.scored, funnel.choice)
    raw = _raw(explanation)
    return [
        ChosenItem(
            **item,
            found_by=_found_by(funnel, int(funnel.choice.rows[place])),
            heads=_heads(explanation, raw, place),
            move=_move(funnel, told[place]),
            features=_features(explanation.features[place]),
        )
        for place, item in enumerate(items_of(funnel))
    ]


def _found_by(funnel: Funnel, row: int) -> list[FoundBy]:
    video_id = funnel.scored.ids[row]
    ranks = {name: np.flatnonzero(found.video_ids == video_id) for name, found in funnel.found.items()}
    return [
        FoundBy(source=name, rank=int(places[0]), score=known(funnel.found[name].scores[places[0]]))
        for name, places in ranks.items()
        if len(places)
    ]


def _raw(explanation: Explanation) -> dict[str, Column]:
    """Raw scores of the chosen by head; none where there are no features to score."""
    features, heads = explanation.features, explanation.origin.models.heads.by_name
    if features.ndim < 2 or not len(features):
        return {}
    return {name: head.raw(np.ascontiguousarray(features, np.float32)) for name, head in heads.items()}


def _heads(explanation: Explanation, raw: dict[str, Column], place: int) -> dict[str, ExplainedHead]:
    row = explanation.funnel.choice.rows[place]
    prices, scored = explanation.origin.models.values.prices, explanation.funnel.scored
    return {
        act: ExplainedHead(
            raw=known(raw[act][place]) if act in raw else None,
            calibrated=known(scored[act][row]),
            weight=price,
            part=known(price * scored[act][row]),
        )
        for act, price in prices.items()
    }


def _move(funnel: Funnel, move: Move) -> ExplainedMove:
    return ExplainedMove(
        worth=known(move.worth),
        paid=known(move.paid),
        rank=move.rank,
        runner_up=None if move.runner_up is None else int(funnel.scored.ids[move.runner_up]),
        runner_up_left=known(move.runner_up_left),
        drawn_from=move.drawn_from,
    )


def _features(row: Column) -> dict[str, float | None]:
    """By name; none where no matrix could be made."""
    return {name: known(value) for name, value in zip(COLUMNS, row, strict=True)} if row.ndim else {}
