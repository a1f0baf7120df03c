"""How fast are window sums? Our one pass, polars and pandas in turns, and one person's value from the stream.

Each event asks for count and milliseconds watched over the last hour, day and week of its key, strictly
before itself. The clock starts with unsorted arrays and stops with answers in the same order; whatever is
compiled was compiled before. Moments are distinct and known at once, because rivals have one clock. A sample
of every arm's answers is compared with the law, fact by fact.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_repo.catalogue import USER_STATS, VIDEO_STATS, View
from feature_repo.clock import DAY_US, HOUR_US
from feature_repo.facts import EVENTS, NOBODY, Facts, Known, Makers
from feature_repo.formulas import formula
from feature_repo.streams import FeatureStream
from feature_repo.windows import sums_before

Ints = NDArray[np.int64]
Arm = Callable[[Facts, View], Ints]
"""int64[n, 6] in the order of the facts: the sums of WANTED."""

START_US = 20_000 * DAY_US
WINDOWS_US = (HOUR_US, DAY_US, 7 * DAY_US)
COUNT, WATCHED = EVENTS.index("impressions"), EVENTS.index("watched_ms")
WANTED = np.array([(window, event) for window in range(len(WINDOWS_US)) for event in (COUNT, WATCHED)])
"""The (window number, event number) of every column an arm answers."""
LONGEST_WATCH_MS = 60_000
POPULARITY = 0.8
"""Exponent of Zipf's law for videos."""


@dataclass(frozen=True)
class Size:
    """How much there is, how often each arm runs, how many answers are compared, whom the stream is asked."""

    events: int = 1_000_000
    users: int = 20_000
    videos: int = 50_000
    days: int = 14
    rounds: int = 3
    compared: int = 20_000
    asked: int = 5_000


def measure(seed: int, size: Size | None = None, arms: Mapping[str, Arm] | None = None) -> dict[str, Any]:
    """Figures per key of the facts, and of the stream over the same facts."""
    size, arms = size or Size(), ARMS if arms is None else arms
    facts = facts_of(np.random.default_rng([seed, 4]), size)
    views = {"user": USER_STATS, "video": VIDEO_STATS}
    return {
        "size": asdict(size),
        "keys": {name: _measured(facts, view, size, arms, seed) for name, view in views.items()},
        "stream": stream_figures(facts, size, np.random.default_rng([seed, 6])),
        "load_average": os.getloadavg()[0],
    }


def facts_of(rng: np.random.Generator, size: Size) -> Facts:
    """Watches in no order, each known when it happened, no two at one moment; videos by Zipf's law."""
    n = size.events
    slot_us = size.days * DAY_US // n
    moments = START_US + rng.permutation(n) * slot_us + rng.integers(0, slot_us, n)
    weights = np.cumsum(np.arange(1, size.videos + 1) ** -POPULARITY)
    videos = np.searchsorted(weights, rng.random(n) * weights[-1], side="right")
    amounts = np.zeros((n, len(EVENTS)), np.int32)
    amounts[:, COUNT], amounts[:, WATCHED] = 1, rng.integers(0, LONGEST_WATCH_MS, n)
    nobody, users = np.full(n, NOBODY, np.int64), rng.integers(0, size.users, n)
    kept = np.minimum(videos, size.videos - 1)
    return Facts(users, kept, nobody, nobody, moments, moments, moments, amounts)


def ours(facts: Facts, view: View) -> Ints:
    """One pass over the facts in order, which ask as they enter."""
    return sums_before(facts, view, WINDOWS_US, WANTED)


def with_polars(facts: Facts, view: View) -> Ints:
    """`rolling` grouped by key, once per window."""
    columns = {"key": facts.keys_for(view), "at": facts.event_us, "watched": facts.amounts[:, WATCHED]}
    frame = pl.DataFrame(columns).with_row_index("row").sort("key", "at")
    found = np.empty((len(facts), len(WANTED)), np.int64)
    for place, window_us in enumerate(WINDOWS_US):
        rolled = frame.rolling("at", period=f"{window_us}i", closed="left", group_by="key")
        summed = rolled.agg(pl.len(), pl.col("watched").cast(pl.Int64).sum())
        found[frame["row"], 2 * place : 2 * place + 2] = summed.select("len", "watched").to_numpy()
    return found


