"""`python -m feature_repo catalogue`: every feature in one table."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence

from feature_repo.catalogue import FEATURES, Feature
from feature_repo.clock import DAY_US, HOUR_US
from feature_repo.matrix import COLUMNS, matrix_hash

HEADINGS = ("feature", "kind", "window", "default", "range", "unknown at most", "owner", "why")


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m feature_repo", description="The contract, printed.")
    parser.add_argument("verb", choices=["catalogue"], help="what to print")
    parser.parse_args(argv)
    print_catalogue()
    return 0


def print_catalogue() -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{len(FEATURES)} features, {len(COLUMNS)} matrix columns, hash {matrix_hash()[:12]}")
    *narrow, last = HEADINGS
    for heading in narrow:
        table.add_column(heading, no_wrap=heading != "unknown at most")
    table.add_column(last, overflow="fold")
    for feature in FEATURES:
        table.add_row(*row_of(feature))
    Console(width=150).print(table)


def row_of(feature: Feature) -> tuple[str, ...]:
    """The feature as words, under HEADINGS."""
    unknown = f"{feature.most_unknown:.1%}".replace(".0%", "%")
    told = (span(feature.window_us), number(feature.default), bounds(feature), unknown)
    return (feature.name, feature.kind, *told, feature.owner, feature.why)


def number(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:g}"


def bounds(feature: Feature) -> str:
    """The range its contract holds a feature to; no infinity is ever in it."""
    low, high = feature.low, feature.high
    if math.isfinite(low):
        return f"{low:g} to {high:g}" if math.isfinite(high) else f"from {low:g}"
    return f"up to {high:g}" if math.isfinite(high) else "any"


def span(duration_us: int) -> str:
    """A duration as people say it; ever, of one longer than any log; nothing for none."""
    if not duration_us:
        return "-"
    if duration_us >= 3650 * DAY_US:
        return "ever"
    return f"{duration_us // DAY_US} d" if duration_us % DAY_US == 0 else f"{duration_us // HOUR_US} h"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
