"""Is every answer the one found by looking at every row? And are sources that cannot be trusted refused?"""

from __future__ import annotations

import ast
import datetime as dt
import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import feature_repo.asof_join
import feature_repo.asof_search
from feature_repo.asof_join import INSTANT, Join, as_of, files_of, keys_between

Told = tuple[int | None, int | None, int | None, int | None]
"""A feature row: two keys, event time, how much later it was created; a null is written as a null."""
Asked = tuple[int | None, int | None, int | None]

few = st.none() | st.integers(0, 2)
told_rows = st.lists(
    st.tuples(few, few, st.none() | st.integers(0, 9), st.none() | st.integers(0, 6)), max_size=25
)
asked_rows = st.lists(st.tuples(few, few, st.none() | st.integers(-1, 16)), max_size=12)


def moments(values: Sequence[int | None]) -> pl.Series:
    return pl.Series(values, dtype=pl.Int64).cast(INSTANT)


def a_table(told: Sequence[Told]) -> pl.DataFrame:
    """The rows with their number, in the order they are written."""
    created = [None if e is None or late is None else e + late for _, _, e, late in told]
    return pl.DataFrame(
        {
            "a": pl.Series([row[0] for row in told], dtype=pl.Int32),
            "b": pl.Series([row[1] for row in told], dtype=pl.Int64),
            "number": pl.Series(range(len(told)), dtype=pl.Int64),
            "ts": moments([row[2] for row in told]),
            "created": moments(created),
        }
    )


def a_join(path: Path, keys: Sequence[str] = ("a", "b"), ttl_us: int | None = None) -> Join:
    ttl = None if ttl_us is None else dt.timedelta(microseconds=ttl_us)
    return Join(str(path), {key: key for key in keys}, {"number": "number"}, "ts", "created", ttl)


def a_source(folder: Path, told: Sequence[Told] = ((1, 1, 0, 0),), name: str = "told.parquet") -> Path:
    path = folder / name
    a_table(told).write_parquet(path)
    return path


def asks(asked: Sequence[Asked]) -> pl.DataFrame:
    keys = pl.DataFrame([row[:2] for row in asked], {"a": pl.Int64, "b": pl.Int64}, orient="row")
    return keys.with_columns(asked_at=moments([row[2] for row in asked]))


def by_hand(
    table: pl.DataFrame, asked: Asked, keys: Sequence[str], ttl_us: int | None, known_only: bool
) -> int | None:
    """Every row is looked at: of those that may answer, the newest event, then created, then written."""
    best: tuple[int, int, int] | None = None
    answer: int | None = None
    wanted = dict(zip(("a", "b"), asked, strict=False))
    rows = table.with_columns(pl.col("ts", "created").to_physical()).to_dicts()
    for place, row in enumerate(rows):
        moment, event, created = asked[2], row["ts"], row["created"]
        if moment is None or event is None or event > moment:
            continue
        if any(row[key] is None or row[key] != wanted[key] for key in keys):
            continue
        if known_only and (created is None or created > moment):
            continue
        if ttl_us is not None and moment - event > ttl_us:
            continue
        rank = (event, -1 if created is None else created, place)
        if best is None or rank > best:
            best, answer = rank, row["number"]
    return answer


@given(told_rows, asked_rows, st.none() | st.integers(1, 8), st.booleans(), st.booleans(), st.integers(0, 2))
@settings(max_examples=300, deadline=None)
def test_an_answer_is_the_newest_row_that_could_be_known(
    tmp_path_factory: pytest.TempPathFactory,
    told: list[Told],
    asked: list[Asked],
    ttl_us: int | None,
    known_only: bool,
    sorted_by_key: bool,
    width: int,
) -> None:
    keys, path = ("a", "b")[:width], tmp_path_factory.getbasetemp() / "told.parquet"
    table = a_table(told)
    table = table.sort(*keys, "ts", maintain_order=True) if sorted_by_key else table
    table.write_parquet(path)

    (found,) = as_of(asks(asked), a_join(path, keys, ttl_us), known_only)

    assert found.to_list() == [by_hand(table, row, keys, ttl_us, known_only) for row in asked]


