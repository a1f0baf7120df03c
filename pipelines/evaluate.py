"""Measure the champion on the days held out: retrieval, order, calibration, who gets shown; every figure an
interval.

Nothing here knows what people truly felt; `python -m labs true-value` asks that on simulated logs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from evaluation.coverage import distinct_share, exposures, gini, top_share
from evaluation.intervals import Interval, bootstrap, mean_of, percentiles, wilson
from evaluation.ranking import retrieval_recall
from evaluation.slices import slices
from feature_repo.clock import DAY_US
from feature_repo.matrix import COLUMNS
from feature_repo.videos import VideoCatalog
from pipelines.measures import Rivals, as_figures, head_figures, ranking_figures, rivals, value_ndcg
from pipelines.past import world_then
from pipelines.plan import Plan
from pipelines.recall import unseen
from pipelines.release import Trained
from pipelines.rescoring import predicted
from pipelines.shell import Told, shown
from pipelines.slates import Asked, asked, slate_overlap
from pipelines.splits import Window
from pipelines.stages import OutOfOrder
from pipelines.training_sets import Rows
from pipelines.watches import labels_of, liked
from serving.compose import compose
from serving.feed import Feed
from serving.releases import Release, read_release
from serving.state import PeopleState
from serving.values import Values

ASKED = 300
"""People of whom recall and slates are asked."""
SLICE_COLUMNS = ("user_tenure_days", "video_age_hours", "user_impressions_7d")
FEWEST = 200
"""Rows below which a slice is left out: its interval would say nothing."""

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


def champion(plan: Plan) -> tuple[int, Release]:
    """The champion's version and release."""
    from serving import registry

    now = registry.champion(plan.run.places)
    if now is None:
        raise OutOfOrder("there is no champion to evaluate. Run `make train` first.")
    return now[0], read_release(now[1])


def source_recall(plan: Plan, release: Release) -> dict[str, Interval]:
    """Share of the next day's yeses (not seen before) each source, and their union, would have brought."""
    start = plan.splits.test.start_us
    world = world_then(plan.run.places, plan.log, start)
    feed, state = compose(release, world), PeopleState.from_log(plan.log, world.catalog, start)
    watched = plan.log.read("watched", known_before_us=start)
    yes = unseen(liked(labels_of(plan.log, Window(start, start + DAY_US))), watched)
    people = np.random.default_rng([plan.run.seed, 41]).permutation(np.unique(yes["user_id"].to_numpy()))[
        :ASKED
    ]
    yes = yes.filter(pl.col("user_id").is_in(people.tolist())).sort("user_id", "video_id")
    found = {int(user): found_by_source(feed, state, int(user), start) for user in people}
    names = [*(source.name for source in feed.sources), "union"]
    return {
        name: _recall(yes, {user: ids[name] for user, ids in found.items()}, plan.run.seed) for name in names
    }


def found_by_source(feed: Feed, state: PeopleState, user: int, now_us: int) -> dict[str, Ints]:
    """Ids each source brings for one person, and the distinct ids of all."""
    query = state.query(user, 0, now_us)
    funnel = feed.rank(query, np.random.default_rng(0))
    ids = {name: each.video_ids for name, each in funnel.found.items()}
    return {**ids, "union": funnel.scored.ids}


def _recall(yes: pl.DataFrame, found: Mapping[int, Ints], seed: int) -> Interval:
    depth = max(1, *(len(ids) for ids in found.values()))
    users = yes["user_id"].to_numpy()
    retrieved = np.full((len(users), depth), -1, np.int64)
    for row, user in enumerate(users.tolist()):
        retrieved[row, : len(found[user])] = found[user]
    return bootstrap(
        retrieval_recall(users, yes["video_id"].to_numpy(), retrieved, depth), np.random.default_rng(seed)
    )


def by_slice(rows: Rows, scores: Mapping[str, Any], rival: Rivals, seed: int) -> dict[str, Any]:
    """nDCG@10 of the value and every head's figures: all rows, new users, heavy users, new videos."""
    columns = {name: rows.matrix[:, COLUMNS.index(name)] for name in SLICE_COLUMNS}
    masks = slices(rows.table.select("user_id").with_columns(pl.Series(n, c) for n, c in columns.items()))
    return {
        name: _slice(rows, mask, scores, rival, seed) for name, mask in masks.items() if mask.sum() >= FEWEST
    }


