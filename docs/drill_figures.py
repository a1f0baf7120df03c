"""What documents say of the server's bad days, from the reports of its drills: bars, and what was found."""

from __future__ import annotations

from collections.abc import Callable

from docs.quoted import LAPTOP, Figures, NotMeasured, interval, number, table

DRILLS = ("bench-scorer", "bench-saturation", "soak", "drill-crash", "drill-faults", "drill-hostile")
"""The verbs whose reports this block quotes, in its order."""


def drills(figures: Figures) -> str:
    """A line per bar of the drills that were run."""
    reports = figures["runs"].get(LAPTOP, {})
    ran = {verb: reports[verb]["figures"] for verb in DRILLS if verb in reports}
    found = {verb: told for verb, told in ran.items() if "verdicts" in told}
    if not found:
        raise NotMeasured(" ".join(["make", *DRILLS]))
    rows = [
        _row(verb, SIZES[verb](told), verdict) for verb, told in found.items() for verdict in told["verdicts"]
    ]
    said = table(("command", "over", "what", "found", "bar", "met"), rows)
    return "\n\n".join([said, *([_ageing(found["soak"]["ageing"])] if "soak" in found else [])])


def _ageing(told: Figures) -> str:
    """What the machine had to do with the soak's p99, and how far its measure of age can be trusted."""
    alike, here = (f"{told[share]:+.0%}" for share in ("of_the_machine", "with_the_machine"))
    return (
        f"In the soak the p99 moved by {here} from the early part to the late, and by {alike} at servers "
        f"just started. Beside these the old server's was {interval(told['late'], 2)} times as long late "
        f"and {interval(told['early'], 2)} times early, where age should do little."
    )


SIZES: dict[str, Callable[[Figures], str]] = {
    "bench-scorer": lambda told: f"{told['rows']} rows",
    "bench-saturation": lambda told: f"{len(told['levels'])} rates",
    "soak": lambda told: f"{told['seconds'] / 60:.1f} minutes",
    "drill-crash": lambda told: f"{told['kills']} kills",
    "drill-faults": lambda told: f"{len(told['faults'])} faults x {told['seconds']:.0f} s",
    "drill-hostile": lambda told: f"{told['cases']:,} cases",
}
"""How much each of them tried."""


def _row(verb: str, size: str, verdict: Figures) -> tuple[str, ...]:
    value = verdict["found"]
    digits = 0 if value is None or float(value).is_integer() else 3
    met = "yes" if verdict["met"] else "**missed**"
    return (f"`make {verb}`", size, verdict["what"], number(value, digits), verdict["bar"], met)
