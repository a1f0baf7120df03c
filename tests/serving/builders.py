"""A whole small world made by hand: a log, a release that was never trained, fakes that work.

Sixty videos by twelve creators on four topics; people 0..19 have watched some. Nothing here needs Feast or
training.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_repo import catalogue
from feature_repo.clock import DAY_US, HOUR_US
from feature_repo.events import CONTENT_SIZE, TOPICS
from feature_repo.journal import frame_of
from feature_repo.log import EventLog
from feature_repo.matrix import COLUMNS, matrix_hash
from feature_repo.online import VideoMirror
from feature_repo.places import Places
from feature_repo.videos import VideoCatalog
from serving.candidates import Candidates, Column, Found, Mask, Person, Query, Rows, candidates
from serving.compose import World
from serving.feed import Feed
from serving.heads import HEADS
from serving.live import Live, ReadWorld
from serving.policies import Policy
from serving.releases import Notes, Release, write_release
from serving.towers import Towers, initial_params
from serving.verbs import Choice

NOW_US = 1_781_481_600_000_000
"""2026-06-15T00:00Z, one microsecond after the last event of the log."""
VIDEOS, CREATORS, TOPICS_USED, WATCHERS = 60, 12, 4, 20
NOTES = Notes(git_commit="0" * 40, created_at="2026-06-15T00:00:00Z", metrics={})


def creator_of(video_id: int) -> int:
    return 100 + video_id % CREATORS


def uploads() -> list[dict[str, Any]]:
    """Video v is uploaded v * 4 hours before the end of the log, so 0 is the newest."""
    rng = np.random.default_rng(1)
    return [
        {
            "event_id": f"up-{video_id}",
            "event_time_us": NOW_US - HOUR_US * (1 + 4 * video_id),
            "known_time_us": NOW_US - HOUR_US * (1 + 4 * video_id),
            "video_id": video_id,
            "creator_id": creator_of(video_id),
            "topic": video_id % TOPICS_USED,
            "duration_ms": 20_000 + 1_000 * video_id,
            "content": rng.normal(size=CONTENT_SIZE).tolist(),
            "headline_score": 0.1,
            "production_score": 0.2,
        }
        for video_id in range(VIDEOS)
    ]


def a_watch(user_id: int, video_id: int, at_us: int, watched_ms: int = 20_000, **more: Any) -> dict[str, Any]:
    """A watched event as a client sends it."""
    told = {
        "kind": "watched",
        "event_id": f"w-{user_id}-{video_id}",
        "event_time_us": at_us,
        "user_id": user_id,
        "impression_id": user_id * 1_000 + video_id,
        "video_id": video_id,
        "watched_ms": watched_ms,
    }
    return {**told, **more}


def a_log(folder: Path) -> EventLog:
    """Sixty uploads, and person u watched videos u and u + 1 during the last day."""
    log = EventLog(folder)
    log.append("uploaded", frame_of("uploaded", uploads()), "made")
    watches = [
        {**a_watch(u, v, at), "known_time_us": at, "duration_ms": 30_000, "watched_ms": 25_000}
        for u in range(WATCHERS)
        for v, at in ((u, NOW_US - DAY_US // 2 + u), (u + 1, NOW_US - HOUR_US + u))
    ]
    last = {**a_watch(0, 40, NOW_US - 1), "known_time_us": NOW_US - 1}
    log.append("watched", frame_of("watched", [*watches, last]), "made")
    return log


def a_catalog() -> VideoCatalog:
    return VideoCatalog.from_uploads(frame_of("uploaded", uploads()))


class KnownUsers:
    """An online store in a dictionary: whoever is not in it is a stranger with the catalogue's defaults."""

    def __init__(self, known: Mapping[int, Mapping[str, float]] | None = None) -> None:
        self.known = dict(known or {})

    def read(
        self, user_id: int, topics: Sequence[int], now_us: int
    ) -> tuple[dict[str, float], npt.NDArray[np.float32]]:
        assert now_us > 0
        assert all(0 <= topic < TOPICS for topic in topics)
        views = (catalogue.USER_PROFILE, catalogue.USER_STATS)
        defaults = {feature.name: feature.default for view in views for feature in view.features}
        row = [feature.default for feature in catalogue.USER_TOPIC_STATS.features]
        return {**defaults, **self.known.get(user_id, {})}, np.tile(np.array(row, np.float32), (TOPICS, 1))


