"""How good could a perfect model look? Bayes ceilings of each label on this run's own impressions.

From the sealed probability of every impression that people (no bots) examined: the AUC and the log-loss, in
expectation, of who knows that probability. A model that scores above the interval on the same impressions has
seen something it should not have. Intervals are over label noise: where 95 of 100 such logs would put it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from feature_repo.clock import DAY_US
from feature_repo.places import Run, run_from_environment

if TYPE_CHECKING:
    from simulator.ceilings import Ceiling, Estimate

SURFACES = {"swipe": 0, "grid": 1}


def answered(run: Run, last_days: int | None) -> Mapping[str, Mapping[str, Ceiling]]:
    """By surface and label, on the whole log or on its last days."""
    from simulator import shadow
    from simulator.ceilings import ceilings
    from simulator.logs import world_of

    world = world_of(run)
    start_us = world.start_us if last_days is None else world.end_us - last_days * DAY_US
    rows = shadow.impressions(run.places).filter(pl.col("started_us") >= start_us).collect()
    return {name: ceilings(world, rows, surface) for name, surface in SURFACES.items()}


def show(found: Mapping[str, Mapping[str, Ceiling]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("surface", "label", "impressions", "rate", "AUC at best", "log-loss at best")
    for surface, labels in found.items():
        for label, of in labels.items():
            rate = f"{of.rate:.4f}"
            table.add_row(surface, label, f"{of.n:,}", rate, printed(of.auc), printed(of.log_loss))
        table.add_section()
    Console().print(table)


def printed(of: Estimate) -> str:
    return f"{of.value:.4f} [{of.low:.4f}, {of.high:.4f}]"


def figures(found: Mapping[str, Mapping[str, Ceiling]]) -> dict[str, Any]:
    def one(of: Ceiling) -> dict[str, Any]:
        estimates = {"auc": of.auc, "log_loss": of.log_loss}
        return {"rate": of.rate, **{name: each._asdict() | {"n": of.n} for name, each in estimates.items()}}

    return {surface: {label: one(of) for label, of in labels.items()} for surface, labels in found.items()}


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m labs ceilings", description=__doc__)
    parser.add_argument("--last-days", type=int, help="only impressions of the log's last days")
    asked = parser.parse_args(argv)
    run = run_from_environment()
    if run.logs != "simulated":
        print(f"ceilings: nobody knows the odds in {run.logs} logs; LOGS must be simulated.", file=sys.stderr)
        return 2
    from feature_repo.reports import write_report

    found = answered(run, asked.last_days)
    show(found)
    print(f"report: {write_report(run, 'ceilings', figures(found))}\nnext: python -m labs true-value")
    return 0
