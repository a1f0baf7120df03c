"""What a release would show: slates and candidates of a sample of people, asked of the real feed without a
server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.coverage import overlap
from evaluation.intervals import Interval, percentiles
from feature_repo.matrix import COLUMNS, assemble
from pipelines.plan import Plan
from serving.compose import offline
from serving.feed import Feed, Funnel
from serving.releases import Release
from serving.state import PeopleState

PEOPLE = 100
SLATE = 10
BINS = 10
SHIFTED = 0.25
"""Population stability index above which a column is called shifted (the usual rule: .1 some, .25 much)."""


@dataclass(frozen=True)
class Asked:
    """The funnels of a sample of people, exploration off."""

    funnels: tuple[Funnel, ...]

    @property
    def slates(self) -> npt.NDArray[np.int64]:
        """[people, SLATE] video ids, padded with -1."""
        padded = np.full((len(self.funnels), SLATE), -1, np.int64)
        for row, funnel in enumerate(self.funnels):
            padded[row, : len(funnel.slate)] = funnel.slate.ids
        return padded

    @property
    def candidates(self) -> npt.NDArray[np.float32]:
        """The matrix of every scored candidate."""
        tables = [funnel.scored for funnel in self.funnels if len(funnel.scored)]
        columns = {name: np.concatenate([table[name] for table in tables]) for name in COLUMNS}
        return assemble(columns, len(columns[COLUMNS[0]]))

    @property
    def degraded(self) -> tuple[str, ...]:
        """Components that failed for anybody."""
        return tuple(sorted({name for funnel in self.funnels for name in funnel.degraded}))


def asked(plan: Plan, release: Release, people: int = PEOPLE) -> Asked:
    """Slates of the same people every time, at the end of the log, exploration off."""
    feed, state = offline(plan.run.places, release, plan.log_end_us)
    users = sample(plan, people)
    rng = np.random.default_rng([plan.run.seed, 21])
    return Asked(
        tuple(_rank(feed, state, user, number, plan.log_end_us, rng) for number, user in enumerate(users))
    )


def _rank(
    feed: Feed, state: PeopleState, user: int, number: int, now_us: int, rng: np.random.Generator
) -> Funnel:
    return feed.rank(state.query(int(user), number, now_us, limit=SLATE, explore=False), rng)


def sample(plan: Plan, people: int) -> npt.NDArray[np.int64]:
    """People of the test window, drawn with the run's seed."""
    test = plan.splits.test
    served = plan.log.read("served", test.start_us, test.end_us, columns=("user_id",))
    users = np.unique(served["user_id"].to_numpy())
    drawn = np.random.default_rng([plan.run.seed, 22]).permutation(users)[:people]
    return np.sort(drawn)


def slate_overlap(found: Asked, seed: int) -> Interval:
    """Mean pairwise Jaccard overlap of the slates, people resampled (pairs of a person with themself left
    out).
    """
    slates, rng = found.slates, np.random.default_rng([seed, 23])
    resamples = [_overlap_of(slates, rng.integers(0, len(slates), len(slates))) for _ in range(100)]
    return Interval(overlap(slates), *percentiles(np.array(resamples)), len(slates))


def _overlap_of(slates: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> float:
    return overlap(slates[np.unique(rows)])


def exposure_versus_candidates(
    trained_on: npt.NDArray[np.float32], candidates: npt.NDArray[np.float32]
) -> dict[str, dict[str, float]]:
    """Per column: mean where the heads learned, mean where they are asked, and the population stability
    index.

    An older policy chose the training rows, retrieval chooses the candidates: where the two differ much, a
    head answers questions it has hardly seen.
    """
    return {
        name: _shift(trained_on[:, place].astype(np.float64), candidates[:, place].astype(np.float64))
        for place, name in enumerate(COLUMNS)
    }


def _shift(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> dict[str, float]:
    known = before[~np.isnan(before)], after[~np.isnan(after)]
    means = [float(values.mean()) if len(values) else float("nan") for values in known]
    return {"mean_trained": means[0], "mean_asked": means[1], "psi": stability_index(before, after)}


def stability_index(
    before: npt.NDArray[np.float64], after: npt.NDArray[np.float64], bins: int = BINS
) -> float:
    """sum (q - p) ln(q / p) over the reference's equal-mass bins and one for unknown; half a row is added to
    each.
    """
    known = before[~np.isnan(before)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1])) if len(known) else np.zeros(0)
    shares = []
    for values in (before, after):
        cells = np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, "right"))
        counts = np.bincount(cells, minlength=len(edges) + 2) + 0.5
        shares.append(counts / counts.sum())
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def shifted(table: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Columns that are much unlike where the heads learned, the worst first."""
    found = {name: row["psi"] for name, row in table.items() if row["psi"] > SHIFTED}
    return sorted(found, key=lambda name: -found[name])
