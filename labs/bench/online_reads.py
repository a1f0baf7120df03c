"""How fast are features online? Packed rows against the Feast SDK over its own SQLite store, in one run.

A request reads one person (10 features) and 500 videos (20 features). Ours reads the person's packed row and
gathers the videos from a matrix in memory, which a thread keeps up with the store while another process
pushes new rows to it; Feast's store is left in peace. Both stores are filled from the same parquet files, the
way each fills itself, and first both must answer the same numbers.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from feature_repo.packed_rows import Rows, rows_of_columns
from feature_repo.packed_tables import PackedTables, open_packed
from labs.bench.latencies import latency, ratio_at_p50
from labs.bench.online_sources import PROJECT, USER, VIDEO, Size, feast_filled, packed_filled, write_sources

if TYPE_CHECKING:
    from feast import FeatureStore

REFRESH_S = 0.2
"""The matrix is replaced at most this often."""
PUSHES_PER_S, PUSHED = 20, 50
"""How often the other process pushes, and how many videos each time: 1,000 rows a second."""


@dataclass(frozen=True)
class Mirror:
    """Every video's features at one version of the store; ids ascend."""

    ids: NDArray[np.int64]
    matrix: NDArray[np.float32]
    version: int
    read_at_us: int

    def rows(self, videos: NDArray[np.int64]) -> NDArray[np.float32]:
        return self.matrix[np.searchsorted(self.ids, videos)]


def mirror(tables: PackedTables) -> Mirror:
    """All of the store."""
    now_us = _now_us()
    keys, rows, version = tables.changed_since(VIDEO, 0)
    order = np.argsort(keys[:, 0])
    return Mirror(keys[order, 0], _matrix(rows)[order], version, now_us)


def refreshed(tables: PackedTables, old: Mirror) -> Mirror:
    """The mirror with what changed since: a copy, so that who reads the old one is not disturbed."""
    now_us = _now_us()
    keys, rows, version = tables.changed_since(VIDEO, old.version)
    matrix = old.matrix.copy()
    matrix[np.searchsorted(old.ids, keys[:, 0])] = _matrix(rows)
    return Mirror(old.ids, matrix, version, now_us)


@dataclass
class Refresher:
    """A thread that replaces the mirror until its block is left."""

    tables: PackedTables
    mirror: Mirror
    refresh_ms: list[float] = field(default_factory=list)
    changed: int = 0

    def refresh_until(self, ended: threading.Event) -> None:
        while not ended.wait(REFRESH_S):
            began = time.perf_counter()
            old, self.mirror = self.mirror, refreshed(self.tables, self.mirror)
            self.refresh_ms.append(_ms_since(began))
            self.changed += self.mirror.version - old.version


@contextmanager
def running(tables: PackedTables) -> Iterator[Refresher]:
    """A refresher at work until the block is left."""
    refresher, ended = Refresher(tables, mirror(tables)), threading.Event()
    thread = threading.Thread(target=refresher.refresh_until, args=(ended,))
    thread.start()
    try:
        yield refresher
    finally:
        ended.set()
        thread.join()


def measure(seed: int, folder: Path, size: Size | None = None) -> dict[str, Any]:
    """Figures of both parts; `folder` is scratch."""
    size = size or Size()
    write_sources(np.random.default_rng([seed, 1]), folder, size)
    feast, feast_s = feast_filled(folder)
    loaded = [packed_filled(folder / f"packed-{load}.db", folder) for load in range(size.loads)]
    tables = open_packed(folder / "packed-0.db", PROJECT)
    return {
        "stored": {"users": size.users, "videos": size.videos},
        "materialize": _materialize_figures(size, feast_s, [seconds for _, seconds in loaded], loaded[0][0]),
        "reads": _reads(seed, folder, size, tables, feast),
        "load_average": os.getloadavg()[0],
    }


def rows(figures: dict[str, Any]) -> list[tuple[str, ...]]:
    """(what, packed, Feast, times, n) of each line of a table."""
    reads, loads = figures["reads"], figures["materialize"]
    ours, feasts, times = reads["ours"], reads["feast"], reads["times_faster_at_p50"]
    told = f"{times['value']:.0f} [{times['low']:.0f}, {times['high']:.0f}]"
    asked = f"{ours['requests']} and {feasts['requests']}"
    return [
        ("1 user + 500 videos, p50 ms", f"{ours['p50_ms']:.3f}", f"{feasts['p50_ms']:.1f}", told, asked),
        ("1 user + 500 videos, p99 ms", f"{ours['p99_ms']:.3f}", f"{feasts['p99_ms']:.1f}", "", asked),
        ("age of the matrix, p99 ms", f"{reads['age']['p99_ms']:.0f}", "", "", f"{reads['age']['requests']}"),
        (
            "materialize, entities/s",
            f"{loads['packed_per_s']:,.0f}",
            f"{loads['feast_per_s']:,.0f}",
            f"{loads['packed_per_s'] / loads['feast_per_s']:.0f}",
            f"{loads['entities']} entities, {loads['packed_loads']} and 1 times",
        ),
    ]


def _materialize_figures(
    size: Size, feast_s: float, packed_s: Sequence[float], written: int
) -> dict[str, Any]:
    return {
        "entities": size.videos,
        "features": len(VIDEO.names),
        "written": written,
        "packed_per_s": size.videos / float(np.median(packed_s)),
        "packed_loads": len(packed_s),
        "feast_per_s": size.videos / feast_s,
    }


