"""Features counted row by row: what the stream says, and what the offline store holds, at any moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.catalogue import DEFAULTS, PROFILES, STATS, USER_PROFILE, VIDEO_PROFILE, View
from feature_repo.clock import DAY_US, HOUR_US
from feature_repo.counting import counted, counted_columns, profiles_before
from feature_repo.facts import KEY_SPAN, NOBODY, Facts, Ints, counted_facts
from feature_repo.log import EventLog
from feature_repo.places import Places
from feature_repo.steps import profile_table, source_of
from feature_repo.streams import FeatureStream
from tests.feature_repo.builders import Story, at, facts_told
from tests.feature_repo.conftest import LAST

UNKNOWN_ID = 999
views = pytest.mark.parametrize("view", STATS, ids=lambda view: view.name)
told = st.tuples(st.integers(0, 3), st.integers(1, 40), st.integers(-3, 12), st.integers(1, 3))


@pytest.fixture(scope="module")
def facts(log: EventLog) -> Facts:
    return counted_facts(log, LAST)


def keys_of(view: View) -> Ints:
    """Every key of the busy world, and some that nobody told us of."""
    first = np.append(np.arange(15), UNKNOWN_ID)
    if len(view.keys) == 1:
        return first
    return (first[:, None] * KEY_SPAN + np.arange(5)).ravel()


def step_at(places: Places, view: View, keys: Ints, moment_us: int) -> list[tuple[float, ...]]:
    """The values the offline store holds for keys at a moment, defaults where it has none."""
    key = pl.col(view.keys[0]) if len(view.keys) == 1 else pl.col(view.keys[0]) * KEY_SPAN + pl.col("topic")
    rows = pl.read_parquet(source_of(places.features, view)).with_columns(key.alias("key"))
    held = rows.filter(pl.col("event_timestamp").to_physical() <= moment_us).unique(
        "key", keep="last", maintain_order=True
    )
    found = {row[0]: row[1:] for row in held.select("key", *view.names).iter_rows()}
    default = tuple(float(np.float32(DEFAULTS[name])) for name in view.names)
    return [found.get(int(each), default) for each in keys]


@views
@given(moment_us=st.integers(at(), LAST + 16 * DAY_US))
@settings(max_examples=12)
def test_what_is_counted_is_the_streams_value_and_the_step_of_the_store(
    places: Places, log: EventLog, facts: Facts, view: View, moment_us: int
) -> None:
    keys, when = keys_of(view), max(moment_us, LAST)
    stream = FeatureStream.from_log(log, LAST, told_us=LAST)

    assert (
        counted(facts, view, keys, np.full(len(keys), when)).tolist()
        == stream.value(view, keys, when).values.tolist()
    )
    past = counted(facts, view, keys, np.full(len(keys), moment_us))
    assert [tuple(row) for row in past.tolist()] == step_at(places, view, keys, moment_us)


@views
def test_rows_are_answered_in_the_order_asked(facts: Facts, view: View) -> None:
    rng = np.random.default_rng(2)
    keys = rng.choice(keys_of(view), 200)
    moments = rng.integers(at(), LAST, 200)

    together = counted(facts, view, keys, moments)

    alone = [counted(facts, view, keys[n : n + 1], moments[n : n + 1])[0].tolist() for n in range(0, 200, 10)]
    assert together[::10].tolist() == alone
    order = rng.permutation(200)
    assert counted(facts, view, keys[order], moments[order]).tolist() == together[order].tolist()


@views
def test_an_unknown_key_is_the_defaults(facts: Facts, view: View) -> None:
    keys = np.array([UNKNOWN_ID, NOBODY, UNKNOWN_ID * KEY_SPAN + 1])

    found = counted(facts, view, keys, np.full(3, LAST))

    default = [np.float32(DEFAULTS[name]) for name in view.names]
    assert found.tolist() == [default] * 3


@views
def test_without_facts_everything_is_the_defaults(view: View) -> None:
    found = counted(facts_told([]), view, np.array([1, 2]), np.array([at(), LAST]))

    assert found.tolist() == [[np.float32(DEFAULTS[name]) for name in view.names]] * 2


def test_asking_nothing_answers_nothing(facts: Facts) -> None:
    nothing = np.zeros(0, np.int64)

    assert {len(counted(facts, view, nothing, nothing)) for view in STATS} == {0}


@given(st.lists(told, max_size=8), st.lists(st.tuples(st.integers(0, 4), st.integers(0, 60)), max_size=6))
def test_counted_is_the_law_written_out(
    story: list[tuple[int, int, int, int]], asks: list[tuple[int, int]]
) -> None:
    """In units of ten minutes, so that ends of the hour's window meet what happens."""
    ten = HOUR_US // 6
    facts = facts_told([(who, when * ten, delay * ten, n) for who, when, delay, n in story])
    users, moments = (
        np.array([who for who, _ in asks], np.int64),
        np.array([t * ten for _, t in asks], np.int64),
    )

    found = counted(facts, STATS[0], users, moments)[:, STATS[0].names.index("user_impressions_1h")]

    assert found.tolist() == [
        sum(
            n
            for who, when, delay, n in story
            if who == user and when + delay < moment <= min(when, when + delay) + 6
        )
        for user, moment in asks
    ]


def test_a_row_that_lacks_one_of_two_keys_is_the_defaults(facts: Facts) -> None:
    asked = {"user_id": np.array([1, NOBODY]), "topic": np.array([NOBODY, 1])}

    columns = counted_columns(
        facts, asked, np.full(2, LAST), [view for view in STATS if "topic" in view.keys]
    )

    assert {name: set(values.tolist()) for name, values in columns.items()} == {
        name: {float(np.float32(DEFAULTS[name]))} for name in columns
    }


def test_every_windowed_feature_has_a_column(facts: Facts) -> None:
    asked = {key: np.array([1, 2, 3]) for key in ("user_id", "video_id", "creator_id", "topic")}

    columns = counted_columns(facts, asked, np.full(3, LAST))

    assert set(columns) == {name for view in STATS for name in view.names}
    assert {column.dtype for column in columns.values()} == {np.dtype(np.float32)}


def test_a_profile_is_known_strictly_after_we_heard_of_it(tmp_path: Path) -> None:
    story = Story()
    story.joins(3, at(hours=1), known_us=at(hours=2))
    profiles = profile_table(USER_PROFILE, story.log(tmp_path), LAST)

    found = profiles_before(
        profiles, USER_PROFILE, np.array([3, 3, 4]), np.array([at(hours=2), at(hours=2, us=1), LAST])
    )

    assert np.isnan(found["user_country"]).tolist() == [True, False, True]
    assert found["user_joined_us"][1] == at(hours=1)


def test_of_two_uploads_of_a_video_the_first_is_its_profile(tmp_path: Path) -> None:
    story = Story()
    story.uploads(10, topic=2, at_us=at(hours=3))
    story.uploads(10, topic=1, at_us=at(hours=1))
    profiles = profile_table(VIDEO_PROFILE, story.log(tmp_path), LAST)

    found = profiles_before(profiles, VIDEO_PROFILE, np.array([10]), np.array([LAST]))

    assert (found["video_topic"][0], found["video_uploaded_us"][0]) == (1, at(hours=1))


@pytest.mark.parametrize("view", PROFILES, ids=lambda view: view.name)
def test_without_profiles_everybody_is_unknown(log: EventLog, view: View) -> None:
    found = profiles_before(profile_table(view, log, at(days=-1)), view, np.array([1, 2]), np.full(2, LAST))

    assert all(np.isnan(column).all() for column in found.values())
