"""Feast, opened on one run: apply the definitions, join training rows as of their moment.

Law: one label row in, one training row out, in the order of the labels; a row sees the steps that held at its
moment, no older than the view's TTL; what it does not find is the catalogue's default.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from feature_repo.catalogue import DEFAULTS, PROJECT, SERVICE, VIEWS
from feature_repo.clock import INSTANT
from feature_repo.guarded_rows import PATIENCE_S, guarded
from feature_repo.packed_tables import PackedTables, open_packed, open_rows
from feature_repo.places import Places
from feature_repo.reports import write_text_atomically
from feature_repo.steps import read_manifest

if TYPE_CHECKING:
    from feast import FeatureStore

CHUNK = 2_000_000
"""Rows joined at once: about 1 GiB with every stored feature."""

KEYS = ("user_id", "video_id", "creator_id", "topic")


class NoFeatures(RuntimeError):
    """The feature views of this run were never written, or not to the end."""

    def __init__(self, features: Path):
        super().__init__(
            f"no finished feature views in {features}; run `python -m pipelines build-features` first."
        )


def open_store(places: Places) -> FeatureStore:
    """The Feast store of this run. Importing Feast takes seconds, so it happens here."""
    import yaml  # type: ignore[import-untyped]
    from feast import FeatureStore, RepoConfig

    text = (Path(__file__).parent / "feature_store.yaml").read_text()
    state = str(places.root.absolute())
    settings: dict[str, Any] = yaml.safe_load(text.replace("${FOURPLANES_STATE}", state))
    if places.online_url:
        settings["online_store"] = {"type": settings["online_store"]["type"], "redis_url": places.online_url}
    return FeatureStore(config=RepoConfig(**settings, repo_path=Path(__file__).parent))


def open_tables(places: Places) -> PackedTables:
    """The online store's rows as arrays, for those who can wait for it."""
    return open_packed(places.online, PROJECT)


def open_guarded_tables(places: Places) -> PackedTables:
    """The same for a server, which cannot: a store that is slow or gone is left alone for a while."""
    return PackedTables(guarded(open_rows(places.online, PROJECT, PATIENCE_S)))


def apply(places: Places) -> FeatureStore:
    """Register entities, views and service; repeating it changes nothing."""
    if read_manifest(places.features) is None:
        raise NoFeatures(places.features)
    mark, meaning = places.feast / "applied.txt", _meaning(places)
    if mark.exists() and mark.read_text() == meaning and (places.feast / "registry.db").exists():
        return open_store(places)
    mark.unlink(missing_ok=True)
    store = _applied(places)
    write_text_atomically(mark, meaning)
    return store


def _applied(places: Places) -> FeatureStore:
    """Write the registry and make the online tables."""
    from feature_repo.feast_objects import feast_objects

    places.feast.mkdir(parents=True, exist_ok=True)
    store = open_store(places)
    store.apply(feast_objects(places).all())
    return store


def _meaning(places: Places) -> str:
    """What the registry holds: it is rewritten only if this changes, because a reader could see it
    half-written.
    """
    meaning = (VIEWS, SERVICE, str(places.root.absolute()), places.online, version("feast"))
    return hashlib.sha256(repr(meaning).encode()).hexdigest()


def training_features(places: Places, labels: pl.DataFrame) -> pl.DataFrame:
    """The label rows with every stored feature as it was at each row's event_time.

    `labels` needs impression_id (unique), event_time and the keys; an unknown creator or topic is null or -1.
    """
    store = apply(places)
    service = store.get_feature_service(SERVICE)
    asked = questions(labels)
    parts = [asked.slice(low, CHUNK) for low in range(0, max(1, len(asked)), CHUNK)]
    found = pl.concat([_joined(store, service, part) for part in parts])
    answer = labels.join(filled(found), on="impression_id", how="left", maintain_order="left", validate="1:1")
    if not len(found) == len(answer) == len(labels):
        raise AssertionError(f"{len(labels)} label rows gave {len(found)} joined rows, must be one for one.")
    return answer


def questions(labels: pl.DataFrame) -> pl.DataFrame:
    """What Feast is asked: one row per impression with int64 keys and its moment."""
    if labels["impression_id"].is_duplicated().any():
        raise ValueError("impression_id repeats in the labels, must be unique: one row per impression.")
    keys = [pl.col(key).cast(pl.Int64).fill_null(-1) for key in KEYS]
    return labels.select("impression_id", *keys, pl.col("event_time").cast(INSTANT).alias("event_timestamp"))


def _joined(store: FeatureStore, service: Any, asked: pl.DataFrame) -> pl.DataFrame:
    job = store.get_historical_features(entity_df=asked.to_pandas(), features=service)
    rows = pl.from_arrow(job.to_arrow())
    assert isinstance(rows, pl.DataFrame)
    if len(rows) != len(asked) or rows["impression_id"].n_unique() != len(asked):
        raise AssertionError(f"{len(asked)} questions gave {len(rows)} answers, must be one for one.")
    return rows.drop(*KEYS, "event_timestamp")


def filled(found: pl.DataFrame) -> pl.DataFrame:
    """Defaults where nothing was found; moments as float64, which holds them exactly and has a NaN."""
    columns = []
    for feature in (f for view in VIEWS for f in view.features):
        dtype = pl.Float64 if feature.integer else pl.Float32
        columns.append(pl.col(feature.name).cast(dtype).fill_null(DEFAULTS[feature.name]))
    return found.select("impression_id", *columns)


def materialize(places: Places, until_us: int) -> dict[str, int]:
    """Load the newest values into the online store: see materialization.py."""
    from feature_repo.materialization import materialize as load

    return load(places, until_us)
