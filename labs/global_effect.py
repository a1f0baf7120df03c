"""What does a change do if everybody gets it? All-treated less all-control, and what an A/B test would say.

The world is lived three times with the same people and luck: all under the control policy, all under the
treated one, and with half of the people (by user) under each. The first two give the global effect, person
by person. The third is the naive experiment: arms share one corpus, one set of counts and their friends, so
its difference is not the effect. The interval is over people of one world; `effects_by_luck` shows how far
other luck of the same people moves both, which no interval over people knows.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.intervals import Interval, mean_of, normal
from feature_repo.places import Run, run_from_environment
from labs.rivals import DEFAULT, NAMES, rivals, world_of_run

if TYPE_CHECKING:
    from simulator.days import Lived
    from simulator.luck import Floats
    from simulator.worlds import World

LUCKS = {"tiny": 6, "laptop": 2, "full": 1}
"""How often the three worlds are lived, each time with other luck; the first is the run's own."""
METRICS = {"satisfaction": "satisfaction per person and day", "active_days": "active days per person"}

Shown = Callable[[Iterable["Lived"], str], Iterable["Lived"]]


@dataclass(frozen=True)
class Effect:
    """One metric: the effect on everybody, and the difference an experiment by user reports."""

    everybody: Interval
    experiment: Interval

    @property
    def bias(self) -> float:
        return self.experiment.value - self.everybody.value

    def figures(self) -> dict[str, Any]:
        return {
            "everybody": self.everybody.as_figure(),
            "experiment": self.experiment.as_figure(),
            "bias": self.bias,
        }


def effects(
    world: World, control: str, treated: str, rng: np.random.Generator, shown: Shown
) -> Mapping[str, Effect]:
    """Of moving from the control policy to the treated one, in this world with its luck."""
    from simulator import rollouts
    from simulator.days import days

    policies, arm = rivals(), rollouts.arms(world)
    people = rollouts.counted(world, world.start_us)
    living = {
        "control": days(world, policies[control], 2),
        "treated": days(world, policies[treated], 2),
        "both": rollouts.experiment(world, policies[control], policies[treated], arm),
    }
    found = {name: rollouts.totals(world, shown(each, name)).taken(people) for name, each in living.items()}
    values = {
        "satisfaction": {name: each.satisfaction / each.days for name, each in found.items()},
        "active_days": {name: each.active_days.astype(np.float64) for name, each in found.items()},
    }
    return {
        metric: Effect(
            mean_of(of["treated"] - of["control"], rng),
            between(of["both"][arm[people]], of["both"][~arm[people]]),
        )
        for metric, of in values.items()
    }


def between(treated: Floats, control: Floats) -> Interval:
    """Difference of two groups' means, with Welch's standard error."""
    error = np.sqrt(treated.var(ddof=1) / len(treated) + control.var(ddof=1) / len(control))
    return normal(float(treated.mean() - control.mean()), float(error), len(treated) + len(control))


def answered(run: Run, control: str, treated: str, lucks: int) -> list[Mapping[str, Effect]]:
    """Once per luck; the run's own first."""
    from rich.progress import Progress

    world, rng = world_of_run(run), np.random.default_rng([run.seed, 43])
    with Progress(transient=True) as bar:
        task = bar.add_task("living", total=3 * lucks * world.days)

        def shown(days: Iterable[Lived], name: str) -> Iterable[Lived]:
            for day in days:
                bar.update(task, advance=1, description=f"living: {name}")
                yield day

        worlds = [world, *(replace(world, luck_seed=run.seed + other) for other in range(1, lucks))]
        return [effects(each, control, treated, rng, shown) for each in worlds]


def show(found: Sequence[Mapping[str, Effect]], control: str, treated: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "per person", "if everybody gets it", "an experiment by user says", "with other luck (everybody)"
    )
    for metric, words in METRICS.items():
        first = found[0][metric]
        others = "  ".join(f"{each[metric].everybody.value:+.3f}" for each in found[1:])
        table.add_row(words, printed(first.everybody), printed(first.experiment), others)
    table.caption = f"{treated} less {control}; 95 % intervals over people of one world"
    Console().print(table)


def printed(of: Interval) -> str:
    return f"{of.value:+.3f} [{of.low:+.3f}, {of.high:+.3f}]"


def figures(found: Sequence[Mapping[str, Effect]], control: str, treated: str) -> dict[str, Any]:
    by_luck = {
        metric: {
            "everybody": [each[metric].everybody.value for each in found],
            "experiment": [each[metric].experiment.value for each in found],
        }
        for metric in METRICS
    }
    own = {metric: each.figures() for metric, each in found[0].items()}
    return {"control": control, "treated": treated, **own, "effects_by_luck": by_luck}


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m labs global-effect", description=__doc__)
    parser.add_argument("--control", default=DEFAULT, choices=NAMES)
    parser.add_argument("--treated", default="by-satisfaction", choices=NAMES)
    parser.add_argument("--lucks", type=int, help=f"how often, with other luck (default by scale: {LUCKS})")
    asked = parser.parse_args(argv)
    run = run_from_environment()
    if run.logs != "simulated":
        print(f"global-effect: {run.logs} logs happened once; LOGS must be simulated.", file=sys.stderr)
        return 2
    from feature_repo.reports import write_report

    found = answered(run, asked.control, asked.treated, max(1, asked.lucks or LUCKS[run.scale]))
    show(found, asked.control, asked.treated)
    report = write_report(run, "global-effect", figures(found, asked.control, asked.treated))
    print(f"report: {report}\nnext: python -m labs pairing")
    return 0
