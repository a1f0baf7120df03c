"""Who comes back? Expected active days in the next 28 under a fixed policy, from the log's end.

The run's own world lives on: its log's days once under the policy that made the log, then 28 days under each
policy, with the same people and the same luck. Differences are paired by person; intervals are over people
who had joined by the log's end, bots left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.intervals import Interval, mean_of
from feature_repo.places import Run, run_from_environment
from labs.rivals import DEFAULT, NAMES, rivals, world_of_run

if TYPE_CHECKING:
    from simulator.days import Lived
    from simulator.rollouts import Totals

POLICIES = ("default", "uniform", "by-pull", "by-satisfaction")


@dataclass(frozen=True)
class Future:
    """What a month under one policy comes to, per person, and beside the default."""

    active_days: Interval
    satisfaction: Interval  # summed over a day, the days without a visit included
    more_days: Interval  # than under the default
    more_satisfaction: Interval

    def figures(self) -> dict[str, Any]:
        return {name: each.as_figure() for name, each in vars(self).items()}


def lived(run: Run, names: Sequence[str], workers: int) -> Mapping[str, Totals]:
    """Totals of everybody who is counted, by policy."""
    from rich.progress import track

    from simulator import rollouts
    from simulator.worlds import END_US

    def shown(days: Iterable[Lived], description: str, total: int) -> Iterable[Lived]:
        return track(days, description=description, total=total, transient=True)

    world = world_of_run(run, future_days=rollouts.MONTH)
    people, found = rollouts.counted(world, END_US), {}
    memory, past = rollouts.past(world, workers=workers)
    for _ in shown(past, "the log's days", world.size.days):
        pass
    for name in names:
        days = rollouts.branch(world, rivals()[name], memory, workers)
        living = shown(days, f"28 days: {name}", rollouts.MONTH)
        found[name] = rollouts.totals(world, living).taken(people)
    return found


def futures(found: Mapping[str, Totals], seed: int) -> Mapping[str, Future]:
    """Each policy with its intervals and its paired differences to the default."""
    rng, base = np.random.default_rng([seed, 42]), found[DEFAULT]
    return {name: _future(each, base, rng) for name, each in found.items()}


def _future(of: Totals, base: Totals, rng: np.random.Generator) -> Future:
    felt, usual = of.satisfaction / of.days, base.satisfaction / base.days
    return Future(
        mean_of(of.active_days.astype(np.float64), rng),
        mean_of(felt, rng),
        mean_of((of.active_days - base.active_days).astype(np.float64), rng),
        mean_of(felt - usual, rng),
    )


def show(found: Mapping[str, Future]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "policy", "active days of 28", "more than default", "satisfaction per day", "more than default"
    )
    for name, of in sorted(found.items(), key=lambda pair: -pair[1].active_days.value):
        columns = (of.active_days, of.more_days, of.satisfaction, of.more_satisfaction)
        table.add_row(name, *(f"{each.value:.2f} [{each.low:.2f}, {each.high:.2f}]" for each in columns))
    people = next(iter(found.values())).active_days.n
    table.caption = f"{people} people, the same luck under every policy; 95 % intervals over people"
    Console().print(table)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m labs long-term", description=__doc__)
    parser.add_argument(
        "--policies", default=",".join(POLICIES), help=f"beside default; of {', '.join(NAMES)}"
    )
    parser.add_argument("--workers", type=int, default=2, help="threads that live a day")
    asked = parser.parse_args(argv)
    names = list(dict.fromkeys([DEFAULT, *asked.policies.split(",")]))
    if not set(names) <= set(NAMES):
        parser.error(f"unknown policy in {asked.policies!r}; there are {', '.join(NAMES)}")
    run = run_from_environment()
    if run.logs != "simulated":
        print(
            f"long-term: nobody knows the future of {run.logs} logs; LOGS must be simulated.", file=sys.stderr
        )
        return 2
    from feature_repo.reports import write_report

    found = futures(lived(run, names, asked.workers), run.seed)
    show(found)
    report = write_report(run, "long-term", {name: each.figures() for name, each in found.items()})
    print(f"report: {report}\nnext: python -m labs global-effect")
    return 0