def test_a_correction_answers_only_once_it_was_created(tmp_path: Path) -> None:
    join = a_join(a_source(tmp_path, [(1, 1, 10, 0), (1, 1, 10, 5), (1, 1, 4, 9)]))
    asked = asks([(1, 1, moment) for moment in (9, 10, 14, 15, 20)])

    assert as_of(asked, join, known_only=True)[0].to_list() == [None, 0, 0, 1, 1]
    assert as_of(asked, join, known_only=False)[0].to_list() == [2, 1, 1, 1, 1]


def test_of_equal_rows_the_last_written_wins(tmp_path: Path) -> None:
    join = a_join(a_source(tmp_path, [(1, 1, 3, 0)] * 50))

    assert as_of(asks([(1, 1, 3)]), join, known_only=False)[0].to_list() == [49]


def test_text_keys_and_keys_too_wide_to_number_are_joined_too(tmp_path: Path) -> None:
    wide = a_table([(1, 2**62, 0, 0), (1, -(2**62), 0, 0), (0, None, 0, 0)])
    wide.write_parquet(tmp_path / "wide.parquet")
    texts = wide.with_columns(pl.col("b").cast(pl.String).cast(pl.Categorical))
    texts.write_parquet(tmp_path / "texts.parquet")
    asked = asks([(1, -(2**62), 1), (1, 2**62, 1), (0, None, 1), (1, 7, 1)])

    (numbers,) = as_of(asked, a_join(tmp_path / "wide.parquet"), known_only=False)
    (words,) = as_of(asked.cast({"b": pl.String}), a_join(tmp_path / "texts.parquet"), known_only=False)

    assert numbers.to_list() == words.to_list() == [1, 0, None, None]


def test_a_key_the_source_cannot_hold_finds_nothing(tmp_path: Path) -> None:
    join = a_join(a_source(tmp_path, [(1, 1, 0, 0), (2, 0, 0, 0)]))

    (found,) = as_of(asks([(2**32 + 1, 1, 5), (1, 1, 5), (1, 2, 5), (2, 0, 5)]), join, known_only=False)

    assert found.to_list() == [None, 0, None, 1]


def test_whole_floats_are_keys_and_fractions_are_not(tmp_path: Path) -> None:
    join, asked = a_join(a_source(tmp_path)), asks([(1, 1, 5), (None, 1, 5)])

    (found,) = as_of(asked.cast({"a": pl.Float64}), join, known_only=False)
    assert found.to_list() == [0, None]
    with pytest.raises(TypeError, match="'a' of entity_df is Float64 with fractions, must be Int32"):
        as_of(asked.with_columns(a=pl.lit(1.5)), join, known_only=False)


def test_text_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(
        TypeError, match=r"'b' of entity_df is String, must be Int64 like 'b' of .*told.parquet"
    ):
        as_of(asks([(1, 1, 5)]).cast({"b": pl.String}), a_join(a_source(tmp_path)), known_only=False)


def test_a_folder_is_the_rows_of_its_finished_files(tmp_path: Path) -> None:
    (tmp_path / "day=2").mkdir()
    a_source(tmp_path, [(1, 1, 0, 0)], "one.parquet")
    a_source(tmp_path / "day=2", [(1, 1, 0, 0), (1, 1, 5, 0)], "two.parquet")
    for unfinished in (".three.parquet", "_three.parquet", "three.parquet.tmp"):
        (tmp_path / unfinished).write_bytes(b"half a file")

    (found,) = as_of(asks([(1, 1, 9)]), a_join(tmp_path), known_only=True)

    assert [file.name for file in files_of(str(tmp_path))] == ["two.parquet", "one.parquet"]
    assert found.to_list() == [1]


