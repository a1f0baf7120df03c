"""Does our historical join answer what Feast's DuckDB store answers, and what sorting by hand answers?"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float32, Int64
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.asof_store import Join, as_of
from feature_repo.clock import INSTANT
from tests.feature_repo.builders import at

OURS, FEASTS = "feature_repo.asof_store.AsOfOfflineStore", "duckdb"
HOUR = dt.timedelta(hours=1)

UID = Entity(name="uid", join_keys=["uid"], value_type=ValueType.INT64)
CAT = Entity(name="cat", join_keys=["cat"], value_type=ValueType.INT64)


def a_store(root: Path, offline: str) -> FeatureStore:
    """A repository of two views, one of them with two keys; late, repeated and expired rows among them."""
    view = _view(root, "plain", [UID], 2 * HOUR)
    crossed = _view(root, "crossed", [UID, CAT], None)
    config = RepoConfig(
        project="p",
        provider="local",
        registry=str(root / f"{offline}.db"),
        offline_store={"type": offline},
        online_store={"type": "sqlite", "path": str(root / "online.db")},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    store.apply([UID, CAT, view, crossed])
    return store


def _view(root: Path, name: str, entities: list[Any], ttl: dt.timedelta | None) -> FeatureView:
    path = root / f"{name}.parquet"
    if not path.exists():
        feature_rows(np.random.default_rng(len(name)), name).write_parquet(path)
    return FeatureView(
        name=name,
        entities=entities,
        ttl=ttl,
        schema=[
            *(Field(name=e.name, dtype=Int64) for e in entities),
            Field(name=f"{name}_x", dtype=Float32),
            Field(name=f"{name}_n", dtype=Int64),
        ],
        source=FileSource(path=str(path), timestamp_field="ts", created_timestamp_column="created"),
    )


def feature_rows(rng: np.random.Generator, name: str, n: int = 600) -> pl.DataFrame:
    """Unsorted, with equal event times told apart by when they were created, some created late."""
    event = rng.integers(0, 96, n) * 900_000_000 + at()
    late = rng.choice([0, 0, 3_600_000_000, 9_000_000_000], n)
    created = event + late + np.arange(n)  # unique: equal moments would leave the answer open
    return pl.DataFrame(
        {
            "uid": rng.integers(0, 12, n),
            "cat": rng.integers(0, 3, n),
            f"{name}_x": rng.random(n).astype(np.float32),
            f"{name}_n": rng.integers(0, 10**12, n),
            "ts": pl.Series(event).cast(INSTANT),
            "created": pl.Series(created).cast(INSTANT),
        }
    )


def questions(n: int = 500) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    moments = rng.integers(-2, 110, n) * 900_000_000 + at()
    return pd.DataFrame(
        {
            "row": np.arange(n),
            "uid": rng.integers(0, 14, n),
            "cat": rng.integers(0, 4, n),
            "event_timestamp": pd.Series(moments).astype("datetime64[us]").dt.tz_localize("UTC"),
        }
    )


REFERENCES = ["plain:plain_x", "plain:plain_n", "crossed:crossed_x", "crossed:crossed_n"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(tmp_path_factory.mktemp("asof"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("known_only", [True, False])
def test_every_cell_equals_feasts_duckdb_store(root: Path, known_only: bool) -> None:
    ours, feasts = (
        a_store(root, kind)
        .get_historical_features(questions(), REFERENCES, filter_by_created_timestamp=known_only)
        .to_df()
        .sort_values("row", ignore_index=True)
        for kind in (OURS, FEASTS)
    )

    assert ours["plain_x"].notna().sum() > 100
    assert ours["plain_x"].isna().sum() > 20
    pd.testing.assert_frame_equal(ours, feasts[ours.columns], check_dtype=False)


def test_rows_come_back_in_the_order_they_went_in(root: Path) -> None:
    asked = questions().sample(frac=1, random_state=3)

    found = a_store(root, OURS).get_historical_features(asked, REFERENCES).to_df()

    assert found["row"].tolist() == asked["row"].tolist()


def test_no_questions_have_no_answers(root: Path) -> None:
    assert len(a_store(root, OURS).get_historical_features(questions().head(0), REFERENCES).to_df()) == 0


def test_moments_without_a_zone_are_utc(root: Path) -> None:
    store, naive = a_store(root, OURS), questions()
    naive["event_timestamp"] = naive["event_timestamp"].dt.tz_localize(None)

    aware = store.get_historical_features(questions(), REFERENCES).to_df()
    assert store.get_historical_features(naive, REFERENCES).to_df()["plain_n"].equals(aware["plain_n"])


def test_a_question_named_like_a_feature_is_refused(root: Path) -> None:
    with pytest.raises(ValueError, match="'plain_x', which is a feature"):
        a_store(root, OURS).get_historical_features(questions().assign(plain_x=1.0), REFERENCES)


def test_a_question_without_a_key_is_refused(root: Path) -> None:
    with pytest.raises((KeyError, ValueError), match="cat"):
        a_store(root, OURS).get_historical_features(questions().drop(columns="cat"), REFERENCES)


rows = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12), st.integers(0, 6)), max_size=25)


def answer_by_hand(told: list[tuple[int, int, int]], key: int, moment: int, ttl: int | None) -> int | None:
    """The number of the newest row of the key, known by then and not expired."""
    known = [
        (event, event + late, number)
        for number, (mine, event, late) in enumerate(told)
        if mine == key and event + late <= moment
    ]
    if not known:
        return None
    event, _, number = max(known)
    return None if ttl is not None and moment - event > ttl else number


@given(
    rows,
    st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 20)), min_size=1, max_size=10),
    st.integers(0, 8),
)
@settings(max_examples=150, deadline=None)
def test_an_answer_is_the_newest_known_row_within_the_ttl(
    tmp_path_factory: pytest.TempPathFactory,
    told: list[tuple[int, int, int]],
    asked: list[tuple[int, int]],
    ttl: int,
) -> None:
    path = tmp_path_factory.getbasetemp() / "told.parquet"
    table = np.asarray(told, np.int64).reshape(-1, 3)
    moments = {
        "ts": pl.Series(table[:, 1]).cast(INSTANT),
        "created": pl.Series(table[:, 1] + table[:, 2]).cast(INSTANT),
    }
    pl.DataFrame({"key": table[:, 0], "number": np.arange(len(table)), **moments}).write_parquet(path)
    reach = dt.timedelta(microseconds=ttl) if ttl else None
    join = Join(str(path), {"key": "key"}, {"number": "number"}, "ts", "created", reach)
    wanted = np.asarray(asked, np.int64)

    (found,) = as_of(
        pl.DataFrame({"key": wanted[:, 0], "asked_at": pl.Series(wanted[:, 1]).cast(INSTANT)}), join, True
    )

    assert found.to_list() == [answer_by_hand(told, key, moment, ttl or None) for key, moment in asked]
