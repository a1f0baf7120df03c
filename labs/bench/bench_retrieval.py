"""Up to how many videos is looking at all of them fastest? Exact search beside a shortlist, on our geometry.

The champion's video vectors are multiplied, with noise, to catalogues of several sizes, and searched with
people's own vectors for as many as the feed asks. Both ways are timed in turn, one thread. The crossover is
the smallest size from which the shortlist is faster while it finds enough of what the exact search finds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from feature_repo.log import EventLog
from feature_repo.places import Run, run_from_environment
from feature_repo.reports import estimate, write_report
from labs.bench.latencies import latency, ratio_at_p50

if TYPE_CHECKING:
    from serving.candidates import Query
    from serving.feed import Feed
    from serving.index import VideoIndex

Floats = NDArray[np.float32]

SIZES = "10000,50000,100000,150000,200000,500000,1000000"
ASKED_FOR = 600
"""The towers' quota, and what a typical person has seen besides."""
QUERIES = 200
NOISE = 0.3
"""Of a multiplied vector, per number, in standard deviations of that number over the catalogue."""
ENOUGH = 0.95
"""Recall below this is not a faster way to the same slate."""


@dataclass(frozen=True)
class Compared:
    """Both ways at one size: milliseconds per search, and what share of the exact answer the list found."""

    videos: int
    exact_ms: list[float]
    listed_ms: list[float]
    recalls: list[float]
    built_s: float

    def figures(self, rng: np.random.Generator) -> dict[str, Any]:
        low, high = np.quantile(self.recalls, [0.025, 0.975])
        return {
            "videos": self.videos,
            "exact": latency(self.exact_ms).figures(),
            "shortlist": latency(self.listed_ms).figures(),
            "times_faster_at_p50": ratio_at_p50(self.exact_ms, self.listed_ms, rng).as_figure(),
            "recall": estimate(float(np.mean(self.recalls)), low, high, len(self.recalls)),
            "built_s": self.built_s,
        }


def grown(vectors: Floats, videos: int, rng: np.random.Generator) -> Floats:
    """As many vectors as asked, each one of ours plus noise: the same clusters, more densely filled."""
    noise = rng.standard_normal((videos, vectors.shape[1]), np.float32) * (NOISE * vectors.std(axis=0))
    return np.asarray(vectors[rng.integers(0, len(vectors), videos)] + noise, np.float32)


def compared(vectors: Floats, queries: Floats, k: int) -> Compared:
    """Search both ways for every query, in turn."""
    from serving.index import VideoIndex
    from serving.shortlists import shortlist

    ids = np.arange(len(vectors), dtype=np.int64)
    started = time.perf_counter()
    found = shortlist(vectors)
    built_s = time.perf_counter() - started
    if found is None:
        raise LookupError("faiss is not installed, so there is nothing to compare: make extras.")
    exact, listed = VideoIndex(ids, vectors), VideoIndex(ids, vectors, found)
    pairs = [(_timed(exact, each, k), _timed(listed, each, k)) for each in queries]
    recalls = [len(np.intersect1d(ours, theirs)) / len(theirs) for (theirs, _), (ours, _) in pairs]
    return Compared(len(ids), [a[1] for a, _ in pairs], [b[1] for _, b in pairs], recalls, built_s)


def _timed(index: VideoIndex, query: Floats, k: int) -> tuple[NDArray[np.int64], float]:
    started = time.perf_counter()
    ids, _ = index.search(query, k)
    return ids, 1000 * (time.perf_counter() - started)


def crossover(rows: Sequence[Mapping[str, Any]]) -> int | None:
    """The smallest size from which on the list is surely faster and finds enough; None if it never is."""
    found: int | None = None
    for row in sorted(rows, key=lambda row: -row["videos"]):
        if row["times_faster_at_p50"]["low"] <= 1 or row["recall"]["value"] < ENOUGH:
            return found
        found = row["videos"]
    return found


def vectors_and_queries(run: Run) -> tuple[Floats, Floats]:
    """The champion's video vectors, and the vectors of people who watched lately."""
    from labs.bench.bench_serving import people_of
    from labs.true_value import release_of
    from serving.compose import offline
    from serving.sources import TwoTower

    log = EventLog(run.places.log)
    feed, state = offline(run.places, release_of(run.places), log.end_us())
    vectors = [_vector(feed, state.query(person, 0, log.end_us())) for person in people_of(run, QUERIES)]
    towers = next(source for source in feed.sources if isinstance(source, TwoTower))
    return towers.looks.index.vectors, np.stack(vectors)


def _vector(feed: Feed, query: Query) -> Floats:
    for reader in feed.readers:
        query = replace(query, person=reader.read(query))
    return query.person.vector


def measured(run: Run, sizes: Sequence[int], k: int) -> Iterator[dict[str, Any]]:
    """The figures of one size after the other."""
    vectors, queries = vectors_and_queries(run)
    rng = np.random.default_rng([run.seed, 51])
    for videos in sizes:
        yield compared(grown(vectors, videos, rng), queries, k).figures(rng)


def show(rows: Sequence[Mapping[str, Any]], k: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "videos", "exact p50 ms", "p99", "shortlist p50 ms", "p99", "times faster", "recall", "built s"
    )
    for row in rows:
        times = row["times_faster_at_p50"]
        table.add_row(
            f"{row['videos']:,}",
            *(f"{row[way][at]:.2f}" for way in ("exact", "shortlist") for at in ("p50_ms", "p99_ms")),
            f"{times['value']:.1f} [{times['low']:.1f}, {times['high']:.1f}]",
            f"{row['recall']['value']:.3f}",
            f"{row['built_s']:.1f}",
        )
    table.caption = f"the {k} nearest, one thread, people's own vectors; recall of the exact answer"
    Console(width=max(Console().width, 100)).print(table)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m labs bench-retrieval", description=__doc__)
    parser.add_argument("--sizes", default=SIZES, help="catalogues, comma-separated (default %(default)s)")
    parser.add_argument("--k", type=int, default=ASKED_FOR, help="nearest asked for (default %(default)s)")
    asked = parser.parse_args(argv)
    from serving.shortlists import EXACT_UPTO

    run, rows = run_from_environment(), []
    sizes = [int(part) for part in asked.sizes.split(",")]
    try:
        for row in measured(run, sizes, asked.k):
            rows.append(row)
            print(f"{row['videos']:,} videos searched both ways", flush=True)
    except LookupError as missing:
        print(f"bench-retrieval: {missing.args[0]}", file=sys.stderr)
        return 1
    show(rows, asked.k)
    found = crossover(rows)
    figures = {"rows": rows, "k": asked.k, "crossover": found, "exact_upto": EXACT_UPTO}
    print(
        f"the shortlist pays from {found:,} videos on" if found else "the shortlist never pays here", end=""
    )
    print(f"; the feed uses it above {EXACT_UPTO:,}")
    print(f"report: {write_report(run, 'bench-retrieval', figures)}\nnext: make funnel")
    return 0