def a_mirror(catalog: VideoCatalog, read_at_us: int = NOW_US) -> VideoMirror:
    """Features that differ by video: counts by the id, rates between 0 and 1."""
    views = (catalogue.VIDEO_PROFILE, catalogue.VIDEO_STATS, catalogue.CREATOR_STATS)
    rng = np.random.default_rng(2)
    columns: dict[str, npt.NDArray[Any]] = {
        feature.name: rng.random(len(catalog)).astype(np.float32)
        for view in views
        for feature in view.features
    }
    columns["video_long_watches_3d"] = (catalog.video_ids % 7).astype(np.float32)
    return VideoMirror(catalog.video_ids, columns, read_at_us)


def a_world(
    catalog: VideoCatalog | None = None, users: KnownUsers | None = None, now_us: int = NOW_US
) -> World:
    found = catalog or a_catalog()
    return World(found, a_mirror(found, now_us), users or KnownUsers())


@lru_cache(maxsize=4)
def head_texts(seed: int = 0) -> dict[str, str]:
    """Five small boosters over our columns, fitted to noise: real models that know nothing."""
    import lightgbm

    rng = np.random.default_rng(seed)
    matrix = rng.random((400, len(COLUMNS)), np.float32)
    settings = {"objective": "binary", "num_leaves": 7, "verbosity": -1, "num_threads": 1, "seed": seed}
    texts = {}
    for place, name in enumerate(HEADS):
        labels = (matrix[:, place] + 0.3 * rng.random(400) > 0.7).astype(np.float32)
        texts[name] = lightgbm.train(settings, lightgbm.Dataset(matrix, labels), 5).model_to_string()
    return texts


def a_release(seed: int = 0, **changes: Any) -> Release:
    """A release over the first fifty videos: the ten oldest were uploaded "after" it."""
    rng = np.random.default_rng(seed)
    ids = np.arange(50, dtype=np.int64)
    towers = Towers(initial_params(50, CREATORS, rng), ids, np.arange(100, 100 + CREATORS))
    weights = [
        {"act": name, "weight": -2.0 if name == "negative" else 1.0, "reason": "made up", "base_rate": 0.1}
        for name in HEADS
    ]
    made = Release(
        towers=towers.arrays(),
        video_ids=ids,
        video_vectors=rng.normal(size=(50, 32)).astype(np.float32),
        heads=head_texts(seed),
        calibrators={name: {"raw": [0.0, 1.0], "calibrated": [0.0, 1.0]} for name in HEADS},
        values={"weights": weights},
        columns=COLUMNS,
        matrix_hash=matrix_hash(),
        feature_service=catalogue.SERVICE,
        snapshot_hash=f"snapshot-{seed}",
    )
    return replace(made, **changes)


def released(folder: Path, seed: int = 0, **changes: Any) -> str:
    """Write a made-up release; its id."""
    return write_release(folder, a_release(seed, **changes), NOTES)


