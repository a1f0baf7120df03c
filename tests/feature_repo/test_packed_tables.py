"""Does a store of packed rows keep the newest row of each key, whole batches, and count of what changed?"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from feature_repo.packed_rows import Schema, encode, encode_keys, rows_of_columns
from feature_repo.packed_sqlite import SqliteRows
from feature_repo.packed_tables import PackedTables, open_packed
from tests.feature_repo.packed_stores import BACKENDS, PAIR, VIDEO, a_place, empty_tables, video_rows

Batch = list[tuple[int, int]]
"""(video, moment) of each row."""

PAIRS = st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 2, 255, 256, 2**40]))

BATCHES = st.lists(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), max_size=6), max_size=6)


@pytest.fixture(scope="module", params=BACKENDS)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with a_place(request.param, tmp_path_factory.mktemp("packed")) as found:
        yield found


@pytest.fixture
def tables(place: str) -> Iterator[PackedTables]:
    opened = empty_tables(place)
    yield opened
    opened.close()


def write_batches(tables: PackedTables, batches: list[Batch]) -> list[int]:
    """Every row is told apart by its number of clicks: the how-many-th row it is."""
    told, versions = 0, []
    for batch in batches:
        videos, moments = np.asarray(batch, np.int64).reshape(-1, 2).T
        tables.write(VIDEO, videos, video_rows(moments, np.arange(told, told + len(batch))))
        told += len(batch)
        versions.append(tables.changed_since(VIDEO, 0)[2])
    return versions


def pairs(keys: list[tuple[int, int]]) -> NDArray[np.int64]:
    return np.array(keys, np.int64).reshape(-1, 2)


def newest_by_hand(batches: list[Batch]) -> dict[int, tuple[int, int]]:
    """(moment, number) of the row each video must have."""
    newest: dict[int, tuple[int, int]] = {}
    for number, (video, moment) in enumerate(row for batch in batches for row in batch):
        newest[video] = max(newest.get(video, (0, -1)), (moment, number))
    return newest


@given(BATCHES)
@settings(max_examples=50)
def test_the_newest_row_stays_and_among_equals_the_last(place: str, batches: list[Batch]) -> None:
    tables = empty_tables(place)
    write_batches(tables, batches)

    found = tables.read(VIDEO, np.arange(6))

    newest = newest_by_hand(batches)
    assert found.found.tolist() == [video in newest for video in range(6)]
    assert found.since_us.tolist() == [newest.get(video, (0, 0))[0] for video in range(6)]
    assert found.values["clicks"].tolist() == [newest.get(video, (0, 0))[1] for video in range(6)]
    assert tables.newest_us(VIDEO) == max([moment for moment, _ in newest.values()], default=0)
    tables.close()


@given(BATCHES)
@settings(max_examples=50)
def test_changed_since_is_what_took_effect_since(place: str, batches: list[Batch]) -> None:
    tables = empty_tables(place)
    versions = [0, *write_batches(tables, batches)]

    for done, version in enumerate(versions):
        keys, rows, latest = tables.changed_since(VIDEO, version)
        first = sum(len(batch) for batch in batches[:done])
        changed = {v: row for v, row in newest_by_hand(batches).items() if row[1] >= first}
        told = zip(rows.since_us.tolist(), rows.values["clicks"].tolist(), strict=True)
        assert dict(zip(keys[:, 0].tolist(), told, strict=True)) == changed
        assert latest == versions[-1]
    tables.close()


def test_a_write_counts_what_took_effect(tables: PackedTables) -> None:
    assert tables.write(VIDEO, [1, 2], video_rows([10, 10])) == 2
    assert tables.write(VIDEO, [1, 2, 3], video_rows([9, 10, 1])) == 2
    assert tables.write(VIDEO, [], video_rows([])) == 0


def test_rows_come_in_the_order_of_their_keys_as_often_as_asked(tables: PackedTables) -> None:
    tables.write(VIDEO, [1, 2], video_rows([10, 20], [3, 4]))

    found = tables.read(VIDEO, [2, 9, 1, 2])

    assert found.found.tolist() == [True, False, True, True]
    assert found.since_us.tolist() == [20, 0, 10, 20]
    assert found.until_us[1] == 0
    assert found.values.tolist() == [(4, 2.0, False), (0, 0.0, False), (3, 1.5, True), (4, 2.0, False)]


def test_several_views_are_read_in_one_trip(tables: PackedTables) -> None:
    tables.write(VIDEO, [1], video_rows([10], [3]))
    tables.write(PAIR, [[7, 1], [7, 2]], rows_of_columns(PAIR, {"taste": [0.25, 0.5]}, [5, 5]))

    pairs, videos, none = tables.read_many([(PAIR, [[7, 2], [1, 7]]), (VIDEO, [1]), (VIDEO, [])])

    assert pairs.values["taste"].tolist() == [0.5, 0.0]
    assert videos.values["clicks"].tolist() == [3]
    assert len(none) == 0


@pytest.mark.parametrize("few", [0, 6, 64])
def test_many_keys_are_read_as_few_are(
    tables: PackedTables, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    tables.write(VIDEO, [1, 2, 3], video_rows([5, 6, 7], [10, 20, 30]))
    tables.write(PAIR, [[1, 2]], rows_of_columns(PAIR, {"taste": [0.5]}, [9]))
    monkeypatch.setattr("feature_repo.packed_sqlite.FEW", few)
    asks: list[tuple[Schema, Any]] = [(VIDEO, [3, 9, 3]), (PAIR, np.zeros((0, 2))), (VIDEO, [1])]
    asks += [(PAIR, [[1, 2], [2, 1]])]

    found = tables.read_many(asks)

    assert [rows.since_us.tolist() for rows in found] == [[7, 0, 7], [], [5], [9, 0]]
    assert found[0].values["clicks"].tolist() == [30, 0, 30]


@given(st.lists(PAIRS, max_size=30), st.lists(PAIRS, max_size=6))
@settings(max_examples=50)
def test_of_neighbours_only_those_asked_for_are_answered(
    place: str, known: list[tuple[int, int]], asked: list[tuple[int, int]]
) -> None:
    tables, numbers = empty_tables(place), np.arange(len(known))
    tables.write(PAIR, pairs(known), rows_of_columns(PAIR, {"taste": numbers}, numbers))

    found = tables.read(PAIR, pairs(asked))

    newest = {pair: number for number, pair in enumerate(known)}
    assert found.found.tolist() == [pair in newest for pair in asked]
    assert found.values["taste"].tolist() == [newest.get(pair, 0) for pair in asked]
    tables.close()


def test_more_keys_than_one_statement_binds_are_read(tables: PackedTables) -> None:
    tables.write(VIDEO, [3, 39_999], video_rows([1, 2]))

    found = tables.read(VIDEO, np.arange(40_000))

    assert np.flatnonzero(found.found).tolist() == [3, 39_999]


def test_a_row_of_another_schema_is_not_found_and_counted(tables: PackedTables) -> None:
    tables.write(VIDEO, [1, 2], video_rows([10, 10]))
    wider = Schema(VIDEO.view, VIDEO.keys, (*VIDEO.features, ("more", "<f4")))
    tables.write(wider, [2], rows_of_columns(wider, {name: [1] for name in wider.names}, [11]))

    found = tables.read(VIDEO, [1, 2])
    keys, rows, _ = tables.changed_since(VIDEO, 0)

    assert found.found.tolist() == [True, False]
    assert (keys.tolist(), len(rows)) == ([[1]], 1)
    assert tables.foreign == 2


def test_projects_do_not_see_each_other(place: str) -> None:
    one, other = empty_tables(place), empty_tables(place)
    one.write(VIDEO, [1], video_rows([10]))

    assert not other.read(VIDEO, [1]).found.any()
    assert other.newest_us(VIDEO) == 0


def test_several_views_are_written_together_and_each_keeps_its_newest(tables: PackedTables) -> None:
    tables.write(VIDEO, [1], video_rows([20], [3]))
    tastes = rows_of_columns(PAIR, {"taste": [0.25, 0.5]}, [5, 6])

    written = tables.write_many(
        [(VIDEO, [1, 2], video_rows([10, 10], [7, 8])), (PAIR, [[7, 1], [7, 2]], tastes)]
    )

    assert written == 3
    assert tables.read(VIDEO, [1, 2]).values["clicks"].tolist() == [3, 8]
    assert tables.read(PAIR, [[7, 1], [7, 2]]).values["taste"].tolist() == [0.25, 0.5]
    assert (tables.newest_us(VIDEO), tables.newest_us(PAIR)) == (20, 6)


def test_a_batch_of_which_one_view_is_refused_writes_no_view(tables: PackedTables) -> None:
    with pytest.raises(ValueError, match="2 keys and 1 rows"):
        tables.write_many([(VIDEO, [1], video_rows([10])), (VIDEO, [1, 2], video_rows([10]))])

    assert not tables.read(VIDEO, [1]).found.any()


def test_what_one_opening_wrote_another_reads(place: str) -> None:
    open_packed(place, "shared").write(VIDEO, [1], video_rows([10], [5], until_us=[99]))

    found = open_packed(place, "shared").read(VIDEO, [1])

    assert (found.values["clicks"].tolist(), found.until_us.tolist()) == ([5], [99])


def test_a_version_the_store_never_gave_means_everything(tables: PackedTables) -> None:
    tables.write(VIDEO, [1, 2], video_rows([10, 10]))

    keys, _, latest = tables.changed_since(VIDEO, 10**9)

    assert sorted(keys[:, 0].tolist()) == [1, 2]
    assert 0 < latest < 10**9


def test_a_cleared_view_is_empty_and_others_stay(tables: PackedTables) -> None:
    tables.write(VIDEO, [1], video_rows([10]))
    tables.write(PAIR, [[1, 1]], rows_of_columns(PAIR, {"taste": [1.0]}, [5]))

    tables.stored.clear(VIDEO.view)

    assert not tables.read(VIDEO, [1]).found.any()
    assert len(tables.changed_since(VIDEO, 0)[0]) == 0
    assert tables.newest_us(VIDEO) == 0
    assert tables.read(PAIR, [[1, 1]]).found.all()


def test_as_many_rows_as_keys_must_be_written(tables: PackedTables) -> None:
    with pytest.raises(ValueError, match="2 keys and 1 rows"):
        tables.write(VIDEO, [1, 2], video_rows([10]))


def test_a_reader_sees_a_batch_whole_or_not_at_all(place: str) -> None:
    """Each batch gives all videos one number; no reading holds two, though it takes several statements."""
    tables, videos = empty_tables(place), np.arange(300)
    twin = Schema("twin", VIDEO.keys, VIDEO.features)
    with ThreadPoolExecutor(5) as pool:
        writing = pool.submit(_write_numbers, tables, videos)
        readers = [pool.submit(_numbers_seen, tables, videos, twin, writing.done) for _ in range(4)]
        seen = [numbers for reader in readers for numbers in reader.result()]

    assert all(len(numbers) == 1 for numbers in seen)
    assert tables.read(VIDEO, [0]).values["clicks"].tolist() == [60]


def _write_numbers(tables: PackedTables, videos: NDArray[np.int64]) -> None:
    for number in range(1, 61):
        tables.write(VIDEO, videos, video_rows(np.full(len(videos), number), number))


def _numbers_seen(
    tables: PackedTables, videos: NDArray[np.int64], twin: Schema, done: Callable[[], bool]
) -> list[set[int]]:
    seen = []
    while not done():
        first, _, last = tables.read_many([(VIDEO, videos[:150]), (twin, [1]), (VIDEO, videos[150:])])
        seen.append({*first.values["clicks"].tolist(), *last.values["clicks"].tolist()})
    return seen


def test_threads_that_write_at_once_lose_nothing(place: str) -> None:
    tables = empty_tables(place)
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda moment: tables.write(VIDEO, [1, 2], video_rows([moment, moment], moment)), range(40)
            )
        )

    assert tables.read(VIDEO, [1, 2]).since_us.tolist() == [39, 39]
    assert tables.changed_since(VIDEO, 0)[2] >= 40


def test_redis_without_its_client_says_which_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)

    with pytest.raises(ImportError, match=r"fourplanes\[redis\]"):
        open_packed("redis://127.0.0.1:1/0", "p")


def a_file_of_keys_front_to_back(path: Path) -> None:
    """As the store was before keys were turned: videos 1 and 300, written at versions 4 and 7."""
    keys, rows = encode_keys(VIDEO, [1, 300]), encode(VIDEO, video_rows([10, 20], [3, 5]))
    SqliteRows(path, "p").close()
    with closing(sqlite3.connect(path)) as file, file:
        file.execute(
            'create table "packed:p:video:rows" '
            "(key blob primary key, since_us integer, version integer, row blob) without rowid"
        )
        table = zip(keys, [10, 20], [4, 7], rows, strict=True)
        file.executemany('insert into "packed:p:video:rows" values (?, ?, ?, ?)', table)
        file.execute("insert or replace into packed_views values ('p', 'video', 7, 20)")


def test_a_file_of_keys_front_to_back_is_read_and_turned(tmp_path: Path) -> None:
    a_file_of_keys_front_to_back(tmp_path / "packed.db")

    first, other = (open_packed(tmp_path / "packed.db", "p") for _ in range(2))

    for tables in (first, other):
        assert tables.read(VIDEO, [300, 1, 2]).values["clicks"].tolist() == [5, 3, 0]
        assert (tables.changed_since(VIDEO, 4)[0].tolist(), tables.newest_us(VIDEO)) == ([[300]], 20)
    first.write(VIDEO, [1, 300], video_rows([11, 19], [4, 6]))
    assert other.changed_since(VIDEO, 7)[0].tolist() == [[1]]
    with closing(sqlite3.connect(tmp_path / "packed.db")) as file:
        assert not file.execute("select 1 from sqlite_master where name like '%:rows'").fetchall()


def test_what_an_older_build_wrote_after_the_turn_is_turned_where_it_is_newer(tmp_path: Path) -> None:
    tables = open_packed(tmp_path / "packed.db", "p")
    tables.write(VIDEO, [1, 300], video_rows([11, 19], [4, 6]))
    tables.close()
    a_file_of_keys_front_to_back(tmp_path / "packed.db")

    again = open_packed(tmp_path / "packed.db", "p").read(VIDEO, [1, 300])

    assert again.values["clicks"].tolist() == [4, 5]


@pytest.mark.parametrize(("asked", "ranges"), [([[7, 2], [7, 9]], 1), ([[7, 2], [8, 2]], 0)])
def test_only_keys_of_one_last_value_are_read_as_a_range(
    tmp_path: Path, asked: list[list[int]], ranges: int
) -> None:
    """By name: of a pair, (topic, user_id), the last is the user. A range of several would be anybody's."""
    rows = SqliteRows(tmp_path / "packed.db", "p")
    said: list[str] = []
    rows._connection().set_trace_callback(said.append)

    rows.fetch([(PAIR.view, encode_keys(PAIR, asked))])

    assert said[-1].count(" between ") == ranges