def _slice(rows: Rows, mask: Any, scores: Mapping[str, Any], rival: Rivals, seed: int) -> dict[str, Any]:
    part, rng = rows.where(mask), np.random.default_rng([seed, 42])
    heads = head_figures(part, {name: said[mask] for name, said in scores.items()}, seed)
    ndcg = bootstrap(value_ndcg(part, rival.scores["value"][mask], rival.prices), rng)
    return {"rows": len(part), "ndcg_at_10": ndcg.as_figure(), "heads": as_figures(heads)}


def exposure(found: Asked, catalog: VideoCatalog, seed: int) -> dict[str, Interval]:
    """How much of the catalogue and of its creators a sample of people would be shown.

    Intervals of coverage and creators are over videos and creators, these people given: people drawn twice
    see fewer videos, so resampling people cannot bracket a coverage.
    """
    slates, rng = found.slates, np.random.default_rng([seed, 43])
    videos = np.unique(slates[slates >= 0])
    creators = exposures(catalog.creators_of(slates[slates >= 0]), catalog.creator_ids)
    drawn = [creators[rng.integers(0, len(creators), len(creators))] for _ in range(200)]
    topics = catalog.topics_of(slates.ravel()).reshape(slates.shape)
    return {
        "catalogue_coverage": wilson(int(np.isin(videos, catalog.video_ids).sum()), len(catalog)),
        "creator_gini": _interval_of(gini, creators, drawn),
        "creator_top_1_percent_share": _interval_of(top_share, creators, drawn),
        "distinct_topics": mean_of(distinct_share(topics), rng),
        "slate_overlap": slate_overlap(found, seed),
    }


def _interval_of(statistic: Callable[[Doubles], float], amounts: Doubles, drawn: list[Doubles]) -> Interval:
    return Interval(
        statistic(amounts), *percentiles(np.array([statistic(each) for each in drawn])), len(amounts)
    )


def run(plan: Plan, told: Told) -> dict[str, Any]:
    """All figures of the champion; the report holds them, the table the first of them."""
    version, release = champion(plan)
    trained, seed = Trained.of(plan), plan.run.seed
    test = trained.split("test")
    told.say(f"champion: version {version} ({release.release_id}), {len(test):,} test rows")
    predictions = predicted(plan, release, test)
    values = Values.from_json(release.values)
    everybody = rivals(test, predictions, values, trained.logistic(), seed)
    recall = source_recall(plan, release)
    found = asked(plan, release, ASKED)
    shown_to = exposure(found, VideoCatalog.from_log(plan.log), seed)
    figures: dict[str, Any] = {
        "version": version,
        "release_id": release.release_id,
        "recall_next_day": {name: interval.as_figure() for name, interval in recall.items()},
        "ranking": as_figures(ranking_figures(test, everybody, seed)),
        "slices": by_slice(test, predictions, everybody, seed),
        "exposure": {name: interval.as_figure() for name, interval in shown_to.items()},
    }
    told.table("champion on the days held out", ("what", "figure"), closing(figures))
    return figures


def closing(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The first of the figures: retrieval, order beside the rivals, slices, exposure."""
    rows = [
        (f"recall on the next day, {name}", shown(row)) for name, row in figures["recall_next_day"].items()
    ]
    for metric, words in (("gauc_yes", "per-user AUC of a yes"), ("ndcg_at_10", "nDCG@10 of realised value")):
        rows += [(f"{words}, {name}", shown(row[metric])) for name, row in figures["ranking"].items()]
    for name, part in figures["slices"].items():
        rows += [(f"{name}: nDCG@10", shown(part["ndcg_at_10"]))]
        rows += [(f"{name}: AUC of long watch", shown(part["heads"]["long_watch"]["auc"]))]
    return rows + [(name.replace("_", " "), shown(row)) for name, row in figures["exposure"].items()]
