"""What the feature plane promises of its speed, beside the figures of each part: lines of one table.

Law: a line without a bar is told and not judged; an answer that differs from the oracle is no measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Figures = Mapping[str, Any]

ASOF, WINDOWS, ONLINE, FRESHNESS = "asof", "windows", "online", "freshness"
MILLION = 1_000_000


@dataclass(frozen=True)
class Bar:
    """What must be reached: at least (or at most) this much."""

    value: float
    at_most: bool = False

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {shown(self.value)}"

    def is_met(self, found: float) -> bool:
        return found <= self.value if self.at_most else found >= self.value


@dataclass(frozen=True)
class Line:
    """One figure of ours, in the unit `what` names, with the rival's and how many times better ours is."""

    what: str
    n: str
    ours: float
    rival: float | None = None
    ratio: float | None = None
    bar: Bar | None = None
    bar_is_on_ratio: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the bar is reached; None without one."""
        if self.bar is None:
            return None
        judged = self.ratio if self.bar_is_on_ratio else self.ours
        return judged is not None and self.bar.is_met(judged)

    def cells(self) -> tuple[str, ...]:
        """(what, n, ours, rival, ratio, bar, met) as printed."""
        bar = "" if self.bar is None else f"{self.bar}{' x' if self.bar_is_on_ratio else ''}"
        met = {None: "", True: "yes", False: "MISSED"}[self.met]
        return (self.what, self.n, *(shown(each) for each in (self.ours, self.rival, self.ratio)), bar, met)

    def figures(self) -> dict[str, Any]:
        told = {"what": self.what, "n": self.n, "ours": self.ours, "rival": self.rival, "ratio": self.ratio}
        return {**told, "bar": self.cells()[-2], "met": self.met}


def shown(value: float | None) -> str:
    """A figure with three digits that say something."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def lines(figures: Figures) -> list[Line]:
    """Every line of the parts that were run, in the order of the parts."""
    return [line for part, told in _LINES.items() if part in figures for line in told(figures[part])]


def differing(figures: Figures) -> dict[str, int]:
    """Cells that differ from the oracle, by part and arm; those that do not are left out."""
    found: dict[str, int] = {}
    for size, each in figures.get(ASOF, {"sizes": {}})["sizes"].items():
        found |= {f"{ASOF} {size} {name}": arm["differing_cells"] for name, arm in each["arms"].items()}
        found[f"{ASOF} {size} order"] = 0 if each["arms"]["ours"]["order_kept"] else each["labels"]
    if WINDOWS in figures:
        for key, each in figures[WINDOWS]["keys"].items():
            found |= {f"{WINDOWS} {key} {name}": arm["differing_cells"] for name, arm in each["arms"].items()}
        found[f"{WINDOWS} stream"] = figures[WINDOWS]["stream"]["differing_cells"]
    if ONLINE in figures:
        found[ONLINE] = figures[ONLINE]["reads"]["differing_cells"]
    return {what: n for what, n in found.items() if n}


_TIMES_DUCKDB = {MILLION: Bar(10.0), 5 * MILLION: Bar(25.0)}
_PEAK_GIB = {5 * MILLION: Bar(2.3, at_most=True), 20 * MILLION: Bar(6.0, at_most=True)}
_LABELS_PER_S = {5 * MILLION: Bar(1.5e6)}
_TIMES_POLARS = {5 * MILLION: Bar(1 / 1.3)}


def _asof(figures: Figures) -> Iterator[Line]:
    for size, found in figures["sizes"].items():
        labels, arms, times = int(size), found["arms"], found["times_ours"]
        ours, what = arms["ours"], f"as-of join of {shown(labels)} labels"
        per_s, n = ours["labels_per_second"], f"{ours['n']} runs"
        yield Line(f"{what}, labels/s", n, per_s, bar=_LABELS_PER_S.get(labels))
        yield Line(f"{what}, peak GiB", n, ours["peak_gib"], bar=_PEAK_GIB.get(labels))
        for rival, bars in (("polars", _TIMES_POLARS), ("duckdb", _TIMES_DUCKDB)):
            if rival in arms:
                runs = f"{ours['n']} and {arms[rival]['n']} runs"
                theirs = arms[rival]["labels_per_second"]
                compared = f"{what} / {rival}, labels/s"
                yield Line(compared, runs, per_s, theirs, times[rival], bars.get(labels), True)


def _windows(figures: Figures) -> Iterator[Line]:
    for key, found in figures["keys"].items():
        arms, times, ours = found["arms"], found["times_ours"], found["arms"]["ours"]
        what, n = f"window sums per {key}", f"{shown(ours['rows'])} rows, {ours['n']} runs"
        per_s = ours["rows_per_second"]
        yield Line(f"{what}, rows/s", n, per_s, bar=Bar(2e6))
        for rival, bar in (("polars", None), ("pandas", Bar(5.0))):
            theirs = arms[rival]["rows_per_second"]
            yield Line(f"{what} / {rival}, rows/s", n, per_s, theirs, times[rival], bar, True)
    stream = figures["stream"]
    for name in ("p50_us", "p99_us"):
        told = f"one person's statistics from the stream, {_quantile(name)}"
        yield Line(told, f"{shown(stream['n'])} people", stream[name])


def _online(figures: Figures) -> Iterator[Line]:
    """Quantiles are of all requests; the ratio is of pairs, each of ours right after one of Feast's."""
    reads, loads = figures["reads"], figures["materialize"]
    ours, feast, times = reads["ours"], reads["feast"], reads["times_faster_at_p50"]
    what = "1 user + 500 videos"
    for name, most in (("p50_ms", 1.5), ("p99_ms", 3.0)):
        asked = f"{shown(ours['requests'])} requests"
        yield Line(f"{what}, {_quantile(name)}", asked, ours[name], bar=Bar(most, at_most=True))
    beside, pairs = feast["p50_ms"] / times["value"], f"{shown(times['n'])} pairs"
    yield Line(f"{what} / Feast, p50 ms", pairs, beside, feast["p50_ms"], times["value"], Bar(30.0), True)
    per_s, theirs = loads["packed_per_s"], loads["feast_per_s"]
    loaded = f"{shown(loads['entities'])} entities, {loads['packed_loads']} and 1 times"
    yield Line("materialize, entities/s", loaded, per_s, theirs, per_s / theirs, Bar(1e5))


def _freshness(figures: Figures) -> Iterator[Line]:
    age, answer = figures["age"], figures["answer"]
    what, n = "acknowledged event to changed feature", f"{shown(age['n'])} people"
    yield Line(f"{what}, p50 ms", n, age["p50_ms"])
    yield Line(f"{what}, p99 ms", n, age["p99_ms"], bar=Bar(1_000.0, at_most=True))
    yield Line(f"{what}, most ms", n, age["max_ms"])
    batches = f"{shown(answer['n'])} batches"
    yield Line("events acknowledged per second", batches, figures["events_per_s"])
    yield Line("batch of events to its answer, p99 ms", batches, answer["p99_ms"])


def _quantile(name: str) -> str:
    """`p50_ms` as `p50 ms`."""
    return name.replace("_", " ")


_LINES: Mapping[str, Callable[[Figures], Iterator[Line]]] = {
    ASOF: _asof,
    WINDOWS: _windows,
    ONLINE: _online,
    FRESHNESS: _freshness,
}