def test_a_file_opened_in_a_folder_to_come_is_made(tmp_path: Path) -> None:
    open_packed(tmp_path / "feast" / "packed.db", "p").close()

    assert (tmp_path / "feast" / "packed.db").exists()


def ordered_views(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as file:
        return [each for (each,) in file.execute("select tbl_name from sqlite_master where type = 'index'")]


def test_only_views_that_are_asked_what_changed_are_kept_in_that_order(tmp_path: Path) -> None:
    tables = open_packed(tmp_path / "packed.db", "p")
    tables.write(VIDEO, [1], video_rows([10], [3]))
    tables.read(PAIR, pairs([(1, 2)]))
    assert ordered_views(tmp_path / "packed.db") == []

    tables.changed_since(VIDEO, 0)

    assert ordered_views(tmp_path / "packed.db") == ["packed:p:video:turned rows"]


def test_a_store_that_takes_no_writes_says_what_changed(tmp_path: Path) -> None:
    path = tmp_path / "packed.db"
    writer, reader = open_packed(path, "p"), SqliteRows(path, "p", patience_s=0.01)
    writer.write(VIDEO, [1, 300], video_rows([10, 20], [3, 5]))
    reader.create("video")

    with closing(sqlite3.connect(path, isolation_level=None)) as another:
        another.execute("begin immediate")
        keys, _, version = reader.changed_since("video", 0)

    assert (len(keys), version) == (2, 1)
    assert ordered_views(path) == []