def test_a_file_that_was_cut_off_is_refused_by_name(tmp_path: Path) -> None:
    a_source(tmp_path)
    whole = a_source(tmp_path, name="cut.parquet")
    whole.write_bytes(whole.read_bytes()[:-20])

    with pytest.raises(ValueError, match=r"cut\.parquet is no whole parquet file"):
        as_of(asks([(1, 1, 9)]), a_join(tmp_path), known_only=False)


def test_files_of_a_folder_must_agree(tmp_path: Path) -> None:
    a_table([(1, 1, 0, 0)]).write_parquet(tmp_path / "1.parquet")
    a_table([(1, 1, 0, 0)]).cast({"number": pl.Int32}).write_parquet(tmp_path / "2.parquet")
    with pytest.raises(
        TypeError, match=r"'number' of .*2\.parquet is Int32, must be Int64 as in .*1\.parquet"
    ):
        as_of(asks([]), a_join(tmp_path), known_only=False)

    a_table([(1, 1, 0, 0)]).drop("number").write_parquet(tmp_path / "2.parquet")
    with pytest.raises(KeyError, match=r"2\.parquet has no column 'number'; it has a, b, ts, created"):
        as_of(asks([]), a_join(tmp_path), known_only=False)


def test_a_source_must_be_there_and_hold_something(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file or folder .*nowhere"):
        files_of(str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"no \.parquet file in"):
        files_of(str(tmp_path))


@pytest.mark.parametrize("dtype", [pl.Datetime("ns", "Europe/Berlin"), pl.Datetime("ms"), pl.Date])
def test_a_source_may_keep_its_time_in_any_unit_and_zone(tmp_path: Path, dtype: pl.DataType) -> None:
    day_us = 86_400_000_000
    zoned = isinstance(dtype, pl.Datetime) and dtype.time_zone is not None
    at = pl.col("ts", "created") if zoned else pl.col("ts", "created").dt.replace_time_zone(None)
    a_table([(1, 1, day_us, 0)]).with_columns(at.cast(dtype)).write_parquet(tmp_path / "told.parquet")

    (found,) = as_of(asks([(1, 1, day_us - 1), (1, 1, day_us)]), a_join(tmp_path), known_only=True)

    assert found.to_list() == [None, 0]


def test_a_source_whose_time_is_a_number_is_refused(tmp_path: Path) -> None:
    a_table([(1, 1, 0, 0)]).cast({"ts": pl.Int64}).write_parquet(tmp_path / "told.parquet")

    with pytest.raises(TypeError, match=r"column 'ts' of .* is Int64, must be a timestamp"):
        as_of(asks([(1, 1, 9)]), a_join(tmp_path), known_only=False)


def test_the_keys_between_two_moments_are_those_with_a_row_then(tmp_path: Path) -> None:
    first, second = a_source(tmp_path, [(1, 1, 4, 0), (1, 2, 5, 0)]), tmp_path / "other.parquet"
    a_table([(0, 1, 6, 0), (1, 2, 6, 0), (9, 9, 7, 0), (None, 1, 6, 0)]).write_parquet(second)
    start, end = (dt.datetime(1970, 1, 1, 0, 0, 0, moment, dt.UTC) for moment in (5, 6))

    assert keys_between([a_join(first), a_join(second)], start, end).rows() == [(0, 1), (1, 2)]
    with pytest.raises(ValueError, match=r"views have keys \['a', 'b'\] and \['a'\]"):
        keys_between([a_join(first), a_join(second, ["a"])], start, end)


def test_the_join_needs_nothing_of_this_project() -> None:
    named = set()
    for module in (feature_repo.asof_join, feature_repo.asof_search):
        for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                named.add(str(node.module).split(".")[0])
            if isinstance(node, ast.Import):
                named |= {alias.name.split(".")[0] for alias in node.names}

    assert named - sys.stdlib_module_names == {"polars", "numpy", "numba", "asof_search"}
