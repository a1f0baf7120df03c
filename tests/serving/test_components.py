"""Our filters and sources, each on a world small enough to see."""

from __future__ import annotations

import numpy as np
import pytest

from feature_repo.clock import HOUR_US
from feature_repo.journal import frame_of
from feature_repo.matrix import COLUMNS
from feature_repo.videos import VideoCatalog
from serving.candidates import Person, candidates
from serving.compose import compose
from serving.filters import Eligible, NotBlocked, NotSeen
from serving.hydrators import Catalogued
from serving.index import VideoIndex
from serving.looks import Looks
from serving.sources import FollowedCreators, FreshUploads, SimilarToLastWatched, Trending, TwoTower
from tests.serving.builders import NOW_US, a_catalog, a_query, a_release, a_world, uploads

EAST, NORTH = np.array([1.0, 0.0], np.float32), np.array([0.0, 1.0], np.float32)
INDEX = VideoIndex(np.arange(4), np.array([[1, 0], [0.9, 0.1], [0, 1], [-1, 0]], np.float32))


def a_person(vector: np.ndarray) -> Person:
    return Person({}, np.zeros((64, 3), np.float32), vector)


def test_a_seen_video_is_never_served_again() -> None:
    assert NotSeen().keep(a_query(seen=np.array([7])), candidates(np.array([7, 8]))).tolist() == [False, True]


def test_a_hidden_video_and_a_blocked_creator_are_never_served() -> None:
    table = candidates(np.array([1, 2, 3]), creator_id=np.array([10, 11, 12]))
    query = a_query(hidden=np.array([1]), blocked=np.array([12]))

    assert NotBlocked().keep(query, table).tolist() == [False, True, False]


def test_an_upload_of_the_future_or_an_unknown_video_is_not_eligible() -> None:
    catalog = a_catalog()
    table = candidates(np.array([0, 1, 999]))
    table = table.with_columns(Catalogued(catalog).describe(a_query(), table))
    query = a_query(now_us=NOW_US - 2 * HOUR_US)  # video 0 was uploaded an hour before NOW_US

    assert Eligible().keep(query, table).tolist() == [False, True, False]


def a_catalog_without(video_id: int, known_us: int = NOW_US - HOUR_US) -> VideoCatalog:
    """The made-up catalogue after moderation took one video down."""
    moments = {"event_time_us": NOW_US - HOUR_US, "known_time_us": known_us}
    removed = frame_of("removed", [{"event_id": "r1", **moments, "video_id": video_id}])
    return VideoCatalog.from_uploads(frame_of("uploaded", uploads()), removed)


def test_a_removed_video_is_not_eligible_from_when_its_removal_is_known() -> None:
    catalog = a_catalog_without(3, known_us=NOW_US)
    table = candidates(np.array([3, 4]))
    table = table.with_columns(Catalogued(catalog).describe(a_query(), table))

    assert Eligible().keep(a_query(now_us=NOW_US), table).tolist() == [True, True]
    assert Eligible().keep(a_query(now_us=NOW_US + 1), table).tolist() == [False, True]


def test_a_removed_video_that_sources_still_find_is_not_served() -> None:
    world = a_world(a_catalog_without(0))  # the newest upload, which `fresh` finds for everybody

    funnel = compose(a_release(), world).rank(a_query(limit=50), np.random.default_rng(0))

    assert 0 in funnel.union.ids
    assert 0 not in funnel.slate.ids
    assert len(funnel.slate) > 10


def test_two_towers_find_what_points_the_same_way() -> None:
    found = TwoTower(Looks(INDEX), 2).find(a_query(person=a_person(EAST)))

    assert found.video_ids.tolist() == [0, 1]


def test_without_a_vector_the_towers_find_nothing() -> None:
    assert len(TwoTower(Looks(INDEX), 2).find(a_query()).video_ids) == 0


@pytest.mark.parametrize(("shares", "nearest"), [([1.0, 1.0], 2), ([0.1, 1.0], 1), ([0.1, 0.1], None)])
def test_similar_starts_from_the_last_video_that_was_not_skipped(
    shares: list[float], nearest: int | None
) -> None:
    """Watched 3 (west) last and 0 (east) before it; both are seen."""
    query = a_query(
        history=np.array([3, 0]), history_weights=np.array(shares, np.float32), seen=np.array([0, 3])
    )

    found = SimilarToLastWatched(Looks(INDEX), 1).find(query).video_ids.tolist()

    assert found == ([] if nearest is None else [nearest])


def test_trending_is_the_most_watched_that_is_unseen() -> None:
    source = Trending(np.arange(4), np.array([5, 9, np.nan, 7], np.float32), most=2)

    assert source.find(a_query(seen=np.array([1]))).video_ids.tolist() == [3, 0]


def test_followed_creators_newest_first() -> None:
    found = FollowedCreators(a_catalog(), most=3).find(a_query(follows=np.array([100, 105])))

    assert found.video_ids.tolist() == [0, 5, 12]


def test_fresh_uploads_are_young_and_best_fitting_first() -> None:
    catalog = a_catalog()
    vectors = np.zeros((len(catalog), 2), np.float32)
    vectors[2] = NORTH
    source = FreshUploads(catalog, Looks(VideoIndex(catalog.video_ids, vectors)), most=5, hours=13.0)

    assert source.find(a_query(person=a_person(NORTH))).video_ids.tolist() == [2, 3, 1, 0]
    assert source.find(a_query()).video_ids.tolist() == [0, 1, 2, 3]


def test_our_feed_gives_every_column_of_the_matrix_and_degrades_nowhere() -> None:
    feed = compose(a_release(), a_world())
    gives = {name for hydrator in feed.hydrators for name in hydrator.gives}

    funnel = feed.rank(a_query(limit=10), np.random.default_rng(0))

    assert set(COLUMNS) <= gives
    assert funnel.degraded == ()
    assert funnel.scored["features"].shape == (60, len(COLUMNS))
    assert funnel.unscored == 0


def test_a_video_uploaded_after_the_release_can_be_found_by_its_content() -> None:
    """The release knows videos 0..49; the catalogue has 60."""
    feed = compose(a_release(), a_world())

    funnel = feed.rank(a_query(), np.random.default_rng(0))

    assert {55, 59} <= set(funnel.found["two_tower"].video_ids.tolist())


def test_when_the_heads_fail_the_towers_rank() -> None:
    feed = compose(a_release(), a_world())
    broken = [each for each in feed.hydrators if each.name not in {"predictions"}]
    from dataclasses import replace

    funnel = replace(feed, hydrators=broken).rank(a_query(explore=False, limit=60), np.random.default_rng(0))

    assert funnel.degraded == ("scorer:value",)
    assert np.array_equal(funnel.scored["value"], funnel.scored["tower_score"])
