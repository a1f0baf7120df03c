"""The card's figures, each with a 95 % interval by Poisson bootstrap: over people, or over videos.

Every figure of people is a function of sums per person, so a draw reweights people and sums again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_repo.clock import DAY_US
from simulator.card_rows import REACTED, Observed

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SIGNALS = ("click", "play", *REACTED)
RATES = ("click", "long_view", "zero_play", "explored", *REACTED)
QUARTERS = 4
DRAWS = 400

EXPOSURE_DAYS = 14
"""The Gini counts exposures of so many last days."""
COHORT_DAYS, FOLLOWED_DAYS = 3, 11
"""Uploads of the log's first three days, followed for eleven: the shape of S6's cohort."""


@dataclass(frozen=True)
class Estimate:
    """A figure, its 95 % interval, and the units (impressions, gaps, days, videos) it rests on."""

    value: float
    low: float
    high: float
    n: int


def people_figures(
    seen: Observed, random_long_view: Floats, rng: np.random.Generator, draws: int = DRAWS
) -> dict[str, Estimate]:
    """Figures of watching and returning; `random_long_view` per impression, NaN where it was not asked."""
    rows, days = seen.impressions, seen.days
    people = np.unique(np.concatenate([rows["user_id"].to_numpy(), days["user_id"].to_numpy()]))
    at = np.searchsorted(people, rows["user_id"].to_numpy())
    weights = np.vstack([np.ones(len(people)), rng.poisson(1.0, (draws, len(people)))])
    gaps = _spells(days, people)
    columns = _sums(rows, at, len(people), random_long_view) | gaps
    names, sums = list(columns), np.column_stack(list(columns.values()))
    totals = dict(zip(names, (weights @ sums).T, strict=True))
    with np.errstate(invalid="ignore", divide="ignore"):  # a draw may leave a small world's quarter empty
        found = {name: _interval(values, len(rows)) for name, values in _rates(totals).items()}
    completed = int(sum(gaps[name].sum() for name in gaps if name.startswith("ended_")))
    found |= {name: _interval(values, completed) for name, values in _gaps(totals).items()}
    return found | _quantiles_of_days(days, people, weights) | _quantiles_of_rows(rows, at, len(people))


def _quantile_of(values: Floats, share: float, weights: Floats) -> float:
    return weighted_quantile(values, weights, share)


def video_figures(
    seen: Observed, start_us: int, end_us: int, rng: np.random.Generator, draws: int = DRAWS
) -> dict[str, Estimate]:
    """Inequality of exposure, durations, and how impressions fade with a video's age."""
    seconds = np.sort(seen.videos["duration_s"].drop_nulls().to_numpy())
    shares = (("duration_p10_s", 0.1), ("duration_median_s", 0.5), ("duration_p90_s", 0.9))
    found = {}
    for name, share in shares:
        quantile = partial(_quantile_of, seconds, share)
        found[name] = over_videos(quantile, len(seconds), rng, draws)
    shown = np.sort(exposures(seen, end_us - EXPOSURE_DAYS * DAY_US))
    found["exposure_gini"] = over_videos(lambda weights: gini(shown, weights), len(shown), rng, draws)
    met = (shown > 0).astype(np.float64)
    found["videos_never_shown"] = over_videos(
        lambda weights: 1.0 - _mean(met, weights), len(shown), rng, draws
    )
    ages = exposures_by_age(seen, start_us)
    found["age_decay"] = over_videos(lambda weights: decay(weights @ ages), len(ages), rng, draws)
    return found


def over_people(rows: pl.DataFrame, names: Sequence[str], rng: np.random.Generator) -> dict[str, Estimate]:
    """Means of columns of rows with a user_id, bootstrapped over people."""
    people, at = np.unique(rows["user_id"].to_numpy(), return_inverse=True)
    weights = np.vstack([np.ones(len(people)), rng.poisson(1.0, (DRAWS, len(people)))])
    counts = weights @ np.bincount(at)
    sums = {name: weights @ np.bincount(at, rows[name].to_numpy()) for name in names}
    return {name: _interval(total / counts, len(rows)) for name, total in sums.items()}


# --- people ----------------------------------------------------------------------------------------------