def _reads(seed: int, folder: Path, size: Size, tables: PackedTables, feast: FeatureStore) -> dict[str, Any]:
    rng = np.random.default_rng([seed, 2])
    people = rng.integers(0, size.users, size.requests)
    slates = np.stack([rng.permutation(size.videos)[: size.candidates] for _ in people])
    differing = _differing_cells(feast, tables, mirror(tables), people[:10], slates[:10])
    with _frozen_garbage(), pushing(folder / "packed-0.db", seed), running(tables) as refresher:
        ours, feasts, gathers, ages = _alternate(size, refresher, feast, people, slates)
    return {
        "ours": latency(ours).figures(),
        "feast": latency(feasts).figures(),
        "gather": latency(gathers).figures(),
        "times_faster_at_p50": ratio_at_p50(feasts, ours[:: size.feast_every], rng).as_figure(),
        "age": latency(ages).figures(),
        "refresh": latency(refresher.refresh_ms).figures(),
        "pushes": refresher.changed,
        "rows_per_push": PUSHED,
        "pushes_per_s": PUSHES_PER_S,
        **differing,
    }


def _alternate(
    size: Size,
    refresher: Refresher,
    feast: FeatureStore,
    people: NDArray[np.int64],
    slates: NDArray[np.int64],
) -> tuple[list[float], list[float], list[float], list[float]]:
    """Milliseconds of ours, Feast's and the bare gather, and how old the matrix was at each of ours."""
    ours, feasts, gathers, ages = [], [], [], []
    for turn, (person, videos) in enumerate(zip(people, slates, strict=True)):
        if turn % size.feast_every == 0:
            asked = videos.tolist()
            began = time.perf_counter()
            _ask_feast(feast, int(person), asked)
            feasts.append(_ms_since(began))
        began = time.perf_counter()
        read(refresher.tables, refresher.mirror, int(person), videos)
        ours.append(_ms_since(began))
        ages.append((_now_us() - refresher.mirror.read_at_us) / 1000)
        matrix, rows_of_it = refresher.mirror.matrix, videos
        began = time.perf_counter()
        matrix[rows_of_it]
        gathers.append(_ms_since(began))
    return ours, feasts, gathers, ages


def read(
    tables: PackedTables, videos_now: Mirror, person: int, videos: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What a request needs: the person's features from the store, the videos' from memory."""
    return _matrix(tables.read(USER, [person]))[0], videos_now.rows(videos)


def _ask_feast(store: FeatureStore, person: int, videos: list[int]) -> tuple[dict[str, Any], dict[str, Any]]:
    references = [[f"{schema.view}:{name}" for name in schema.names] for schema in (USER, VIDEO)]
    user = store.get_online_features(references[0], {"user_id": [person]}).to_dict()
    return user, store.get_online_features(references[1], {"video_id": videos}).to_dict()


def _differing_cells(
    feast: FeatureStore,
    tables: PackedTables,
    videos_now: Mirror,
    people: NDArray[np.int64],
    slates: NDArray[np.int64],
) -> dict[str, int]:
    differing = compared = 0
    for person, videos in zip(people, slates, strict=True):
        ours = read(tables, videos_now, int(person), videos)
        feasts = _ask_feast(feast, int(person), videos.tolist())
        for mine, theirs, schema in zip(ours, feasts, (USER, VIDEO), strict=True):
            table = np.column_stack([theirs[name] for name in schema.names]).astype(np.float32)
            differing += int((np.atleast_2d(mine) != table).sum())
            compared += table.size
    return {"differing_cells": differing, "compared_cells": compared}


@contextmanager
def pushing(store: Path, seed: int) -> Iterator[None]:
    """Another process pushes rows to the store until the block is left."""
    command = [sys.executable, "-m", "labs.bench.online_reads", str(store), str(seed)]
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as pusher:
        assert pusher.stdout is not None
        if not pusher.stdout.readline():
            raise RuntimeError(f"the pushing process ended with {pusher.wait()} before its first push.")
        try:
            yield
        finally:
            pusher.terminate()


def push_forever(store: Path, seed: int) -> None:
    """Says so after the first push."""
    tables, rng = open_packed(store, PROJECT), np.random.default_rng([seed, 3])
    ids = tables.changed_since(VIDEO, 0)[0][:, 0]
    next_at, first = time.monotonic(), True
    while True:
        videos = rng.choice(ids, min(PUSHED, len(ids)), replace=False)
        columns = {name: rng.random(len(videos), np.float32) for name in VIDEO.names}
        tables.write(VIDEO, videos, rows_of_columns(VIDEO, columns, np.full(len(videos), _now_us())))
        if first:
            print("pushing", flush=True)
        first, next_at = False, next_at + 1 / PUSHES_PER_S
        time.sleep(max(0.0, next_at - time.monotonic()))


def _matrix(found: Rows) -> NDArray[np.float32]:
    """Rows of float32 features as a matrix."""
    values = np.ascontiguousarray(found.values)
    return values.view(np.float32).reshape(len(found), -1)


@contextmanager
def _frozen_garbage() -> Iterator[None]:
    """What lives by now is never collected: a long-running server does the same once it is up."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _now_us() -> int:
    return time.time_ns() // 1000


def _ms_since(began: float) -> float:
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    push_forever(Path(sys.argv[1]), int(sys.argv[2]))
