"""Does the rest of Feast run through our store: names, folders, on-demand views, saved datasets, SQL?"""

from __future__ import annotations

import datetime as dt
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from feast import FeatureService, FeatureStore, FeatureView, Field, FileSource, RequestSource
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Float64, Int64

import feature_repo.asof_store
from tests.feature_repo.asof_stores import (
    FEASTS,
    HOUR,
    OURS,
    REFERENCES,
    UID,
    a_store,
    a_view,
    asked_of,
    expect_the_same,
    questions,
)
from tests.feature_repo.builders import at

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(tmp_path_factory.mktemp("asof"))


def test_a_view_renamed_on_some_of_its_keys_keeps_the_others(root: Path) -> None:
    store, asked = a_store(root), questions().rename(columns={"uid": "author"})
    service = a_service(store, store.get_feature_view("crossed").with_join_key_map({"uid": "author"}))

    found = asked_of(store, asked, service)

    assert found["crossed_n"].equals(asked_of(store, questions())["crossed_n"])


def a_service(store: FeatureStore, *views: Any) -> FeatureService:
    service = FeatureService(name="asked", features=list(views))
    store.apply(service)
    return service


def test_one_view_under_two_names_answers_for_both_keys(root: Path) -> None:
    store = a_store(root)
    view = store.get_feature_view("plain")
    theirs = view.with_name("theirs").with_join_key_map({"uid": "author"})
    both = a_service(store, view.with_name("mine"), theirs)
    asked = questions().assign(author=lambda q: (q["uid"] + 1) % 14)

    found = asked_of(store, asked, both, full_feature_names=True)

    plain = asked_of(store, questions())["plain_n"]
    assert found["mine__plain_n"].equals(plain)
    other = asked_of(store, questions().assign(uid=asked["author"]))["plain_n"]
    assert found["theirs__plain_n"].equals(other)


def test_columns_of_a_source_may_have_other_names(root: Path, tmp_path: Path) -> None:
    renamed = {"who": "uid", "f": "plain_x", "when": "ts"}
    rows = pl.read_parquet(root / "plain.parquet")
    rows.rename({new: old for old, new in renamed.items()}).write_parquet(tmp_path / "plain.parquet")
    view = a_view(tmp_path, "plain", [UID], 2 * HOUR, field_mapping=renamed)

    found = asked_of(a_store(tmp_path, views=[view]), questions(), REFERENCES[:2])

    assert found["plain_x"].equals(asked_of(a_store(root), questions())["plain_x"])


def test_a_view_of_nothing_in_particular_has_one_answer_per_moment(tmp_path: Path) -> None:
    view = a_view(tmp_path, "plain", [], 2 * HOUR)
    ours, feasts = (
        asked_of(a_store(tmp_path, kind, views=[view]), questions(), REFERENCES[:2])
        for kind in (OURS, FEASTS)
    )

    assert ours["plain_x"].notna().sum() > 100
    expect_the_same(ours, feasts)


def test_a_relative_path_is_below_the_repository(tmp_path: Path) -> None:
    view = a_view(tmp_path, "plain", [UID], 2 * HOUR, path="plain.parquet")
    store = a_store(tmp_path, views=[view])

    store.materialize(dt.datetime(2000, 1, 1), dt.datetime(2100, 1, 1))

    assert asked_of(store, questions(), REFERENCES[:2])["plain_x"].notna().any()
    assert online(store, range(12))["plain_n"] != [None] * 12


def online(store: FeatureStore, people: Sequence[int]) -> dict[str, Any]:
    found: dict[str, Any] = store.get_online_features(
        REFERENCES[:2], [{"uid": person} for person in people]
    ).to_dict()
    return found


def test_a_folder_of_files_is_joined_and_materialized_like_one_file(root: Path, tmp_path: Path) -> None:
    rows, folder = pl.read_parquet(root / "plain.parquet"), tmp_path / "plain"
    folder.mkdir()
    for part in range(3):
        rows[part * 200 : part * 200 + 200].write_parquet(folder / f"{part}.parquet")
    (folder / "_3.parquet").write_bytes(b"half a file")
    whole = a_store(root)
    parts = a_store(tmp_path, views=[a_view(root, "plain", [UID], 2 * HOUR, path="plain")])
    for store in (whole, parts):
        store.materialize_incremental(dt.datetime(2100, 1, 1, tzinfo=dt.UTC), feature_views=["plain"])

    assert asked_of(parts, questions(), REFERENCES[:2]).equals(asked_of(whole, questions(), REFERENCES[:2]))
    assert online(parts, range(12)) == online(whole, range(12))


