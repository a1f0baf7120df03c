"""What documents say of the server's speed, from the report of its benchmark: arms, bars, cores, stages."""

from __future__ import annotations

from docs.quoted import LAPTOP, Figures, interval, number, report, table

CALLED = {
    "ours_quiet": "ours, core quiet before and after",
    "ours_not_quiet": "ours, core not quiet",
}
"""Arms whose name is no word."""


def bench_serving(figures: Figures) -> str:
    """Latency of whole requests, ours, the naive server's and the floor's, and where our milliseconds go."""
    found = report(figures, LAPTOP, "bench-serving", "make bench-serving")
    rows = [
        _latency_row(found, arm, way)
        for way in ("one_at_a_time", "four_at_a_time")
        for arm in ("ours", "ours_quiet", "ours_not_quiet", "naive", "floor")
        if arm in found[way]
    ]
    arms = table(("server", "p50 ms", "p90 ms", "p99 ms", "requests"), rows)
    reached = table(("what", "found", "bar", "met"), [_bar_row(bar) for bar in found["bars"]])
    spent = f"Mean milliseconds per stage of ours: {_stages(found)}."
    told = (_conditions(found), arms, reached, _workers(found["workers"]), spent)
    return "\n\n".join(told)


def _workers(found: Figures) -> str:
    """What a second process adds, and which cores there were for it."""
    several, rate, cores = found["several"], "requests_per_second", "server_cores"
    allowed = interval(found["times_more_apart"], 2)
    share = interval(found["share_of_apart"], 2)
    alone = " and ".join(number(arm[rate], 0) for arm in found["alone"])
    return (
        f"{found['at_once']} clients at once: one process {alone} requests/s (alone, on each of the cores), "
        f"{found['workers']} processes {number(several[rate], 0)}, {interval(found['times_more'], 2)} times "
        f"as many as the mean of these. Of {found['cores']} cores they computed on "
        f"{number(several[cores], 2)}, and the clients on {number(several['client_cores'], 2)}. As many "
        f"servers that share nothing answered {allowed} times as many: that is what the machine allows, and "
        f"processes that share one history reach {share} of it."
    )


def _bar_row(bar: Figures) -> tuple[str, ...]:
    return (bar["what"], number(bar["found"], 2), bar["bar"], "yes" if bar["met"] else "**missed**")


def _stages(found: Figures) -> str:
    """Stages of one feed in their order, then the whole request; other routes are not part of it."""
    told = {stage: ms for stage, ms in found["stage_ms"].items() if not stage.startswith("http ")}
    if (whole := found["stage_ms"].get("http /v1/feed")) is not None:
        told["whole request"] = whole
    return ", ".join(f"{stage} {number(ms, 2)}" for stage, ms in told.items())


def _conditions(found: Figures) -> str:
    ratio = interval(found["one_at_a_time"]["times_faster_at_p50"], 1)
    asked, scored = f"{found['distinct_people']:,}", f"{found['candidates']['median']:.0f}"
    size = f"{found['videos']:,} videos, 5 heads of {found['trees_per_head']} trees"
    return (
        f"{size}; {asked} distinct people, {scored} candidates scored (median), events interleaved; "
        f"same slates for both: {found['same_slates']} of {found['compared_slates']} people compared. "
        f"Times faster than naive at the median, one at a time: {ratio}. {_on_a_quiet_core(found)}"
    )


def _on_a_quiet_core(found: Figures) -> str:
    """What the bars are of."""
    alone = found["one_at_a_time"]
    p50, p99 = (interval(alone[name], 1) for name in ("quiet_p50_ms", "quiet_p99_ms"))
    return (
        f"The same work, timed on our core before and after each request, was at its best both times for "
        f"{alone['ours_quiet']['requests']:,} of them: median {p50} ms, p99 {p99} ms. Before or after the "
        "others it took longer, as it does beside a neighbour on a rented core."
    )


def _latency_row(found: Figures, arm: str, way: str) -> tuple[str, ...]:
    row, name = found[way][arm], f"{CALLED.get(arm, arm)}, {way.replace('_', ' ')}"
    milliseconds = (number(row[quantile], 1) for quantile in ("p50_ms", "p90_ms", "p99_ms"))
    return (name, *milliseconds, f"{row['requests']:,}")
