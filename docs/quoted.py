"""How documents print figures: numbers, intervals, tables, and the command that measures what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]

LAPTOP, REAL = "simulated-laptop", "kuairand-laptop"


class NotMeasured(Exception):
    """A block asks for a figure no report holds; the message names the command that writes it."""


def report(figures: Figures, run: str, verb: str, command: str) -> Figures:
    """The figures of one report of one run."""
    found = figures["runs"].get(run, {}).get(verb)
    if found is None:
        raise NotMeasured(command)
    wanted: Figures = found["figures"]
    return wanted


def number(value: float | None, digits: int = 3) -> str:
    """A figure as documents print it; what was not measurable is a dash."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}f}"


def interval(estimate: Figures | float | None, digits: int = 3) -> str:
    """An estimate with its 95 % interval."""
    if not isinstance(estimate, Mapping):
        return number(estimate, digits)
    value, low, high = (number(estimate[name], digits) for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
