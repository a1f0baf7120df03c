"""Did the champion see the answers? Nobody orders labels better than who knows every impression's true odds.

On the test rows of people (no bots): each head's AUC less that of the sealed true odds, on the same labels,
paired by user. An interval above zero is a leak: nothing honest has one, but by luck. Beside it a control:
the same head after reading a column that is the row's label with some rows flipped. Where the control does
not come out above zero, or hardly a row is positive, a leak could not be seen: the head is not judged.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from evaluation.intervals import Interval, bootstrap, difference
from evaluation.leakage import FEWEST
from evaluation.ranking import pooled_auc
from feature_repo.places import Run, run_from_environment
from labs.ceilings import printed

if TYPE_CHECKING:
    from simulator.ceilings import Estimate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Verdict = Literal["clean", "LEAKS", "not judged"]

HEADS = ("long_watch", "like")
"""The heads whose true odds the world tells of every impression."""

FLIPPED = 0.1
"""Share of rows on which the control's column tells the other label: a leak far from a copy."""


@dataclass(frozen=True)
class Judged:
    """One head on n rows: its AUC, the ceiling, and how far head and control are above the true odds."""

    auc: Interval
    ceiling: Estimate
    above: Interval
    control: Interval
    n: int
    positives: int

    @property
    def verdict(self) -> Verdict:
        if self.positives < FEWEST or not self.control.is_above(0.0):
            return "not judged"
        return "LEAKS" if self.above.is_above(0.0) else "clean"

    def figures(self) -> dict[str, Any]:
        intervals = {name: getattr(self, name).as_figure() for name in ("auc", "above", "control")}
        ceiling = self.ceiling._asdict() | {"n": self.n}
        return {**intervals, "ceiling": ceiling, "positives": self.positives, "verdict": self.verdict}


def judged(users: Ints, labels: Floats, said: Floats, odds: Floats, rng: np.random.Generator) -> Judged:
    """A head's probabilities beside the true ones, f64[n], on labels of 0 and 1."""
    from simulator.ceilings import ceiling

    head, truth = pooled_auc(users, labels, said), pooled_auc(users, labels, odds)
    told = pooled_auc(users, labels, leaky(said, labels, rng))
    return Judged(
        bootstrap(head, rng),
        ceiling(odds).auc,
        difference(head, truth, rng),
        difference(told, truth, rng),
        len(labels),
        int(labels.sum()),
    )


def leaky(said: Floats, labels: Floats, rng: np.random.Generator) -> Floats:
    """Log-odds of a model that also read each label, FLIPPED of them wrong, and weighs it as Bayes would."""
    p = np.clip(said, 1e-9, 1 - 1e-9)
    read = np.abs(labels - (rng.random(len(labels)) < FLIPPED))
    evidence = np.log((1 - FLIPPED) / FLIPPED) * (2 * read - 1)
    return np.asarray(np.log(p / (1 - p)) + evidence)


def true_odds(run: Run, impression_ids: pl.Series) -> pl.DataFrame:
    """(impression_id, long_watch, like) for impressions of people whose lengths were told as they were."""
    from simulator import shadow
    from simulator.ceilings import like_probabilities
    from simulator.logs import world_of

    odd = pl.col("bot") | pl.col("null_duration") | pl.col("in_seconds")
    wanted = pl.col("impression_id").is_in(impression_ids.implode())
    rows = shadow.impressions(run.places).filter(wanted & pl.col("examined") & ~odd).collect()
    like = pl.Series("like", like_probabilities(world_of(run), rows))
    return rows.select("impression_id", pl.col("long_view").cast(pl.Float64).alias("long_watch"), like)


def answered(run: Run, version: int | None = None) -> dict[str, Judged]:
    """Every head whose odds are known, of the champion or of a registered version."""
    from labs.true_value import release_of
    from pipelines.build_training_set import SNAPSHOT
    from pipelines.plan import Plan
    from pipelines.rescoring import predicted
    from pipelines.training_sets import read_rows

    release, plan = release_of(run.places, version), Plan(run)
    rows = read_rows(plan.rows.needed(plan.work).path / SNAPSHOT, "test")
    said, found = predicted(plan, release, rows), {}
    odds = rows.table.select("impression_id").join(
        true_odds(run, rows.table["impression_id"]), on="impression_id", how="left", maintain_order="left"
    )
    for head in HEADS:
        true = odds[head].to_numpy()
        mask = rows.mature(head) & np.isfinite(true)
        rng = np.random.default_rng([run.seed, 61])
        found[head] = judged(rows.users[mask], rows.label(head)[mask], said[head][mask], true[mask], rng)
    return found


def show(found: Mapping[str, Judged]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "head", "rows", "positive", "AUC", "AUC at best", "above the true odds", "the control", "verdict"
    )
    for head, of in found.items():
        figures = (str(of.auc), printed(of.ceiling), str(of.above), str(of.control))
        table.add_row(head, f"{of.n:,}", f"{of.positives:,}", *figures, of.verdict)
    Console(width=150).print(table)


def main(argv: Sequence[str]) -> int:
    """1 if a head leaks."""
    parser = argparse.ArgumentParser(prog="python -m labs leakage-ceiling", description=__doc__)
    parser.add_argument("--version", type=int, help="a registered version; otherwise the champion")
    asked = parser.parse_args(argv)
    run = run_from_environment()
    if run.logs != "simulated":
        why = f"nobody knows the odds in {run.logs} logs; LOGS must be simulated"
        print(f"leakage-ceiling: {why}.", file=sys.stderr)
        return 2
    from feature_repo.reports import write_report

    found = answered(run, asked.version)
    show(found)
    report = write_report(run, "leakage-ceiling", {head: each.figures() for head, each in found.items()})
    print(f"report: {report}\nnext: python -m pipelines audit-leakage")
    return int(any(each.verdict == "LEAKS" for each in found.values()))
