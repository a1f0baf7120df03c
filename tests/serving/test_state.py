"""What the server remembers of people."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.candidates import Query
from serving.state import PeopleState
from tests.serving.builders import NOW_US, a_catalog, a_log, a_watch, creator_of


@pytest.fixture(scope="module")
def log_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("state") / "log"
    a_log(folder)
    return folder


@pytest.fixture
def state(log_folder: Path) -> PeopleState:
    return PeopleState.from_log(a_log(log_folder), a_catalog(), NOW_US)


def asked(state: PeopleState, user_id: int) -> Query:
    return state.query(user_id, request_id=1, now_us=NOW_US)


def watched(user_id: int, video_id: int, at_us: int = NOW_US) -> dict[str, object]:
    return {**a_watch(user_id, video_id, at_us), "known_time_us": at_us}


def objection(user_id: int, video_id: int, reaction: str) -> dict[str, object]:
    return {"kind": "reacted", "user_id": user_id, "video_id": video_id, "reaction": reaction}


def test_the_log_is_remembered(state: PeopleState) -> None:
    query = asked(state, 3)

    assert query.seen.tolist() == [3, 4]
    assert query.history[:3].tolist() == [4, 3, -1]


@pytest.mark.parametrize("stranger", [-5, 9_999])
def test_a_stranger_has_no_past(state: PeopleState, stranger: int) -> None:
    query = asked(state, stranger)

    assert not state.knows(stranger)
    assert len(query.seen) == len(query.follows) == len(query.hidden) == len(query.blocked) == 0
    assert (query.history == -1).all()


def test_what_is_watched_now_is_seen_and_first_in_the_history(state: PeopleState) -> None:
    state.absorb([watched(3, 30)])
    query = asked(state, 3)

    assert query.seen.tolist() == [3, 4, 30]
    assert query.history[0] == 30
    assert query.history_weights[0] > 0


def test_a_query_does_not_change_with_later_events(state: PeopleState) -> None:
    query = asked(state, 3)
    state.absorb([watched(3, 30)])

    assert 30 not in query.seen


def test_follows_are_remembered(state: PeopleState) -> None:
    state.absorb([{"kind": "followed", "user_id": 3, "creator_id": 105}])

    assert asked(state, 3).follows.tolist() == [105]


def test_hiding_one_video_hides_it_and_hiding_two_blocks_their_creator(state: PeopleState) -> None:
    first, second = 7, 19  # both by creator 107
    state.absorb([objection(3, first, "hide")])
    once = asked(state, 3)
    state.absorb([objection(3, second, "hide")])
    twice = asked(state, 3)

    assert (once.hidden.tolist(), once.blocked.tolist()) == ([first], [])
    assert (twice.hidden.tolist(), twice.blocked.tolist()) == ([first, second], [creator_of(first)])


def test_hiding_the_same_video_twice_is_one_objection(state: PeopleState) -> None:
    state.absorb([objection(3, 7, "hide"), objection(3, 7, "hide")])

    assert asked(state, 3).blocked.tolist() == []


def test_one_report_blocks_the_creator(state: PeopleState) -> None:
    state.absorb([objection(3, 7, "report")])

    assert asked(state, 3).blocked.tolist() == [creator_of(7)]


def test_a_like_hides_nothing(state: PeopleState) -> None:
    state.absorb([objection(3, 7, "like")])

    assert asked(state, 3).hidden.tolist() == []


def test_what_one_person_does_says_nothing_of_another(state: PeopleState) -> None:
    state.absorb([watched(3, 30), objection(3, 31, "hide")])

    assert asked(state, 5).seen.tolist() == [5, 6]
    assert asked(state, 5).hidden.tolist() == []