def _sums(rows: pl.DataFrame, at: Ints, people: int, random_long_view: Floats) -> dict[str, Floats]:
    """Per-person sums that every figure of impressions is a function of, each [people]."""
    long_view = rows["long_view"].to_numpy()
    columns = {"n": np.ones(len(rows)), "zero_play": rows["zero_play"].to_numpy(), "long_view": long_view}
    columns["explored"] = rows["explored"].to_numpy().astype(np.float64)
    columns["explored_long_view"] = columns["explored"] * long_view
    columns["sampled"] = (~np.isnan(random_long_view)).astype(np.float64)
    columns["random"] = np.nan_to_num(random_long_view)
    for name in SIGNALS:
        signal = rows[name].to_numpy()
        columns |= {name: signal, f"{name}_squared": signal**2, f"{name}_long_view": signal * long_view}
    quarters = activity_quarters(at)
    for number in range(QUARTERS):
        here = (quarters == number).astype(np.float64)
        columns |= {f"q{number}": here, f"q{number}_long_view": here * long_view}
    return {name: np.bincount(at, column, people).astype(np.float64) for name, column in columns.items()}


def _rates(of: Mapping[str, Floats]) -> dict[str, Floats]:
    n = of["n"]
    figures = {name: of[name] / n for name in RATES}
    figures["play_mean_s"] = of["play"] / n
    figures["long_view_random"] = of["random"] / of["sampled"]
    figures["long_view_ratio"] = figures["long_view"] / figures["long_view_random"]
    figures["long_view_explored"] = of["explored_long_view"] / np.maximum(of["explored"], 1.0)
    figures |= {f"corr_{name}": _correlation(of, name) for name in SIGNALS}
    for number in range(QUARTERS):
        figures[f"long_view_activity_q{number + 1}"] = of[f"q{number}_long_view"] / of[f"q{number}"]
    return figures


def _correlation(of: Mapping[str, Floats], name: str) -> Floats:
    """Pearson's r of a signal with long_view, from sums; long_view is 0 or 1, so it is its own square."""
    n, mean, rate = of["n"], of[name] / of["n"], of["long_view"] / of["n"]
    covariance = of[f"{name}_long_view"] / n - mean * rate
    return np.asarray(covariance / np.sqrt((of[f"{name}_squared"] / n - mean**2) * (rate - rate**2)))


def activity_quarters(at: Ints) -> Ints:
    """0..3 per impression, by how active its person is; each quarter holds as many impressions."""
    counts = np.bincount(at)
    order = np.argsort(counts, kind="stable")
    middle = np.cumsum(counts[order]) - counts[order] / 2
    of_people = np.empty(len(counts), dtype=np.int64)
    of_people[order] = np.minimum(QUARTERS * middle / counts.sum(), QUARTERS - 1).astype(np.int64)
    return of_people[at]


def _spells(days: pl.DataFrame, people: Ints) -> dict[str, Floats]:
    """Per person and length k: gaps that ended after k days, and spells still watched at k.

    Each active day begins a spell; the next one ends it, or the last day of the log cuts it.
    """
    users, day = days["user_id"].to_numpy(), days["day"].to_numpy()
    last, at = int(day.max()), np.searchsorted(people, users)
    ended = np.append(users[1:] == users[:-1], False)
    lasted = np.where(ended, np.append(day[1:], 0) - day, last - day)
    longest = max(int(last - day.min()), 3)
    columns = {}
    for length in range(1, longest + 1):
        columns[f"ended_{length}"] = np.bincount(at, ended & (lasted == length), len(people))
        columns[f"at_risk_{length}"] = np.bincount(at, lasted >= length, len(people))
    return {name: column.astype(np.float64) for name, column in columns.items()}


def _gaps(of: Mapping[str, Floats]) -> dict[str, Floats]:
    """Product-limit shares of gaps of 1, 2 and 3 days, and the mean gap up to the longest one that fits."""
    longest = sum(name.startswith("ended_") for name in of)
    staying, mean, found = np.ones_like(of["n"]), np.zeros_like(of["n"]), {}
    for length in range(1, longest + 1):
        mean = mean + staying
        hazard = of[f"ended_{length}"] / np.maximum(of[f"at_risk_{length}"], 1.0)
        found[f"gap_{length}d"] = staying * hazard
        staying = staying * (1.0 - hazard)
    return {name: found[name] for name in ("gap_1d", "gap_2d", "gap_3d")} | {"gap_mean_days": mean}


def _quantiles_of_days(days: pl.DataFrame, people: Ints, weights: Floats) -> dict[str, Estimate]:
    """Quartiles of videos watched per active day, and the upper over the lower."""
    at = np.searchsorted(people, days["user_id"].to_numpy())
    videos = days["videos"].to_numpy()
    grid = np.arange(int(videos.max()) + 1, dtype=np.float64)
    shares = (0.25, 0.5, 0.75)
    draws = np.array(
        [
            [weighted_quantile(grid, counts.astype(np.float64), share) for share in shares]
            for counts in (np.bincount(videos, weight[at], len(grid)) for weight in weights)
        ]
    )
    low, median, high = draws.T
    found = {"q1": low, "median": median, "q3": high, "q3_over_q1": high / np.maximum(low, 1.0)}
    return {f"videos_per_day_{name}": _interval(values, len(days)) for name, values in found.items()}