def with_pandas(facts: Facts, view: View) -> Ints:
    """`groupby.rolling`, as its documentation has it; sums of whole numbers are exact in float64."""
    import pandas as pd

    at = pd.to_datetime(facts.event_us, unit="us")
    frame = pd.DataFrame({"key": facts.keys_for(view), "watched": facts.amounts[:, WATCHED]}, index=at)
    frame["row"] = np.arange(len(frame))
    frame = frame.rename_axis("at").sort_values(["key", "at"])
    found = np.empty((len(facts), len(WANTED)), np.int64)
    for place, window_us in enumerate(WINDOWS_US):
        window = pd.Timedelta(window_us, unit="us")
        rolled = frame.groupby("key")["watched"].rolling(window, closed="left")
        for column, summed in enumerate((rolled.count(), rolled.sum())):
            found[frame["row"].to_numpy(), 2 * place + column] = summed.fillna(0).to_numpy()
    return found


OURS, POLARS, PANDAS = "ours", "polars", "pandas"
ARMS: Mapping[str, Arm] = {OURS: ours, POLARS: with_polars, PANDAS: with_pandas}


def by_hand(
    facts: Facts, view: View, windows_us: Sequence[int], wanted: Ints, keys: Ints, moments_us: Ints
) -> Ints:
    """int64[m, wanted]: the law, among the facts of each asked key, at each asked moment."""
    order = np.argsort(facts.keys_for(view), kind="stable")
    sorted_keys = facts.keys_for(view)[order]
    found = np.zeros((len(keys), len(wanted)), np.int64)
    for row, (key, now_us) in enumerate(zip(keys.tolist(), moments_us.tolist(), strict=True)):
        first, end = np.searchsorted(sorted_keys, (key, key + 1))
        mine = order[first:end]
        known, event_us = facts.known_us[mine] < now_us, facts.event_us[mine]
        counted = [mine[known & (now_us <= event_us + window_us)] for window_us in windows_us]
        found[row] = [facts.amounts[counted[window], event].sum() for window, event in wanted.tolist()]
    return found


def _measured(facts: Facts, view: View, size: Size, arms: Mapping[str, Arm], seed: int) -> dict[str, Any]:
    """Every arm in turns, after a small run of each that compiles and imports."""
    few = facts.take(slice(0, 1_000))
    for arm in arms.values():
        arm(few, view)
    n = len(facts)
    sample = np.random.default_rng([seed, 5]).choice(n, min(n, size.compared), replace=False)
    moments, keys = facts.event_us[sample], facts.keys_for(view)[sample]
    wanted = by_hand(facts, view, WINDOWS_US, WANTED, keys, moments)
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    differing = dict.fromkeys(arms, 0)
    for _ in range(size.rounds):
        for name, arm in arms.items():
            began = time.perf_counter()
            found = arm(facts, view)
            seconds[name].append(time.perf_counter() - began)
            differing[name] = max(differing[name], int((found[sample] != wanted).sum()))
    told = {name: _arm_figures(each, n, differing[name], wanted.size) for name, each in seconds.items()}
    base = told[OURS]["seconds"]
    return {"arms": told, "times_ours": {name: arm["seconds"] / base for name, arm in told.items()}}


def _arm_figures(seconds: Sequence[float], rows: int, differing: int, compared: int) -> dict[str, Any]:
    median = statistics.median(seconds)
    return {
        "seconds": median,
        "all_seconds": list(seconds),
        "rows": rows,
        "rows_per_second": rows / median,
        "differing_cells": differing,
        "compared_cells": compared,
        "n": len(seconds),
    }


def stream_figures(facts: Facts, size: Size, rng: np.random.Generator) -> dict[str, Any]:
    """Microseconds for one person's statistics at a moment of the second half, each asked alone."""
    nothing = np.zeros(0, np.int64)
    known = Known(Makers(nothing, nothing, nothing, nothing))
    stream = FeatureStream(facts, known, START_US)
    people = rng.integers(0, size.users, size.asked)
    moments = START_US + rng.integers(size.days * DAY_US // 2, size.days * DAY_US, size.asked)
    stream.value(USER_STATS, people[:1], int(moments[0]))
    spent_us, values = [], []
    for person, now_us in zip(people, moments.tolist(), strict=True):
        began = time.perf_counter()
        steps = stream.value(USER_STATS, [int(person)], now_us)
        spent_us.append((time.perf_counter() - began) * 1e6)
        values.append(steps.values[0])
    sums = by_hand(facts, USER_STATS, USER_STATS.windows_us, formula(USER_STATS.name).wanted, people, moments)
    wanted = formula(USER_STATS.name).values(sums)
    p50, p99 = (float(q) for q in np.quantile(spent_us, (0.5, 0.99)))
    differing = int((np.stack(values) != wanted).sum())
    facts_each = len(facts) / size.users
    return {
        "p50_us": p50,
        "p99_us": p99,
        "facts_per_person": facts_each,
        "differing_cells": differing,
        "compared_cells": int(wanted.size),
        "n": len(spent_us),
    }
