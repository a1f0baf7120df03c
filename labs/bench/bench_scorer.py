"""How fast is the scorer? Bit vectors against `Booster.predict`: same heads and rows, in turns, one thread.

The champion's own heads over the candidates of its own feed, then two models grown here on noise until every
tree is full: the size the server is held to, and one with larger trees. An answer that differs in one bit
would be no answer, so the largest difference is told first. The last table asks the kernel again with other
numbers of rows at once.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evaluation.intervals import Interval
from feature_repo.places import Places, run_from_environment
from feature_repo.reports import write_report
from labs.bench.feature_bars import Bar
from labs.bench.latencies import latency, ratio_at_p50
from labs.bench.verdicts import Verdict, exit_status, show

if TYPE_CHECKING:
    from serving.scales import Ranks
    from serving.tree_scorers import TreeScorer

Matrix = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]
Kernel = Callable[..., None]

ROWS, COLUMNS = 500, 60
TURNS = 150
SIZES = {"5 heads x 200 trees x 31 leaves": (200, 31), "5 heads x 300 trees x 63 leaves": (300, 63)}
JUDGED = "5 heads x 200 trees x 31 leaves"
HEADS = 5
GROWN_ON = 20_000
"""Rows of noise: enough that every tree finds its leaves."""
BLOCKS = (64, 128, 192, 256, 320, 384, 512, 768, 1_024)
TIMES_BAR, SAME_BAR = Bar(8.0), Bar(0.0, at_most=True)


@dataclass(frozen=True)
class Model:
    """The same heads twice, and rows to score."""

    trees: Sequence[TreeScorer]
    boosters: Sequence[Any]
    rows: Matrix

    def ours(self) -> Scores:
        """float64[heads, rows]: raw scores of the bit vectors; as in a request, rows are ranked once."""
        ranks = self.trees[0].scale.ranks(self.rows)
        return np.array([each.sums(ranks, len(self.rows)) for each in self.trees])

    def theirs(self) -> Scores:
        """float64[heads, rows]: what LightGBM says."""
        return np.array([each.predict(self.rows, raw_score=True, num_threads=1) for each in self.boosters])


@dataclass(frozen=True)
class Compared:
    """All heads of one model over its rows, in turns: milliseconds of both, and how far they are apart."""

    ours_ms: Sequence[float]
    theirs_ms: Sequence[float]
    times: Interval
    difference: float
    """The largest between two raw scores, rows with missing values included."""

    def figures(self) -> dict[str, Any]:
        return {
            "ours": latency(self.ours_ms).figures(),
            "lightgbm": latency(self.theirs_ms).figures(),
            "times_faster_at_p50": self.times.as_figure(),
            "largest_difference": self.difference,
        }


def model_of(texts: Sequence[str], rows: Matrix) -> Model:
    """Both scorers of these LightGBM texts; NotHeld if bit vectors cannot hold one."""
    import lightgbm

    from serving.scales import Scale
    from serving.tree_scorers import TreeScorer
    from serving.tree_texts import forest_of

    forests = [forest_of(text) for text in texts]
    scale, boosters = Scale.of(forests), [lightgbm.Booster(model_str=text) for text in texts]
    return Model([TreeScorer.on(scale, each) for each in forests], boosters, np.ascontiguousarray(rows))


def champions(places: Places) -> Model:
    """The champion's heads over candidates of people who joined; LookupError if there is no champion."""
    from feature_repo.log import EventLog
    from serving import registry
    from serving.champions import NO_RELEASE
    from serving.compose import offline
    from serving.releases import read_release

    found = registry.champion(places)
    if found is None:
        raise LookupError(NO_RELEASE)
    release, now_us = read_release(found[1]), EventLog(places.log).end_us()
    feed, people = offline(places, release, now_us)
    funnel = feed.rank(people.query(1, 1, now_us), np.random.default_rng(0))
    candidates = funnel.scored["features"]
    return model_of(list(release.heads.values()), np.resize(candidates, (ROWS, candidates.shape[1])))


def grown(trees: int, leaves: int, seed: int) -> Model:
    """Heads of exactly this size, each on labels of its own; a tenth of all values is missing."""
    rng = np.random.default_rng([seed, leaves])
    rows = noise(GROWN_ON, rng)
    return model_of([_text(rows, trees, leaves, rng) for _ in range(HEADS)], noise(ROWS, rng))


def noise(n: int, rng: np.random.Generator) -> Matrix:
    rows = rng.normal(size=(n, COLUMNS)).astype(np.float32)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    return rows


def _text(rows: Matrix, trees: int, leaves: int, rng: np.random.Generator) -> str:
    import lightgbm

    liked = np.nan_to_num(rows) @ rng.normal(size=COLUMNS) + rng.normal(size=len(rows)) * 5 > 0
    how = {"objective": "binary", "num_leaves": leaves, "min_data_in_leaf": 20, "num_threads": 1}
    quiet = {"verbosity": -1, "deterministic": True, "seed": 1}
    table = lightgbm.Dataset(rows, liked.astype(float))
    return str(lightgbm.train({**how, **quiet}, table, trees).model_to_string())


