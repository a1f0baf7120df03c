"""`python -m feature_repo catalogue`: every feature in one table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from feature_repo.catalogue import FEATURES, Feature, view_named
from feature_repo.clock import DAY_US, HOUR_US
from feature_repo.matrix import COLUMNS, matrix_hash


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
    for heading in ("feature", "view", "window", "default", "ttl", "owner"):
        table.add_column(heading, no_wrap=True)
    table.add_column("why", overflow="fold")
    for feature in FEATURES:
        table.add_row(*row_of(feature))
    Console(width=150).print(table)


def row_of(feature: Feature) -> tuple[str, ...]:
    """The feature as words; what no view stores is made by a pure function at request time."""
    ttl_us = view_named(feature.view).ttl_us if feature.view else None
    stored = feature.view or "at request"
    window, ttl = span(feature.window_us), span(ttl_us or 0)
    return (feature.name, stored, window, f"{feature.default:g}", ttl, feature.owner, feature.why)


def span(duration_us: int) -> str:
    """A duration in whole days or hours; nothing for none."""
    if not duration_us:
        return ""
    return f"{duration_us // DAY_US}d" if duration_us % DAY_US == 0 else f"{duration_us // HOUR_US}h"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
