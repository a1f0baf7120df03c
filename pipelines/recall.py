"""How much of what people said yes to, a day later, retrieval would have put before them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from evaluation.intervals import Interval, bootstrap
from evaluation.ranking import retrieval_recall
from feature_repo.clock import DAY_US
from feature_repo.labels import long_watch
from feature_repo.log import EventLog
from feature_repo.videos import VideoCatalog
from pipelines.splits import Window
from pipelines.watches import Ints, People, labels_of, liked, people
from serving.towers import Towers

RECALL_AT = 100
ASKED = 2_000
"""At most this many people are asked; the interval says what that costs."""


def next_day_recall(
    log: EventLog, towers: Towers, catalog: VideoCatalog, window: Window, seed: int
) -> dict[str, Interval]:
    """Recall@100 on the day after the window of videos not seen before, by the towers and by popularity."""
    day = Window(window.end_us, window.end_us + DAY_US)
    watched = log.read("watched", end_us=window.end_us, known_before_us=window.end_us)
    yes = unseen(liked(labels_of(log, day)), watched).filter(
        pl.col("video_id").is_in(catalog.video_ids.tolist())
    )
    rng = np.random.default_rng([seed, 3])
    users = np.unique(yes["user_id"].to_numpy())
    users = np.sort(rng.permutation(users)[:ASKED])
    yes = yes.filter(pl.col("user_id").is_in(users.tolist()))
    joined = log.read("joined", known_before_us=window.end_us)
    asked = people(joined, watched, catalog, users, np.full(len(users), window.end_us))
    by_video = {
        "towers": tower_scores(towers, catalog, asked),
        "popularity": popularity(watched, catalog, len(users), window),
    }
    return {name: _recall(yes, users, scores, watched, catalog, rng) for name, scores in by_video.items()}


def unseen(yes: pl.DataFrame, watched: pl.DataFrame) -> pl.DataFrame:
    """Rows about videos their person had not watched before: what retrieval is asked for."""
    return yes.join(watched.select("user_id", "video_id"), on=["user_id", "video_id"], how="anti")


def tower_scores(towers: Towers, catalog: VideoCatalog, asked: People) -> npt.NDArray[np.float32]:
    """[people, videos] dot products."""
    inputs = towers.inputs(catalog)
    users = towers.users(asked.profiles, asked.history_rows, asked.weights, towers.seen(inputs))
    return np.asarray(users @ towers.videos(inputs).T, np.float32)


def popularity(
    watched: pl.DataFrame, catalog: VideoCatalog, people: int, window: Window
) -> npt.NDArray[np.float32]:
    """The same row for everybody: long watches in the window's last three days."""
    late = watched.filter(pl.col("event_time").to_physical() >= window.end_us - 3 * DAY_US)
    long = late.filter(long_watch(pl.col("watched_ms"), pl.col("duration_ms")))
    rows = catalog.rows_of(long["video_id"].to_numpy())
    counts = np.bincount(rows[rows >= 0], minlength=len(catalog)).astype(np.float32)
    return np.broadcast_to(counts, (people, len(catalog)))


def _recall(
    yes: pl.DataFrame,
    users: Ints,
    scores: npt.NDArray[np.float32],
    watched: pl.DataFrame,
    catalog: VideoCatalog,
    rng: np.random.Generator,
) -> Interval:
    seen = watched.filter(pl.col("user_id").is_in(users.tolist()))
    scores = scores.copy()
    rows = catalog.rows_of(seen["video_id"].to_numpy())
    scores[np.searchsorted(users, seen["user_id"].to_numpy())[rows >= 0], rows[rows >= 0]] = -np.inf
    best = np.argpartition(-scores, min(RECALL_AT, scores.shape[1] - 1), axis=1)[:, :RECALL_AT]
    owner = np.searchsorted(users, yes["user_id"].to_numpy())
    terms = retrieval_recall(
        yes["user_id"].to_numpy(), yes["video_id"].to_numpy(), catalog.video_ids[best][owner], RECALL_AT
    )
    return bootstrap(terms, rng)