def scores_by_hand(
    vectors: npt.NDArray[np.float32], point: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Dot products added up in the order of the dimensions, every sum rounded."""
    scores = np.zeros(len(vectors), np.float32)
    for dimension, weight in enumerate(point):
        scores += vectors[:, dimension] * weight
    return scores


@contextmanager
def a_process(folder: Path, *settings: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`python -m serving` on a run that is empty, once it listens; and its port."""
    command = [sys.executable, "-m", "serving", "--port", "0", *settings]
    started = {**os.environ, "VAR": str(folder), "SCALE": "tiny"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=started) as server:
        assert server.stdout is not None
        said = [server.stdout.readline() for _ in range(2)]
        yield server, int(said[0].split("127.0.0.1:")[1].split()[0])


class ManualTime:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns

    def pass_us(self, spent_us: int) -> None:
        self.ns += 1_000 * spent_us


def a_live(places: Places, read_world: ReadWorld | None = None, seed: int = 0) -> Live:
    """A server over the made-up log of these places; it has no champion until one is registered."""
    if EventLog(places.log).is_empty():
        a_log(places.log)
    return Live(places, read_world or (lambda now_us, _: a_world(now_us=now_us)), seed)


def a_query(user_id: int = 1, **more: Any) -> Query:
    return Query(**{"user_id": user_id, "request_id": 1, "now_us": NOW_US, "limit": 3, **more})


def a_table(values: Sequence[float], topics: Sequence[int] = (), creators: Sequence[int] = ()) -> Candidates:
    """Scored candidates 0, 1, 2, …; unless said otherwise no two share a topic or a creator."""
    ids = np.arange(len(values), dtype=np.int64)
    return candidates(
        ids,
        value=np.array(values, np.float64),
        topic=np.array(topics or ids, np.int64),
        creator_id=np.array(creators or ids, np.int64),
    )


class Finds:
    """A source that always finds the same."""

    def __init__(self, *video_ids: int, name: str = "finds") -> None:
        self.ids, self.name = np.array(video_ids, np.int64), name

    def find(self, _: Query) -> Found:
        return Found(self.ids, np.arange(len(self.ids), 0, -1, dtype=np.float32))


class Fails:
    """A component of any kind that never works."""

    def __init__(self, name: str = "fails", gives: tuple[str, ...] = ()) -> None:
        self.name, self.gives = name, gives

    def _fail(self, *_: object) -> Any:
        raise RuntimeError("it broke")

    read = find = describe = keep = score = _fail


class Refuses:
    """A filter that keeps everything but these videos."""

    def __init__(self, *video_ids: int, name: str = "refuses") -> None:
        self.ids, self.name = video_ids, name

    def keep(self, _: Query, table: Candidates) -> Mask:
        return ~np.isin(table.ids, self.ids)


class Says:
    """A hydrator with one column: a function of the video id."""

    def __init__(self, name: str, of: Callable[[Column], Column]) -> None:
        self.name, self.gives, self.of = name, (name,), of

    def describe(self, _: Query, table: Candidates) -> Mapping[str, Column]:
        return {self.name: self.of(table.ids)}


class Scores:
    """A scorer that reads a column."""

    def __init__(self, column: str = "video_id") -> None:
        self.name = self.column = column

    def score(self, _: Query, table: Candidates) -> npt.NDArray[np.float64]:
        return table[self.column].astype(np.float64)


class Best:
    """A selector without chance: the largest values first."""

    name = "best"

    def choose(self, query: Query, table: Candidates, _: np.random.Generator) -> Choice:
        rows: Rows = np.argsort(-table["value"], kind="stable")[: query.limit]
        return Choice(rows, np.ones(len(rows)), np.zeros(len(rows), np.bool_))


def a_feed(**components: Any) -> Feed:
    """A feed of fakes: two videos, no filters, larger ids first; replace what the test is about."""
    sources = components.pop("sources", [Finds(7, 8)])
    parts: dict[str, Any] = {
        "readers": [],
        "sources": sources,
        "basics": Says("catalog_row", lambda ids: ids),
        "filters": [],
        "hydrators": [],
        "scorers": [Scores()],
        "selector": Best(),
        "quotas": {source.name: 100 for source in sources},
        "most_candidates": 500,
    }
    return Feed(**{**parts, **components})


def ranked(feed: Feed, query: Query | None = None, seed: int = 0) -> list[int]:
    """The slate as video ids."""
    ids: list[int] = feed.rank(query or a_query(), np.random.default_rng(seed)).slate.ids.tolist()
    return ids


__all__ = ["NOW_US", "Person", "Policy"]