def _quantiles_of_rows(rows: pl.DataFrame, at: Ints, people: int) -> dict[str, Estimate]:
    play, lengths = rows["play"].to_numpy(), rows["duration_s"].fill_null(np.nan).to_numpy()
    known = np.isfinite(lengths)
    ratio = play[known] / lengths[known]
    return {
        "play_median_s": clustered_median(play, at, people),
        "watch_ratio_median": clustered_median(ratio, at[known], people),
        "duration_shown_median_s": clustered_median(lengths[known], at[known], people),
    }


def clustered_median(values: Floats, at: Ints, people: int) -> Estimate:
    """The median, its interval by inverting that of the share below it (people as clusters)."""
    middle = float(np.median(values))
    counts = np.bincount(at, minlength=people)
    below = np.bincount(at, values <= middle, people)
    error = np.sqrt(((below - 0.5 * counts) ** 2).sum()) / counts.sum()
    low, high = np.quantile(values, np.clip([0.5 - 1.96 * error, 0.5 + 1.96 * error], 0.0, 1.0))
    return Estimate(middle, float(low), float(high), len(values))


# --- videos ----------------------------------------------------------------------------------------------


def exposures(seen: Observed, since_us: int) -> Floats:
    """Impressions since a moment of every video that was ever public, 0 for those nobody met."""
    recent = seen.impressions.lazy().filter(pl.col("served_us") >= since_us)
    counted = recent.group_by("video_id").agg(shown=pl.len().cast(pl.Float64)).collect()
    return seen.videos.join(counted, on="video_id", how="left")["shown"].fill_null(0.0).to_numpy()


def exposures_by_age(seen: Observed, start_us: int) -> Floats:
    """[cohort, FOLLOWED_DAYS] impressions of each video of the first days, by its age in whole days."""
    born = pl.col("uploaded_us")
    cohort = seen.videos.filter((born >= start_us) & (born < start_us + COHORT_DAYS * DAY_US))
    numbered = cohort.select("video_id", "uploaded_us").with_row_index("row")
    met = seen.impressions.select("video_id", "served_us").join(numbered, on="video_id")
    age = met.select((pl.col("served_us") - pl.col("uploaded_us")) // DAY_US).to_series().to_numpy()
    kept = (age >= 0) & (age < FOLLOWED_DAYS)
    cells = met["row"].to_numpy()[kept].astype(np.int64) * FOLLOWED_DAYS + age[kept]
    counts = np.bincount(cells, minlength=len(cohort) * FOLLOWED_DAYS).astype(np.float64)
    return counts.reshape(len(cohort), FOLLOWED_DAYS)


def decay(by_age: Floats) -> float:
    """e of impressions ~ (1 + age)^-e, least squares in logarithms; NaN where an age has none."""
    if not (by_age > 0).all():
        return float("nan")
    slope, _ = np.polyfit(np.log1p(np.arange(len(by_age))), np.log(by_age), 1)
    return -float(slope)


def gini(ascending: Floats, weights: Floats | None = None) -> float:
    """Gini coefficient of sorted amounts, each counted `weights` times: 1 less twice Lorenz's area."""
    each = np.ones(len(ascending)) if weights is None else weights
    held = np.cumsum(each * ascending)
    if not len(held) or held[-1] == 0:
        return float("nan")
    below = np.concatenate([[0.0], held[:-1]])
    return 1.0 - float(each @ (held + below)) / (float(each.sum()) * float(held[-1]))


def weighted_quantile(ascending: Floats, weights: Floats, share: float) -> float:
    """The first of the sorted values at which this share of the weight is reached."""
    reached = np.cumsum(weights)
    return float(ascending[min(int(np.searchsorted(reached, share * reached[-1])), len(ascending) - 1)])


def _mean(values: Floats, weights: Floats) -> float:
    return float(weights @ values / weights.sum())


def over_videos(
    statistic: Callable[[Floats], float], videos: int, rng: np.random.Generator, draws: int
) -> Estimate:
    """A statistic of weighted videos, itself first, then bootstrapped."""
    values = [statistic(np.ones(videos))]
    values += [statistic(rng.poisson(1.0, videos).astype(np.float64)) for _ in range(draws)]
    return _interval(np.asarray(values), videos)


def _interval(values: Floats, n: int) -> Estimate:
    """The figure itself comes first, its bootstrap draws after it."""
    drawn = values[1:][np.isfinite(values[1:])]
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (np.nan, np.nan)
    return Estimate(float(values[0]), float(low), float(high), n)
