"""How fast are training rows? Our offline store, polars by hand and Feast's DuckDB store, in one run.

Labels with microsecond moments are joined to three views (13 features) as of their moments. Each arm runs in
a process of its own, so that its peak of memory is its own, and in turns with the others; what is timed
starts with the labels in memory and ends with a pandas frame. The sources are read anew each time, and lie
unsorted. A sample of every arm's rows is compared with a search by hand.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_repo.clock import DAY_US, HOUR_US, INSTANT

if TYPE_CHECKING:
    import pandas as pd
    from feast import FeatureStore

Ints = NDArray[np.int64]

START_US = 20_000 * DAY_US
SAMPLE = 20_000
WARM_UP = 1_000
SLOW_FROM = 1_000_000
"""From this size on, Feast's DuckDB store is asked once."""
OURS, POLARS, DUCKDB = "ours", "polars", "duckdb"
STORES = {OURS: "feature_repo.asof_store.AsOfOfflineStore", DUCKDB: "duckdb"}


@dataclass(frozen=True)
class World:
    """How much there is to join. Videos are watched by Zipf's law, and have a row in hours they were."""

    users: int = 20_000
    videos: int = 50_000
    categories: int = 20
    days: int = 14


@dataclass(frozen=True)
class Source:
    """A view: its keys, how many features, how old a row may be."""

    name: str
    keys: tuple[str, ...]
    features: int
    ttl_us: int

    @property
    def columns(self) -> list[str]:
        return [f"{self.name}_{place}" for place in range(self.features)]

    @property
    def ttl(self) -> dt.timedelta:
        return dt.timedelta(microseconds=self.ttl_us)


SOURCES = (
    Source("user_daily", ("user_id",), 5, 3 * DAY_US),
    Source("video_hourly", ("video_id",), 5, DAY_US),
    Source("user_cat", ("user_id", "category"), 3, 7 * DAY_US),
)
COLUMNS = [column for source in SOURCES for column in source.columns]


def measure(
    sizes: Sequence[int],
    seed: int,
    folder: Path,
    rivals_upto: int,
    world: World | None = None,
    rounds: int = 3,
) -> dict[str, Any]:
    """Figures per number of labels; `folder` is scratch. Feast's own store runs up to `rivals_upto`."""
    world = world or World()
    stored = write_sources(np.random.default_rng([seed, 0]), folder, world)
    figures = {}
    for n in sizes:
        write_labels(np.random.default_rng([seed, n]), folder, world, n)
        figures[str(n)] = _measured(folder, n, rounds, with_rival=n <= rivals_upto)
    return {"world": asdict(world), "stored_rows": stored, "sizes": figures}


def rows(figures: dict[str, Any]) -> list[tuple[str, ...]]:
    """(labels, arm, seconds, labels per second, peak GiB, times ours, differing cells, n) of a table."""
    lines: list[tuple[str, ...]] = []
    for n, found in figures["sizes"].items():
        for name, arm in found["arms"].items():
            times = "" if name == OURS else f"{found['times_ours'][name]:.2f}"
            speed, peak = f"{arm['labels_per_second']:,.0f}", f"{arm['peak_gib']:.2f}"
            differing = f"{arm['differing_cells']} of {arm['compared_cells']:,}"
            seconds = f"{arm['seconds']:.2f}"
            lines.append((f"{int(n):,}", name, seconds, speed, peak, times, differing, str(arm["n"])))
    return lines


