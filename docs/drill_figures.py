"""What documents say of the server's bad days, from the reports of its drills: bars, and what was found."""

from __future__ import annotations

from collections.abc import Callable

from docs.quoted import LAPTOP, Figures, NotMeasured, number, table

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
    return table(("command", "over", "what", "found", "bar", "met"), rows)


def _minutes(told: Figures) -> str:
    age = told["ageing"]
    alike, here = (f"{share:+.0%}" for share in (age["of_the_machine"], age["with_the_machine"]))
    minutes = told["seconds"] / 60
    return f"{minutes:.0f} minutes, in which p99 moved by {here}, and by {alike} at servers just started"


SIZES: dict[str, Callable[[Figures], str]] = {
    "bench-scorer": lambda told: f"{told['rows']} rows",
    "bench-saturation": lambda told: f"{len(told['levels'])} rates",
    "soak": _minutes,
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