@on_demand_feature_view(  # type: ignore[untyped-decorator]
    sources=[
        FeatureView(
            name="plain",
            entities=[UID],
            schema=[Field(name="uid", dtype=Int64), Field(name="plain_x", dtype=Float32)],
            source=FileSource(path="plain.parquet", timestamp_field="ts"),
        ),
        RequestSource(name="asked", schema=[Field(name="row", dtype=Int64)]),
    ],
    schema=[Field(name="twice", dtype=Float64)],
)
def derived(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"twice": 2.0 * inputs["plain_x"] + inputs["row"]})


def test_views_computed_on_demand_see_the_joined_rows(tmp_path: Path) -> None:
    views = [a_view(tmp_path, "plain", [UID], 2 * HOUR), derived]

    found = asked_of(a_store(tmp_path, views=views), questions(), ["derived:twice"])

    assert found["twice"].notna().sum() > 100
    assert np.allclose(found["twice"], 2.0 * found["plain_x"] + found["row"], equal_nan=True)
    with pytest.raises(ValueError, match="'twice', which is a feature"):
        asked_of(a_store(tmp_path, views=views), questions().assign(twice=1.0), ["derived:twice"])


def test_two_features_of_one_name_are_refused(tmp_path: Path) -> None:
    plain = a_view(tmp_path, "plain", [UID], 2 * HOUR)
    twin = FeatureView(name="twin", entities=[UID], schema=plain.schema, source=plain.batch_source)
    store = a_store(tmp_path, views=[plain, twin, derived])

    with pytest.raises(ValueError, match="two views have a feature 'plain_x'"):
        asked_of(store, questions(), ["twin:plain_x", "derived:twice"])


def test_a_saved_dataset_holds_what_was_joined(root: Path) -> None:
    store = a_store(root)
    job = store.get_historical_features(questions(), REFERENCES)

    saved = store.create_saved_dataset(
        job, "kept", SavedDatasetFileStorage("kept.parquet"), allow_overwrite=True
    )

    kept = pd.read_parquet(root / "kept.parquet")
    pd.testing.assert_frame_equal(kept, job.to_df())
    read = store.get_saved_dataset("kept").to_df()
    assert sorted(read["plain_x"].dropna()) == sorted(kept["plain_x"].dropna())
    assert saved.min_event_timestamp == questions()["event_timestamp"].min()


def test_questions_may_be_sql_over_files_of_the_repository(root: Path) -> None:
    questions().to_parquet(root / "asked.parquet")

    found = asked_of(a_store(root), "SELECT * FROM 'asked.parquet' ORDER BY row")

    expect_the_same(found, asked_of(a_store(root), questions()))


def test_without_questions_every_key_of_the_window_is_answered_at_its_end(root: Path) -> None:
    store = a_store(root)
    start, end = (pd.Timestamp(at() + hours * 3_600_000_000, unit="us", tz="UTC") for hours in (3, 5))

    found = store.get_historical_features(None, REFERENCES[:2], start_date=start, end_date=end).to_df()

    seen = pl.read_parquet(root / "plain.parquet").filter(pl.col("ts").is_between(start, end))
    assert found["uid"].tolist() == sorted(seen["uid"].unique().to_list())
    asked = found[["uid", "event_timestamp"]].assign(event_timestamp=end)
    assert found["plain_n"].equals(asked_of(store, asked, REFERENCES[:2])["plain_n"])


def test_rows_pushed_offline_are_joined_from_then_on(tmp_path: Path) -> None:
    store = a_store(tmp_path, views=[a_view(tmp_path, "plain", [UID], 2 * HOUR, path="plain.parquet")])
    rows = pd.read_parquet(tmp_path / "plain.parquet").head(1).assign(uid=99, plain_n=7)

    store.write_to_offline_store("plain", rows, reorder_columns=True)

    asked = rows[["uid", "ts"]].rename(columns={"ts": "event_timestamp"})
    assert asked_of(store, asked, REFERENCES[:2])["plain_n"].tolist() == [7]
    assert len(pd.read_parquet(tmp_path / "plain.parquet")) == 601
    assert not list(tmp_path.glob(".*"))


def test_the_three_files_can_be_copied_into_another_repository(tmp_path: Path) -> None:
    package = tmp_path / "lifted"
    package.mkdir()
    for name in ("asof_store.py", "asof_join.py", "asof_search.py"):
        shutil.copy(Path(feature_repo.asof_store.__file__).with_name(name), package)
    script = (
        "import sys; from lifted.asof_store import AsOfOfflineStoreConfig as C; print(C().type);"
        "assert not any(name.startswith('feature_repo') for name in sys.modules)"
    )

    told = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert told.stdout.strip() == "lifted.asof_store.AsOfOfflineStore"