def write_sources(rng: np.random.Generator, folder: Path, world: World) -> dict[str, int]:
    """The three views as parquet, unsorted; the rows of each."""
    users, days = _present(rng, world.users, world.days, 0.85)
    videos, hours = _present(rng, world.videos, world.days * 24, _watched(world.videos, 1 / 7))
    pairs, met = _present(rng, world.users * world.categories, world.days, 0.177)
    crossed = {"user_id": pairs // world.categories, "category": pairs % world.categories}
    keys = ({"user_id": users}, {"video_id": videos}, crossed)
    moments = (days * DAY_US, hours * HOUR_US, met * DAY_US)
    written = zip(SOURCES, keys, moments, strict=True)
    return {source.name: _write(rng, folder, source, named, after) for source, named, after in written}


def _popularity(videos: int) -> NDArray[np.float64]:
    """Weights by Zipf's law with exponent 0.8, the first video the most watched."""
    return np.arange(1, videos + 1, dtype=np.float64) ** -0.8


def _watched(videos: int, share: float) -> NDArray[np.float64]:
    """Per video the chance of a watch in an hour, if this share of all video-hours has one (Poisson)."""
    low, high, weights = 0.0, 1e9, _popularity(videos)
    for _ in range(100):
        rate = (low + high) / 2
        low, high = (rate, high) if (1 - np.exp(-rate * weights)).mean() < share else (low, rate)
    return (1 - np.exp(-low * weights))[:, None]


def _present(rng: np.random.Generator, entities: int, moments: int, chance: Any) -> tuple[Ints, Ints]:
    """The (entity, moment) pairs that have a row."""
    entity, moment = np.nonzero(rng.random((entities, moments), np.float32) < chance)
    return entity.astype(np.int64), moment.astype(np.int64)


def _write(
    rng: np.random.Generator, folder: Path, source: Source, keys: dict[str, Ints], after_us: Ints
) -> int:
    order = rng.permutation(len(after_us))
    features = {name: rng.random(len(order), np.float32) for name in source.columns}
    moments = pl.Series(START_US + after_us[order]).cast(INSTANT)
    named = {name: key[order] for name, key in keys.items()}
    table = pl.DataFrame({**named, "event_timestamp": moments, **features})
    table.write_parquet(folder / f"{source.name}.parquet")
    return len(table)


def write_labels(rng: np.random.Generator, folder: Path, world: World, n: int) -> None:
    """Labels in the order of their moments, numbered by `row`."""
    weights = np.cumsum(_popularity(world.videos))
    videos = np.searchsorted(weights, rng.random(n) * weights[-1], side="right")
    moments = START_US + np.sort(rng.integers(0, world.days * DAY_US, n))
    table = {
        "row": np.arange(n),
        "user_id": rng.integers(0, world.users, n),
        "video_id": np.minimum(videos, world.videos - 1),
        "category": rng.integers(0, world.categories, n),
        "event_timestamp": pl.Series(moments).cast(INSTANT),
    }
    pl.DataFrame(table).write_parquet(_labels(folder, n))


def _labels(folder: Path, n: int) -> Path:
    return folder / f"labels_{n}.parquet"


def _measured(folder: Path, n: int, rounds: int, with_rival: bool) -> dict[str, Any]:
    """Every arm in turns, in processes of their own."""
    runs: dict[str, list[dict[str, Any]]] = {OURS: [], POLARS: []}
    for turn in range(rounds):
        for name in (OURS, POLARS):
            runs[name].append(_run(name, folder, n))
        if with_rival and (turn == 0 or n < SLOW_FROM):
            runs.setdefault(DUCKDB, []).append(_run(DUCKDB, folder, n))
    sample = _sample(n)
    wanted = by_hand(folder, n, sample)
    arms = {name: _figures(told, folder, name, n, wanted) for name, told in runs.items()}
    times = {name: arm["seconds"] / arms[OURS]["seconds"] for name, arm in arms.items() if name != OURS}
    return {"labels": n, "arms": arms, "times_ours": times, "load_average": os.getloadavg()[0]}


def _run(name: str, folder: Path, n: int) -> dict[str, Any]:
    """What one arm tells of itself, from its own process."""
    command = [sys.executable, "-W", "ignore", "-m", "labs.bench.asof_join", name, str(folder), str(n)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    if told.returncode:
        raise RuntimeError(f"{name} of {n} labels ended with {told.returncode}: {told.stderr[-2_000:]}")
    found: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return found


def _figures(
    runs: Sequence[dict[str, Any]], folder: Path, name: str, n: int, wanted: NDArray[np.float32]
) -> dict[str, Any]:
    found = pl.read_parquet(_answers(folder, name, n)).sort("row").select(COLUMNS).to_numpy()
    seconds = statistics.median(run["seconds"] for run in runs)
    return {
        "seconds": seconds,
        "all_seconds": [run["seconds"] for run in runs],
        "cpu_seconds": statistics.median(run["cpu_seconds"] for run in runs),
        "labels_per_second": n / seconds,
        "peak_gib": max(run["peak_gib"] for run in runs),
        "order_kept": all(run["order_kept"] for run in runs),
        "differing_cells": differing_cells(found, wanted),
        "compared_cells": int(wanted.size),
        "null_share": float(np.isnan(wanted).mean()),
        "n": len(runs),
    }


def differing_cells(found: NDArray[Any], wanted: NDArray[np.float32]) -> int:
    """How many cells are not the same number; two NaN are."""
    return int(((found != wanted) & ~(np.isnan(found) & np.isnan(wanted))).sum())


def _sample(n: int) -> Ints:
    """The rows that are compared, first and last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, SAMPLE)).astype(np.int64))


def by_hand(folder: Path, n: int, sample: Ints) -> NDArray[np.float32]:
    """The sampled labels' features, each by a binary search among the rows of its keys; NaN if none."""
    labels = pl.read_parquet(_labels(folder, n))[sample]
    return np.hstack([_looked_up(pl.read_parquet(folder / f"{s.name}.parquet"), s, labels) for s in SOURCES])


def _looked_up(rows: pl.DataFrame, source: Source, labels: pl.DataFrame) -> NDArray[np.float32]:
    keys, asked = ([tuple(map(int, k)) for k in t.select(source.keys).iter_rows()] for t in (rows, labels))
    wanted = set(asked)
    moments, when = (t["event_timestamp"].to_physical().to_numpy() for t in (rows, labels))
    places: dict[tuple[int, ...], list[int]] = {}
    for place in np.argsort(moments, kind="stable").tolist():
        if keys[place] in wanted:
            places.setdefault(keys[place], []).append(place)
    features = rows.select(source.columns).to_numpy()
    found = np.full((len(labels), source.features), np.nan, np.float32)
    for row, key in enumerate(asked):
        mine = np.asarray(places.get(key, []), np.int64)
        behind = int(np.searchsorted(moments[mine], when[row], side="right")) - 1
        if behind >= 0 and when[row] - moments[mine[behind]] <= source.ttl_us:
            found[row] = features[mine[behind]]
    return found


def _answers(folder: Path, name: str, n: int) -> Path:
    return folder / f"answers_{name}_{n}.parquet"


def _polars_by_hand(folder: Path) -> Callable[[pl.DataFrame], pd.DataFrame]:
    """What one would write without a feature store; the labels are sorted, as join_asof wants them."""

    def join(labels: pl.DataFrame) -> pd.DataFrame:
        found = labels.lazy()
        for source in SOURCES:
            table = pl.scan_parquet(folder / f"{source.name}.parquet").sort("event_timestamp")
            keys = list(source.keys)
            how: Any = {"by": keys, "tolerance": source.ttl, "check_sortedness": False}
            found = found.join_asof(table, on="event_timestamp", **how)
        return found.collect().to_pandas()

    return join


def _through_feast(folder: Path, name: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    store = _store(folder, name)
    references = [f"{source.name}:{column}" for source in SOURCES for column in source.columns]
    return lambda labels: store.get_historical_features(labels, references).to_df()


def _store(folder: Path, name: str) -> FeatureStore:
    from feast import FeatureStore, RepoConfig

    config = RepoConfig(
        project="bench",
        provider="local",
        registry=str(folder / f"registry_{name}.db"),
        offline_store={"type": STORES[name]},
        online_store={"type": "sqlite", "path": str(folder / f"online_{name}.db")},
        entity_key_serialization_version=3,
        coerce_tz_aware=False,
        repo_path=folder,
    )
    store = FeatureStore(config=config)
    store.apply(list(_views(folder)))
    return store


def _views(folder: Path) -> Iterator[Any]:
    """Entities, then the views of them."""
    from feast import Entity, FeatureView, Field, FileSource, ValueType
    from feast.types import Float32, Int64

    keys = ("user_id", "video_id", "category")
    entities = {key: Entity(name=key, join_keys=[key], value_type=ValueType.INT64) for key in keys}
    yield from entities.values()
    for source in SOURCES:
        fields = [(key, Int64) for key in source.keys] + [(column, Float32) for column in source.columns]
        path = str(folder / f"{source.name}.parquet")
        yield FeatureView(
            name=source.name,
            entities=[entities[key] for key in source.keys],
            ttl=source.ttl,
            schema=[Field(name=name, dtype=dtype) for name, dtype in fields],
            source=FileSource(path=path, timestamp_field="event_timestamp"),
        )


def run_arm(name: str, folder: Path, n: int) -> dict[str, Any]:
    """One timed join after a small one that pays for imports; the sampled answers are left in `folder`."""
    table = pl.read_parquet(_labels(folder, n))
    labels: Any = table if name == POLARS else table.to_pandas()
    join: Callable[[Any], pd.DataFrame]
    join = _polars_by_hand(folder) if name == POLARS else _through_feast(folder, name)
    del table
    join(labels[:WARM_UP])
    began, worked = time.perf_counter(), time.process_time()
    found = join(labels)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - worked
    peak_gib, numbers = _peak_gib(), found["row"].to_numpy()
    sampled = found.iloc[np.flatnonzero(np.isin(numbers, _sample(n)))]
    pl.DataFrame({c: sampled[c].to_numpy() for c in ("row", *COLUMNS)}).write_parquet(
        _answers(folder, name, n)
    )
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_gib": peak_gib,
        "order_kept": bool(len(numbers) == n and (numbers == np.arange(n)).all()),
    }


def _peak_gib() -> float:
    """The most memory this process has held; getrusage would count its parent's before the exec."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30  # bytes, where there is no /proc
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 2**20


if __name__ == "__main__":
    print(json.dumps(run_arm(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))
