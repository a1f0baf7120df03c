"""How much does pairing help? The same luck on both sides of a comparison, against worlds drawn apart.

D = mean over people of (satisfaction summed over the week under policy A less that under B) / days, people
being who had joined before the week, bots left out. Its variance over replications is compared when both
policies are lived in the same world (paired: Var(A - B)) and in two worlds (unpaired: Var(A) + Var(B)). Two
kinds of "another world" are told apart, for they answer differently: other births and luck (another seed),
and the same births with other luck only.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluation.intervals import Interval, bootstrap_of, normal
from feature_repo.places import Run, run_from_environment
from labs.rivals import DEFAULT, rivals

if TYPE_CHECKING:
    from simulator.slates import Policy
    from simulator.worlds import World

Floats = NDArray[np.float64]

BAR = 10.0
"""Pairing must cut the variance of the difference this many times."""
DAYS, USERS, REPLICATIONS = 7, 400, 20
NEAR, FAR = ("warmer", "less-personal", "no-follows"), ("uniform", "by-satisfaction")
KINDS = {"other_worlds": "births and luck", "other_luck": "luck only"}


@dataclass(frozen=True)
class Paired:
    """One policy against the default, over replications."""

    difference: Interval  # D, with the paired interval over replications
    paired: float  # variance of D in one world
    unpaired: float  # variance of D over two worlds
    times: Interval  # unpaired / paired

    def figures(self) -> dict[str, Any]:
        return {
            "difference": self.difference.as_figure(),
            "paired_variance": self.paired,
            "unpaired_variance": self.unpaired,
            "times_less_variance": self.times.as_figure(),
            "meets_the_bar": self.times.value >= BAR,
        }


def per_person_and_day(world: World, policy: Policy) -> float:
    """Satisfaction summed over what was seen, per person and day, of a world lived under this policy."""
    from simulator import rollouts
    from simulator.days import days

    people = rollouts.counted(world, world.start_us)
    found = rollouts.totals(world, days(world, policy)).taken(people)
    return float(found.satisfaction.mean() / found.days)


def paired(ours: Floats, theirs: Floats, rng: np.random.Generator) -> Paired:
    """Of the values of both policies, one per replication; the ratio's interval resamples replications."""
    gap = ours - theirs
    columns = np.column_stack([np.ones(len(gap)), ours, ours**2, theirs, theirs**2, gap, gap**2])
    error = float(gap.std(ddof=1) / np.sqrt(len(gap)))
    return Paired(
        normal(float(gap.mean()), error, len(gap)),
        float(gap.var(ddof=1)),
        float(ours.var(ddof=1) + theirs.var(ddof=1)),
        bootstrap_of(columns, _times, rng),
    )


def _times(sums: Floats) -> Floats:
    """(Var(A) + Var(B)) / Var(A - B) from sums of 1, a, a^2, b, b^2, d, d^2."""
    n = sums[:, :1]
    ours, theirs, gap = ((sums[:, k : k + 1] - sums[:, k - 1 : k] ** 2 / n)[:, 0] for k in (2, 4, 6))
    with np.errstate(invalid="ignore", divide="ignore"):  # a resample of one world alone has no variance
        return np.asarray((ours + theirs) / gap)


def worlds(kind: str, seed: int, users: int, replications: int) -> Iterator[World]:
    """One world per replication: another seed each, or one seed's people with other luck each."""
    from feature_repo.scales import Scale
    from simulator.worlds import World

    week = Scale("week", users=users, days=DAYS)
    for replication in range(replications):
        other = seed + replication
        yield World(week, other) if kind == "other_worlds" else World(week, seed, luck_seed=other)


def measured(
    seed: int, users: int, replications: int, step: Callable[[], None]
) -> Mapping[str, Mapping[str, Paired]]:
    """By kind of world and rival; `step` is called after each world lived."""
    policies = {name: policy for name, policy in rivals().items() if name in (DEFAULT, *NEAR, *FAR)}
    found: dict[str, dict[str, Paired]] = {}
    for kind in KINDS:
        values: dict[str, list[float]] = {name: [] for name in policies}
        for world in worlds(kind, seed, users, replications):
            for name, policy in policies.items():
                values[name].append(per_person_and_day(world, policy))
                step()
        ours, rng = np.asarray(values.pop(DEFAULT)), np.random.default_rng([seed, 41])
        found[kind] = {name: paired(ours, np.asarray(of), rng) for name, of in values.items()}
    return found


def show(found: Mapping[str, Mapping[str, Paired]], replications: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "worlds differ in", "default less", "satisfaction per person and day", "variance cut", "bar"
    )
    for kind, of in found.items():
        for name, each in of.items():
            times, met = each.times, "met" if each.times.value >= BAR else "missed"
            cut = f"{times.value:.1f}x [{times.low:.1f}, {times.high:.1f}]"
            gap = f"{each.difference.value:+.3f} [{each.difference.low:+.3f}, {each.difference.high:+.3f}]"
            table.add_row(KINDS[kind], name, gap, cut, met)
        table.add_section()
    table.caption = f"{DAYS} days, {replications} replications, 95 % intervals over them; bar {BAR:g}x"
    Console().print(table)


def figures(found: Mapping[str, Mapping[str, Paired]], users: int, replications: int) -> dict[str, Any]:
    return {
        "bar": BAR,
        "days": DAYS,
        "users": users,
        "replications": replications,
        **{kind: {name: each.figures() for name, each in of.items()} for kind, of in found.items()},
    }


def answered(run: Run, users: int, replications: int) -> Mapping[str, Mapping[str, Paired]]:
    from rich.progress import Progress

    with Progress(transient=True) as bar:
        lived = len(KINDS) * replications * (1 + len(NEAR) + len(FAR))
        task = bar.add_task("living", total=lived)
        return measured(run.seed, users, replications, lambda: bar.advance(task))


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m labs pairing", description=__doc__)
    parser.add_argument("--replications", type=int, default=REPLICATIONS, help="worlds of each kind")
    parser.add_argument("--users", type=int, default=USERS, help=f"people in each (default {USERS})")
    asked = parser.parse_args(argv)
    if asked.replications < 3 or asked.users < 20:
        parser.error("a variance needs --replications of 3 or more and --users of 20 or more")
    from feature_repo.reports import write_report

    run = run_from_environment()
    found = answered(run, asked.users, asked.replications)
    show(found, asked.replications)
    report = write_report(run, "pairing", figures(found, asked.users, asked.replications))
    print(f"report: {report}\nnext: python -m labs long-term")
    return 0
