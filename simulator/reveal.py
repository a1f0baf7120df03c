"""`python -m simulator reveal`: open the sealed truth of a hidden world, and note that it was opened."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from feature_repo.places import run_from_environment
from simulator import sealed
from simulator.coefficients import PUBLISHED, REACTIONS, Coefficients

PARTS = ("intercept", "satisfaction", "long view", "warmth")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="simulator reveal", description="Open the sealed truth of a world lived with `logs --hidden`."
    )
    parser.parse_args(argv)
    root = run_from_environment().places.root
    if not sealed.is_sealed(root):
        print(f"reveal: {_nothing_hidden(root)}", file=sys.stderr)
        return 2
    coefficients = sealed.unseal(root / sealed.NAME)
    first = mark_opened(root, dt.datetime.now(dt.UTC))
    console = Console()
    console.print(_closing_table(root, coefficients))
    console.print(f"First opened {first}; what is claimed of this world from then on is no blind result.")
    console.print("next: python -m labs true-value")
    return 0


def mark_opened(root: Path, now: dt.datetime) -> str:
    """Add this moment to the run's record of openings; the first of them, ISO 8601."""
    with (root / sealed.OPENED).open("a", encoding="utf-8") as record:
        record.write(now.isoformat(timespec="seconds") + "\n")
    return (root / sealed.OPENED).read_text("utf-8").splitlines()[0]


def rows(coefficients: Coefficients) -> Iterator[tuple[str, float, float]]:
    """(coefficient, published, this world's) of every number, those of reactions one by one."""
    for name, published, here in zip(Coefficients._fields, PUBLISHED, coefficients, strict=True):
        if isinstance(published, float) and isinstance(here, float):
            yield name, published, here
    for reaction, published, here in zip(REACTIONS, PUBLISHED.reactions, coefficients.reactions, strict=True):
        for part, told, true in zip(PARTS, published, here, strict=True):
            yield f"{reaction}: {part}", told, true


def _nothing_hidden(root: Path) -> str:
    return (
        f"{root} has no hidden truth: its world follows simulator/coefficients.py as published. "
        "To live one that is hidden: python -m simulator logs --hidden"
    )


def _closing_table(root: Path, coefficients: Coefficients) -> Table:
    found = list(rows(coefficients))
    as_published = sum(told == true for _, told, true in found)
    table = Table(title=f"{root}   world {sealed.digest(coefficients)}")
    for column in ("coefficient", "published", "this world's", "difference"):
        table.add_column(column, justify="left" if column == "coefficient" else "right")
    for name, told, true in found:
        if told != true:
            table.add_row(name, f"{told:.3f}", f"{true:.3f}", f"{true - told:+.3f}")
    table.caption = f"{as_published} others as published"
    return table
