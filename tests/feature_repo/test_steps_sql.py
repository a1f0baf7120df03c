"""Does SQL, written from the catalogue alone, find the steps that the embedded engine writes?"""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.catalogue import USER_STATS, VIEWS, View
from feature_repo.clock import HOUR_US, INSTANT
from feature_repo.log import EventLog
from feature_repo.places import Places
from feature_repo.steps import source_of, write_steps
from feature_repo.steps_sql import (
    DUCKDB,
    READ,
    Join,
    as_of,
    columns_of,
    columns_read,
    empty_table,
    order_of,
    relations,
    two_bodies,
)
from labs.engines import steps_compared
from tests.feature_repo.builders import Story, a_busy_story, a_story, at
from tests.feature_repo.conftest import LAST

LATER = at(days=10)


def database_of(log: EventLog, until_us: int) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB that knows every relation over this log."""
    connection = duckdb.connect()
    for kind in READ:
        parts = [str(part) for part in log.parts(kind)]
        read = f"SELECT {', '.join(columns_read(kind))} FROM read_parquet({parts}, hive_partitioning = false)"
        connection.execute(f"CREATE TEMP VIEW {kind} AS {read if parts else empty_table(DUCKDB, kind)}")
    for name, select in relations(DUCKDB, until_us):
        connection.execute(f"CREATE TEMP VIEW {name} AS {select}")
    return connection


def table_of(view: View, log: EventLog, until_us: int) -> pl.DataFrame:
    select = f"SELECT {', '.join(columns_of(view))} FROM {view.name} ORDER BY {', '.join(order_of(view))}"
    found: pl.DataFrame = database_of(log, until_us).execute(select).pl()
    return found.with_columns(pl.col("event_timestamp").cast(INSTANT))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """The run of the story that is told by hand."""
    found = Places(Path(tmp_path_factory.mktemp("told")))
    write_steps(a_story().log(found.log), found.features, LATER)
    return found


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_sql_and_the_embedded_engine_say_the_same_at_every_moment(view: View, places: Places) -> None:
    found = steps_compared(
        view, pl.read_parquet(source_of(places.features, view)), table_of(view, EventLog(places.log), LAST)
    )

    assert (found.differing, found.rows) == (0, found.rows_spark)
    assert found.cells > 50


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_they_say_the_same_of_the_story_told_by_hand(view: View, told: Places) -> None:
    found = steps_compared(
        view, pl.read_parquet(source_of(told.features, view)), table_of(view, EventLog(told.log), LATER)
    )

    assert found.differing == 0


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_they_say_the_same_where_clocks_are_crooked(view: View, tmp_path: Path) -> None:
    log = a_crooked_story().log(tmp_path / "log")
    write_steps(log, tmp_path, LATER)

    found = steps_compared(view, pl.read_parquet(source_of(tmp_path, view)), table_of(view, log, LATER))
    assert found.differing == 0


def a_crooked_story() -> Story:
    """A phone ahead of us, a follow heard of before an earlier one, an upload heard of late and twice."""
    story = Story()
    story.joins(1)
    story.uploads(10, creator=100, topic=3, at_us=at(hours=1), known_us=at(hours=9))
    story.uploads(10, creator=200, topic=4, at_us=at(hours=2), known_us=at(hours=3))
    ahead = story.swipes(1, 10, at(hours=5), known_us=at(hours=4))
    story.reacts(ahead, 1, 10, "share", at(hours=6), known_us=at(hours=4))
    story.follows(1, 100, at(hours=10), impression=ahead, known_us=at(hours=20))
    story.follows(1, 100, at(hours=12), known_us=at(hours=13))
    story.swipes(1, 10, at(hours=11), known_us=at(days=9))  # its shorter windows have passed by then
    return story


@pytest.mark.parametrize("seed", range(3))
def test_impressions_are_those_counted_by_hand(seed: int, tmp_path: Path) -> None:
    story = a_busy_story(np.random.default_rng(seed), LAST, swipes=60)
    steps = table_of(USER_STATS, story.log(tmp_path), LAST)

    moments = steps["event_timestamp"].to_physical().to_list()
    by_hand = [
        shown_by_hand(story, user, t, HOUR_US) for user, t in zip(steps["user_id"], moments, strict=True)
    ]
    assert steps["user_impressions_1h"].to_list() == by_hand


def shown_by_hand(story: Story, user: int, moment_us: int, window_us: int) -> int:
    mine = [each for each in story.events["watched"] if each["user_id"] == user]
    clocks = [(each["event_time_us"], each["known_time_us"]) for each in mine]
    return sum(known < moment_us <= min(event, known) + window_us for event, known in clocks if known < LAST)


def test_what_is_known_only_at_the_end_is_not_counted(tmp_path: Path) -> None:
    story = Story()
    story.swipes(1, 10, at(hours=1))

    log = story.log(tmp_path)
    assert len(table_of(USER_STATS, log, at(hours=1))) == 0
    assert len(table_of(USER_STATS, log, at(hours=1, us=1))) == 4  # in; out of 1 h, 24 h and 7 d


def test_a_row_that_repeats_counts_once(tmp_path: Path) -> None:
    log = a_story().log(tmp_path)
    once = {view.name: table_of(view, log, LATER) for view in VIEWS}

    log.append("watched", a_story().frame("watched"), "again")
    log.append("followed", a_story().frame("followed"), "again")

    assert all(table_of(view, log, LATER).equals(once[view.name]) for view in VIEWS)


def test_an_id_with_two_bodies_is_found(tmp_path: Path) -> None:
    log = a_story().log(tmp_path)
    assert database_of(log, LATER).execute(two_bodies()).fetchall() == []

    first = a_story().frame("watched").head(1)
    log.append("watched", first.with_columns(pl.col("watched_ms") + 1), "other")
    assert database_of(log, LATER).execute(two_bodies()).fetchall() == [("watched", first["event_id"][0])]


@pytest.mark.parametrize(("watched_ms", "millionths"), [(2, 62), (6, 188), (64_000, 1_000_000)])
def test_half_a_millionth_of_a_share_goes_to_the_even_one(
    watched_ms: int, millionths: int, tmp_path: Path
) -> None:
    story = Story()
    story.swipes(1, 10, at(hours=1), watched_ms, duration_ms=32_000)

    found = database_of(story.log(tmp_path), LATER).execute(
        "SELECT amount FROM facts WHERE event = 'watched_share'"
    )
    assert found.fetchall() == [(millionths,)]


steps_told = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12)), max_size=12, unique=True)
asked_of = st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 20)), max_size=8)


@given(steps_told, asked_of, st.integers(0, 6))
@settings(max_examples=60)
def test_an_answer_is_the_newest_step_within_the_ttl(
    told: list[tuple[int, int]], asked: list[tuple[int, int]], ttl: int
) -> None:
    source, questions = a_table(told, "number"), a_table(asked, "question")  # read by their names in DuckDB
    join = Join("source", {"key": "asked_key"}, {"number": "found"}, "moment", ttl or None)

    connection = duckdb.connect()
    connection.register("source", source.to_arrow())
    connection.register("questions", questions.rename({"key": "asked_key", "moment": "asked_at"}).to_arrow())
    found = connection.execute(f"{as_of(DUCKDB, join, 'questions', 'asked_at')} ORDER BY question").fetchall()

    assert [number for _, number in found] == [newest_by_hand(told, key, t, ttl) for key, t in asked]


def a_table(rows: list[tuple[int, int]], number: str) -> pl.DataFrame:
    table = np.asarray(rows, np.int64).reshape(-1, 2)
    moment = pl.Series(table[:, 1]).cast(INSTANT)
    return pl.DataFrame({"key": table[:, 0], "moment": moment, number: np.arange(len(table))})


def newest_by_hand(told: list[tuple[int, int]], key: int, moment: int, ttl: int) -> int | None:
    known = [(t, number) for number, (mine, t) in enumerate(told) if mine == key and t <= moment]
    if not known or (ttl and moment - max(known)[0] > ttl):
        return None
    return max(known)[1]
