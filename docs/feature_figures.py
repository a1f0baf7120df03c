"""What documents say of the feature plane, from its reports: parity, planted skews, speed beside rivals."""

from __future__ import annotations

from collections.abc import Sequence

from docs.quoted import LAPTOP, Figures, report, table

PARITY = "audit-parity"
PLANTS = ("unit", "default", "stale-table", "boundary")
FEATURE_REPORTS = ("bench-features", "engines", PARITY, *(f"{PARITY}-{plant}" for plant in PLANTS))
"""The verbs whose reports these blocks quote."""


def bench_features(figures: Figures) -> str:
    """The feature plane beside its rivals, as `make bench-features` prints it."""
    found = report(figures, LAPTOP, "bench-features", "make bench-features")
    names = ("what", "n", "ours", "rival", "ratio", "bar", "met")
    rows = [tuple(_cell(line[name]) for name in names) for line in found["lines"]]
    wrong = sum(found["differing_cells"].values())
    said = (
        f"All competitors in one run, {found['processors']} cores, load {found['load_average_before']:.1f} "
        f"before it; {wrong} cells differ from the oracles."
    )
    return f"{said}\n\n{table(names, rows)}"


def audit_parity(figures: Figures) -> str:
    """A clean day, and the days that were spoilt on purpose."""
    clean = parity_sentence(report(figures, LAPTOP, PARITY, "make audit-parity"))
    head, *rows = planted_table(figures["runs"][LAPTOP])
    return f"{clean}\n\n{table(head, rows)}" if rows else clean


def _cell(value: object) -> str:
    """Three digits that say something; a missed bar is loud."""
    if value is None or isinstance(value, bool):
        return {None: "", True: "yes", False: "**missed**"}[value]
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


WAYS = {"brute_force": "brute force over the raw log", "feast_duckdb": "Feast's DuckDB store"}


def parity_sentence(found: Figures) -> str:
    """What a clean day's audit found, each way with its n."""
    served = found["served"]
    ways = [
        f"{sum(found[way]['differing'].values())} of {found[way]['cells']:,} cells of "
        f"{found[way]['rows']:,} rows differ from {name}"
        for way, name in WAYS.items()
    ]
    return (
        f"{found['hours']:g} hours of {found['people']:,} people: {served['rows']:,} impressions, "
        f"{served['cells']:,} cells; **{served['mismatched']:,} mismatched**, "
        f"{served['explained_share']:.2%} stale or late (at most 1 %). {ways[0]}; {ways[1]}."
    )


def planted_table(reports: Figures) -> list[tuple[str, ...]]:
    """Each planted skew: cells that mismatched, and the columns in which the audit named the cause."""
    rows: list[tuple[str, ...]] = [("planted", "impressions", "cells mismatched", "named", "in")]
    for plant in PLANTS:
        found = reports.get(f"{PARITY}-{plant}")
        if found is not None:
            rows.append((plant, *_planted(found["figures"])))
    return rows


def _planted(found: Figures) -> tuple[str, ...]:
    served = found["served"]
    causes: dict[str, list[str]] = {}
    for column, told in served["columns"].items():
        for cause in told["causes"]:
            if cause not in ("stale", "late", "unexplained"):
                causes.setdefault(cause, []).append(column)
    cause, columns = max(causes.items(), key=lambda each: len(each[1]), default=("nothing", []))
    return f"{served['rows']:,}", f"{served['mismatched']:,}", cause, _shortened(columns)


def _shortened(columns: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in columns[:2])
    return shown if len(columns) <= 2 else f"{shown} and {len(columns) - 2} more"
