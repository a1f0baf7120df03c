"""Does Feast work through the packed store as through its own, less that store's faults?"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, RepoConfig, ValueType
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Bool, Float32, Float64, Int32, Int64, String
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.packed_rows import Schema
from feature_repo.packed_store import EPOCH, PackedOnlineStore, schema_of, where
from feature_repo.packed_tables import PackedTables, open_packed
from tests.feature_repo.packed_stores import BACKENDS, a_place

PACKED = "feature_repo.packed_store.PackedOnlineStore"
START = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)

VIDEO = Entity(name="video", join_keys=["video_id"], value_type=ValueType.INT64)
TOPIC = Entity(name="topic", join_keys=["topic"], value_type=ValueType.INT64)
FEATURES = [
    Field(name="rate", dtype=Float32),
    Field(name="exact", dtype=Float64),
    Field(name="clicks", dtype=Int64),
    Field(name="band", dtype=Int32),
    Field(name="live", dtype=Bool),
]
NAMES = [field.name for field in FEATURES]
REFERENCES = [f"stats:{name}" for name in NAMES]

_projects = count()

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module", params=BACKENDS)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with a_place(request.param, tmp_path_factory.mktemp("packed")) as found:
        yield found


@pytest.fixture
def store(place: str, tmp_path: Path) -> FeatureStore:
    """A repository of a view that can be pushed to, and one of two keys, with three rows of history each."""
    opened = a_store(tmp_path, place_setting(place))
    opened.apply([VIDEO, TOPIC, *views(tmp_path)])
    return opened


def place_setting(place: str) -> dict[str, Any]:
    return {"type": PACKED, "redis_url" if place.startswith("redis") else "path": place}


def a_store(root: Path, online: dict[str, Any]) -> FeatureStore:
    """Every repository has a project of its own: the places are shared."""
    config = RepoConfig(
        project=f"q{next(_projects)}",
        provider="local",
        registry=str(root / f"{online['type'][-6:]}.db"),
        offline_store={"type": "duckdb"},
        online_store=online,
        entity_key_serialization_version=3,
        repo_path=root,
    )
    return FeatureStore(config=config)


def views(root: Path) -> list[FeatureView]:
    history = pd.concat([rows([1, 2], [minute, 2 * minute], clicks=minute) for minute in (0, 10, 20)])
    history.assign(topic=history["video_id"] + 100).to_parquet(root / "history.parquet")
    source = FileSource(path=str(root / "history.parquet"), timestamp_field="event_timestamp")
    pushed = PushSource(name="pushed", batch_source=source)
    keys = [Field(name="video_id", dtype=Int64), Field(name="topic", dtype=Int64)]
    return [
        FeatureView(name="stats", entities=[VIDEO], schema=[keys[0], *FEATURES], source=pushed),
        FeatureView(name="pairs", entities=[VIDEO, TOPIC], schema=[*keys, *FEATURES], source=source),
    ]


def rows(videos: list[int], minutes: list[float], **changes: Any) -> pd.DataFrame:
    n = len(videos)
    columns = {
        "video_id": videos,
        "rate": np.full(n, 0.25, np.float32),
        "exact": np.full(n, 0.1),
        "clicks": np.full(n, 2**53 + 1),
        "band": np.full(n, -3, np.int32),
        "live": np.full(n, True),
        "event_timestamp": pd.Series([START + minute * MINUTE for minute in minutes]).astype(
            "datetime64[us, UTC]"
        ),
    }
    return pd.DataFrame({**columns, **changes})


def read(store: FeatureStore, *videos: int) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = store.get_online_features(
        REFERENCES, [{"video_id": video} for video in videos]
    ).to_dict()
    return found


def fast_door(store: FeatureStore) -> tuple[PackedTables, Schema]:
    online = store.config.online_store
    tables = open_packed(where(store.config), store.project)
    assert online.type == PACKED
    return tables, schema_of(store.get_feature_view("stats"))


def test_what_is_pushed_is_read_back(store: FeatureStore) -> None:
    store.push("pushed", rows([1, 2], [0, 1], clicks=[5, 2**53 + 1]))

    assert read(store, 2, 1, 3) == {
        "video_id": [2, 1, 3],
        "rate": [0.25, 0.25, None],
        "exact": [0.1, 0.1, None],
        "clicks": [2**53 + 1, 5, None],
        "band": [-3, -3, None],
        "live": [True, True, None],
    }


def test_materialize_loads_the_newest_at_its_end_and_increments_go_on(store: FeatureStore) -> None:
    store.materialize(START - MINUTE, START + 15 * MINUTE)
    first = read(store, 1, 2)["clicks"]
    store.materialize_incremental(START + 60 * MINUTE)

    assert first == [10, 0]  # video 2 is at twice the minute
    assert read(store, 1, 2)["clicks"] == [20, 20]


def test_a_view_of_two_keys_is_read_by_both(store: FeatureStore) -> None:
    store.materialize(START - MINUTE, START + 60 * MINUTE)

    asked = [{"video_id": 1, "topic": 101}, {"video_id": 1, "topic": 102}]
    found = store.get_online_features(["pairs:clicks"], asked).to_dict()

    assert found["clicks"] == [20, None]


def test_an_older_value_never_replaces_a_newer_one_and_an_equal_one_does(store: FeatureStore) -> None:
    store.write_to_online_store("stats", rows([1], [10], clicks=[1]))
    store.write_to_online_store("stats", rows([1], [9.999], clicks=[2]))
    older = read(store, 1)["clicks"]
    store.write_to_online_store("stats", rows([1], [10], clicks=[3]))

    assert older == [1]
    assert read(store, 1)["clicks"] == [3]


def test_materializing_late_does_not_undo_a_push(store: FeatureStore) -> None:
    store.push("pushed", rows([1], [30], clicks=[99]))
    store.materialize(START - MINUTE, START + 25 * MINUTE)

    assert read(store, 1)["clicks"] == [99]


def test_a_null_comes_back_as_a_null_and_a_zero_as_a_zero(store: FeatureStore) -> None:
    clicks = pd.array([None, 0], dtype="Int64")
    store.push("pushed", rows([1, 2], [0, 0], clicks=clicks, rate=np.asarray([np.nan, 0], np.float32)))

    found = read(store, 1, 2)

    assert found["clicks"] == [None, 0]
    assert found["rate"] == [None, 0.0]


def test_an_incomplete_push_is_refused_whole(store: FeatureStore) -> None:
    with pytest.raises(KeyError, match="clicks"):
        store.push("pushed", rows([1], [0]).drop(columns="clicks"))

    assert read(store, 1)["rate"] == [None]


def test_a_row_without_a_feature_refuses_its_batch_and_names_the_feature(store: FeatureStore) -> None:
    view, online = store.get_feature_view("stats"), PackedOnlineStore()
    whole = {name: Value() for name in NAMES}
    keys = [_key(1), _key(2)]
    batch = [(keys[0], whole, START, None), (keys[1], {**whole, "extra": Value()}, START, None)]

    with pytest.raises(ValueError, match=r"view 'stats' has \['extra'\] besides"):
        online.online_write_batch(store.config, view, batch, None)
    with pytest.raises(ValueError, match=r"view 'stats' lacks \['band', 'clicks', 'exact', 'live'\]"):
        online.online_write_batch(
            store.config, view, [batch[0], (keys[1], {"rate": Value()}, START, None)], None
        )

    assert online.online_read(store.config, view, keys) == [(None, None), (None, None)]


def test_a_value_of_another_kind_is_refused(store: FeatureStore) -> None:
    values = {**{name: Value() for name in NAMES}, "rate": Value(double_val=0.1)}

    with pytest.raises(TypeError, match="'rate' holds a double_val, must be float_val"):
        PackedOnlineStore().online_write_batch(
            store.config, store.get_feature_view("stats"), [(_key(1), values, START, None)], None
        )


def _key(video: int) -> Any:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey

    return EntityKey(join_keys=["video_id"], entity_values=[Value(int64_val=video)])


def test_only_what_is_asked_for_is_read_and_a_moment_is_utc_to_the_microsecond(store: FeatureStore) -> None:
    view, online = store.get_feature_view("stats"), PackedOnlineStore()
    naive = dt.datetime(2026, 6, 1, 1, 2, 3, 456789)
    values = {**{name: Value() for name in NAMES}, "rate": Value(float_val=0.5)}
    online.online_write_batch(store.config, view, [(_key(1), values, naive, None)], None)

    found = online.online_read(store.config, view, [_key(1)], ["rate"])

    assert found == [(naive.replace(tzinfo=dt.UTC), {"rate": Value(float_val=0.5)})]


def test_a_feature_that_cannot_be_packed_is_refused_when_applied(place: str, tmp_path: Path) -> None:
    (view, _) = views(tmp_path)
    titled = FeatureView(
        name="titles",
        entities=[VIDEO],
        schema=[Field(name="video_id", dtype=Int64), Field(name="title", dtype=String)],
        source=view.batch_source,
    )

    with pytest.raises(TypeError, match="feature 'title' of view 'titles' is String"):
        a_store(tmp_path, place_setting(place)).apply([VIDEO, titled])


def test_a_view_that_is_deleted_and_a_store_torn_down_are_empty(store: FeatureStore) -> None:
    tables, schema = fast_door(store)
    store.push("pushed", rows([1], [0]))
    store.apply([], objects_to_delete=[store.get_feature_view("stats")], partial=False)
    deleted = tables.read(schema, [1]).found.any()
    store.apply([VIDEO, views(Path(store.config.repo_path))[0]])
    store.push("pushed", rows([1], [0]))
    store.teardown()

    assert not deleted
    assert not tables.read(schema, [1]).found.any()


def test_a_store_has_a_path_or_a_redis_and_not_both(tmp_path: Path) -> None:
    for settings_ in ({}, {"path": "a.db", "redis_url": "redis://127.0.0.1:1"}):
        with pytest.raises(ValueError, match="must have one"):
            where(a_store(tmp_path, {"type": PACKED, **settings_}).config)


def test_a_relative_path_is_from_the_repository(tmp_path: Path) -> None:
    store = a_store(tmp_path, {"type": PACKED, "path": "online/packed.db"})
    store.apply([VIDEO, views(tmp_path)[0]])

    assert (tmp_path / "online" / "packed.db").exists()


def test_values_and_moments_equal_those_of_feasts_sqlite_store(tmp_path: Path) -> None:
    stores = [
        a_store(tmp_path, {"type": PACKED, "path": str(tmp_path / "packed.db")}),
        a_store(tmp_path, {"type": "sqlite", "path": str(tmp_path / "feast.db")}),
    ]
    answers = []
    for store in stores:
        store.apply([VIDEO, TOPIC, *views(tmp_path)])
        store.materialize(START - MINUTE, START + 60 * MINUTE)
        answers.append(store.get_online_features(REFERENCES, {"video_id": [2, 7, 1]}).proto)

    assert answers[0] == answers[1]


TOLD = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), max_size=8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_both_doors_open_to_the_same_rows(backend: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("doors")
    with a_place(backend, root) as place:
        store = a_store(root, place_setting(place))
        store.apply([VIDEO, TOPIC, *views(root)])
        _both_doors_agree(store)


def _both_doors_agree(store: FeatureStore) -> None:
    tables, schema = fast_door(store)
    view = store.get_feature_view("stats")
    online = PackedOnlineStore()

    @given(TOLD)
    @settings(max_examples=30)
    def agree(told: list[tuple[int, int, bool]]) -> None:
        tables.stored.clear("stats")
        newest: dict[int, tuple[int, int]] = {}
        for number, (video, minute, by_feast) in enumerate(told):
            _tell(store, tables, schema, rows([video], [minute], clicks=[number]), by_feast)
            newest[video] = max(newest.get(video, (0, -1)), (minute, number))

        fast = tables.read(schema, np.arange(4))
        feasts = online.online_read(store.config, view, [_key(video) for video in range(4)])
        clicks = [newest[video][1] if video in newest else None for video in range(4)]
        assert [values["clicks"].int64_val if values else None for _, values in feasts] == clicks
        assert [
            row["clicks"] if found else None for row, found in zip(fast.values, fast.found, strict=True)
        ] == clicks
        assert [
            (at - EPOCH) // dt.timedelta(microseconds=1) if at else 0 for at, _ in feasts
        ] == fast.since_us.tolist()

    agree()


def _tell(
    store: FeatureStore, tables: PackedTables, schema: Schema, told: pd.DataFrame, by_feast: bool
) -> None:
    from feature_repo.packed_rows import rows_of_columns

    if by_feast:
        store.write_to_online_store("stats", told)
    else:
        since = told["event_timestamp"].astype("int64").to_numpy()
        columns = {name: told[name].to_numpy() for name in NAMES}
        tables.write(schema, told["video_id"].to_numpy(), rows_of_columns(schema, columns, since))
