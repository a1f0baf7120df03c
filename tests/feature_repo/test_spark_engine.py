"""Does Spark write the embedded engine's files, and join training rows as the embedded store does?"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from feature_repo.catalogue import VIEWS, View
from feature_repo.clock import INSTANT
from feature_repo.labels import events_between, labels
from feature_repo.log import EventLog
from feature_repo.places import Places
from feature_repo.schemas import BadLog
from feature_repo.spark_engine import NoSpark, missing_for_spark, session, write_steps
from feature_repo.steps import read_manifest, source_of
from feature_repo.steps_sql import order_of
from feature_repo.store import training_features
from labs.engines import steps_compared, training_compared
from tests.feature_repo.builders import a_story, at
from tests.feature_repo.conftest import LAST

MISSING = missing_for_spark()
with_spark = pytest.mark.skipif(MISSING is not None, reason=f"Spark needs {MISSING}")


@pytest.fixture(scope="module")
def on_spark(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The busy world's feature files as Spark writes them."""
    features = Path(tmp_path_factory.mktemp("spark")) / "features"
    write_steps(EventLog(places.log), features, LAST)
    return features


@with_spark
@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_every_cell_on_spark_is_the_embedded_engines(view: View, places: Places, on_spark: Path) -> None:
    ours, theirs = (pl.read_parquet(source_of(each, view)) for each in (places.features, on_spark))

    assert steps_compared(view, ours, theirs).differing == 0
    assert theirs.select(order_of(view)).equals(ours.select(order_of(view)))


@with_spark
@pytest.mark.slow
def test_what_spark_wrote_is_not_written_again_and_says_how_many_rows(places: Places, on_spark: Path) -> None:
    found = read_manifest(on_spark)

    assert found is not None
    assert found.rows == {v.name: len(pl.read_parquet(source_of(on_spark, v))) for v in VIEWS}
    assert write_steps(EventLog(places.log), on_spark, LAST).reused


@with_spark
@pytest.mark.slow
def test_training_rows_joined_on_spark_are_the_embedded_stores(
    places: Places, on_spark: Path, tmp_path: Path
) -> None:
    from feature_repo import spark_store

    asked = labels(events_between(EventLog(places.log), at(), LAST, LAST), at(), LAST, LAST)
    ours = training_features(places, asked)
    theirs = spark_store.training_features(on_spark, asked, tmp_path)

    assert len(asked) > 200
    assert theirs["impression_id"].equals(asked["impression_id"])
    assert sum(training_compared(view, ours, theirs).differing for view in VIEWS) == 0


@with_spark
@pytest.mark.slow
def test_a_log_that_spark_would_misread_is_refused_by_name(tmp_path: Path) -> None:
    log = a_story().log(tmp_path / "log")
    log.append("watched", a_story().frame("watched"), "_hidden")

    with pytest.raises(BadLog, match=r"_hidden\.parquet: names must not start with _"):
        write_steps(log, tmp_path / "features", at(days=10))


@with_spark
@pytest.mark.slow
def test_an_id_with_two_bodies_is_refused_on_spark_too(tmp_path: Path) -> None:
    log = a_story().log(tmp_path / "log")
    log.append("watched", a_story().frame("watched").with_columns(pl.col("watched_ms") + 1), "other")

    with pytest.raises(BadLog, match="has two different bodies"):
        write_steps(log, tmp_path / "features", at(days=10))
    assert read_manifest(tmp_path / "features") is None


@pytest.fixture(scope="module")
def crossed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A Feast store on Spark with one view of two keys: (1, 23) has 1.0 and (12, 3) has 2.0, for a day."""
    from feast import Entity, FeatureStore, FeatureView, Field, RepoConfig, ValueType
    from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
    from feast.types import Float32, Int64

    root = Path(tmp_path_factory.mktemp("crossed"))
    since = pl.Series([at(), at()]).cast(INSTANT)
    rows = pl.DataFrame({"uid": [1, 12], "cat": [23, 3], "x": [1.0, 2.0], "since": since})
    rows.with_columns(pl.col("x").cast(pl.Float32)).write_parquet(root / "rows.parquet")
    keys = [Entity(name=key, join_keys=[key], value_type=ValueType.INT64) for key in ("uid", "cat")]
    source = SparkSource(
        name="rows", path=str(root / "rows.parquet"), file_format="parquet", timestamp_field="since"
    )
    fields = [Field(name=key, dtype=Int64) for key in ("uid", "cat")] + [Field(name="x", dtype=Float32)]
    view = FeatureView(name="crossed", entities=keys, ttl=dt.timedelta(days=1), schema=fields, source=source)
    config = RepoConfig(
        project="p",
        provider="local",
        registry=str(root / "registry.db"),
        offline_store={"type": "feature_repo.spark_store.AsOfSparkOfflineStore"},
        online_store={"type": "sqlite", "path": str(root / "online.db")},
        entity_key_serialization_version=3,
    )
    session()
    store = FeatureStore(config=config)
    store.apply([*keys, view])
    return store


def questions(*rows: tuple[int, int, int]) -> pd.DataFrame:
    moments = pd.to_datetime([moment for _, _, moment in rows], unit="us", utc=True)
    keys = {"uid": [uid for uid, _, _ in rows], "cat": [cat for _, cat, _ in rows]}
    return pd.DataFrame({**keys, "event_timestamp": moments})


@with_spark
@pytest.mark.slow
def test_keys_that_read_alike_do_not_get_each_others_values(crossed: Any) -> None:
    asked = questions((12, 3, at(hours=1)), (1, 23, at(hours=1)), (123, 0, at(hours=1)))

    found = crossed.get_historical_features(asked, ["crossed:x"]).to_df()

    assert found["x"].fillna(-1).tolist() == [2.0, 1.0, -1.0]
    assert found["uid"].tolist() == [12, 1, 123]
    assert str(found["event_timestamp"].dt.tz) == "UTC"


@with_spark
@pytest.mark.slow
def test_a_step_holds_to_the_microsecond_on_spark(crossed: Any) -> None:
    asked = questions((1, 23, at(us=-1)), (1, 23, at()), (1, 23, at(days=1)), (1, 23, at(days=1, us=1)))

    found = crossed.get_historical_features(asked, ["crossed:x"]).to_df()

    assert found["x"].notna().tolist() == [False, True, True, False]


@with_spark
@pytest.mark.slow
@pytest.mark.parametrize(
    ("column", "words"), [("x", "'x', which is a feature"), ("question", "the join adds itself")]
)
def test_a_question_with_a_column_of_the_answer_is_refused_on_spark(
    crossed: Any, column: str, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        crossed.get_historical_features(questions((1, 23, at())).assign(**{column: 1}), ["crossed:x"])


def test_what_spark_lacks_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)

    with pytest.raises(NoSpark, match=r"Spark needs .*\[spark\].* Java 17"):
        session()
