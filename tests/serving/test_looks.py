"""Does one look serve all who ask, and nobody else?"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import numpy as np
import pytest

from serving.candidates import NO_IDS, Person, Query
from serving.index import VideoIndex
from serving.looks import Looks, View
from serving.shortlists import Shortlist
from tests.serving.builders import a_query

VECTORS = np.random.default_rng(0).normal(size=(700, 6)).astype(np.float32)
INDEX = VideoIndex(np.arange(700) * 2, VECTORS)


class Everything:
    """Codes that list all rows."""

    ntotal = len(VECTORS)

    def search(self, *_: Any) -> tuple[Any, Any]:
        return None, np.arange(self.ntotal)[np.newaxis]


def asked(person: int | None = 3, liked: int = 5) -> Query:
    """By somebody who points where one video does and liked another last."""
    vector = np.empty(0, np.float32) if person is None else VECTORS[person]
    return a_query(
        history=np.array([liked * 2]),
        history_weights=np.ones(1, np.float32),
        person=Person({}, np.zeros((64, 3), np.float32), vector),
    )


def test_all_who_ask_for_one_request_get_one_look() -> None:
    looks, query = Looks(INDEX), asked()

    assert looks.of(query) is looks.of(query)
    assert looks.of(replace(query)) is not looks.of(query)


def test_a_look_sees_what_a_search_from_either_point_finds() -> None:
    look = Looks(INDEX).of(asked())

    for view, row in ((look.person, 3), (look.liked, 5)):
        assert view is not None
        ids, scores = INDEX.search(VECTORS[row], 9)
        for found in (view.nearest(9, NO_IDS), view.nearest_of(np.arange(len(VECTORS)), 9, NO_IDS)):
            assert [found.video_ids.tolist(), found.scores.tolist()] == [ids.tolist(), scores.tolist()]


@pytest.mark.parametrize(("person", "liked"), [(None, 5), (3, 999), (None, 999)])
def test_from_a_point_that_is_unknown_nothing_is_seen(person: int | None, liked: int) -> None:
    look = Looks(INDEX).of(asked(person, liked))

    assert (look.person is None) == (person is None)
    assert (look.liked is None) == (liked == 999)


def test_an_index_with_a_shortlist_is_asked_and_not_looked_at() -> None:
    view = Looks(VideoIndex(INDEX.video_ids, VECTORS, Shortlist(Everything()))).of(asked()).person
    exact, seen, rows = View(INDEX, VECTORS[3], None), np.array([6]), np.arange(9)

    assert view is not None
    assert view.outlined is None
    for found, wanted in (
        (view.nearest(5, seen), exact.nearest(5, seen)),
        (view.nearest_of(rows, 5, seen), exact.nearest_of(rows, 5, seen)),
    ):
        assert found.video_ids.tolist() == wanted.video_ids.tolist()
        assert found.scores.tolist() == wanted.scores.tolist()


def test_requests_at_once_each_keep_their_own_look() -> None:
    looks, both = Looks(INDEX), Barrier(2)

    def looked(query: Query) -> bool:
        first = looks.of(query)
        both.wait(timeout=60)
        return looks.of(query) is first

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(looked, [asked(3), asked(4)])) == [True, True]