def compared(model: Model, turns: int, rng: np.random.Generator) -> Compared:
    """Both once for nothing, then in turns; the i-th times of both are neighbours and resampled together."""
    difference = float(np.abs(model.ours() - model.theirs()).max())
    pairs = [(_ms(model.ours), _ms(model.theirs)) for _ in range(turns)]
    ours_ms, theirs_ms = (list(each) for each in zip(*pairs, strict=True))
    return Compared(ours_ms, theirs_ms, ratio_at_p50(theirs_ms, ours_ms, rng), difference)


def _ms(score: Callable[[], object]) -> float:
    began = time.perf_counter()
    score()
    return (time.perf_counter() - began) * 1e3


def kernel_of(block: int) -> Kernel:
    """The server's own kernel for another number of rows at once, which it takes for a constant."""
    from numba import njit

    from serving import tree_scorers

    code: Any = tree_scorers._add_trees
    loop = code.py_func
    made: Kernel = njit(nogil=True)(FunctionType(loop.__code__, {**loop.__globals__, "BLOCK": block}))
    return made


def scored_by(kernel: Kernel, ranks: Ranks, trees: TreeScorer, rows: int) -> Scores:
    """What `TreeScorer.sums` does, by this kernel, for ranks in its blocks."""
    found, (remain, ends) = np.zeros(rows, np.float64), np.empty((2, ranks.shape[-1]), np.uint8)
    kernel(ranks, trees.bunches, trees.starts, trees.columns, trees.bars, trees.keeps,
           trees.leaf_starts, trees.leaves, remain, ends, found)  # fmt: skip
    return found


def swept(model: Model, blocks: Sequence[int], turns: int) -> dict[int, list[float]]:
    """Milliseconds of all heads by rows at once; every kernel has its turn before one has its second."""
    kernels = {block: kernel_of(block) for block in blocks}

    def scores(block: int) -> Scores:
        ranks = model.trees[0].scale.ranks(model.rows, block)
        return np.array([scored_by(kernels[block], ranks, each, len(model.rows)) for each in model.trees])

    for block in blocks:
        np.testing.assert_array_equal(scores(block), model.ours())
    found: dict[int, list[float]] = {block: [] for block in blocks}
    for _, block in itertools.product(range(turns), blocks):
        found[block].append(_ms(partial(scores, block)))
    return found


def models(places: Places, seed: int) -> Iterator[tuple[str, Model]]:
    """The champion, then those grown here."""
    yield "champion", champions(places)
    for name, (trees, leaves) in SIZES.items():
        yield name, grown(trees, leaves, seed)


def verdicts(found: dict[str, Compared]) -> list[Verdict]:
    """The size the server is held to is judged on speed; every model on equality."""
    same = [Verdict(f"largest difference, {name}", each.difference, SAME_BAR) for name, each in found.items()]
    times = found[JUDGED].times
    return [
        *same,
        Verdict(f"times faster at p50, {JUDGED}", times.value, TIMES_BAR),
        Verdict("the same, low end of its interval", times.low, TIMES_BAR),
    ]


def tell(found: dict[str, Compared], blocks: dict[int, list[float]]) -> None:
    """Two tables: the arms, and the kernel by rows at once."""
    from rich.console import Console
    from rich.table import Table

    from serving.scales import BLOCK

    arms = Table("heads", "ours ms", "LightGBM ms", "times faster at p50", "largest difference")
    for name, each in found.items():
        times = f"{each.times.value:.1f} [{each.times.low:.1f}, {each.times.high:.1f}]"
        ours, theirs = (f"{latency(ms).p50_ms:.2f}" for ms in (each.ours_ms, each.theirs_ms))
        arms.add_row(name, ours, theirs, times, f"{each.difference:g}")
    sweep = Table("rows at once", "p50 ms", title=JUDGED, title_justify="left")
    for block, ms in blocks.items():
        sweep.add_row(f"{block}{'  (BLOCK)' if block == BLOCK else ''}", f"{latency(ms).p50_ms:.2f}")
    Console().print(arms, sweep)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m labs bench-scorer", description=__doc__)
    made.add_argument("--turns", type=int, default=TURNS, help="of each arm (default %(default)s)")
    return made


def main(argv: Sequence[str]) -> int:
    asked = parser().parse_args(argv)
    if asked.turns < 2:
        parser().error("an interval needs --turns of 2 or more")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before LightGBM is loaded: a waiting thread takes a core
    run, found, blocks = run_from_environment(), dict[str, Compared](), dict[int, list[float]]()
    for name, model in models(run.places, run.seed):
        print(f"scoring with {name} ...", flush=True)
        found[name] = compared(model, asked.turns, np.random.default_rng([run.seed, 59]))
        if name == JUDGED:
            blocks = swept(model, BLOCKS, max(2, asked.turns // 3))
    tell(found, blocks)
    judged = verdicts(found)
    show(f"{ROWS} rows, one thread, {asked.turns} turns", judged)
    figures = {
        "rows": ROWS,
        "models": {name: each.figures() for name, each in found.items()},
        "p50_ms_by_block": {block: latency(ms).p50_ms for block, ms in blocks.items()},
        "verdicts": [verdict.figures() for verdict in judged],
        "load_average": os.getloadavg()[0],
    }
    print(f"report: {write_report(run, 'bench-scorer', figures)}\nnext: make bench-serving")
    return exit_status(judged)
