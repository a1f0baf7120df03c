"""Where does true value get lost? Each stage of the feed beside the best that was still possible before it.

Same people, same luck (common random numbers), one session each, from the end of the log. An oracle, greedy
on satisfaction, chooses from less and less: everything eligible, what the sources found of it, what of that
was scored. Then the heads choose, then the policy that spreads the slate, then the policy with its chance.
What a stage loses is the worth before it less the worth after it, paired by person.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluation.intervals import Interval
from feature_repo.places import Run, run_from_environment
from labs.true_value import PEOPLE, release_of, short, walks_of
from labs.worths import Walks, Worth, margin, worth

if TYPE_CHECKING:
    from labs.policies import Memory, Policy
    from serving.candidates import Candidates, Ids, Query
    from serving.feed import Feed, Funnel
    from serving.policies import Policy as Settings
    from serving.releases import Release
    from simulator.worlds import World

RANDOM, ELIGIBLE, FOUND, SCORED, HEADS = "random", "eligible", "found", "scored", "heads"
SPREAD, SERVED = "spread", "served"
STAGES = (ELIGIBLE, FOUND, SCORED, HEADS, SPREAD, SERVED)
LOST_TO = {
    FOUND: "retrieval: no source found it",
    SCORED: "the cut: too many were found",
    HEADS: "heads and value: ranked too low",
    SPREAD: "diversity, floors and limits",
    SERVED: "chance: softmax, exploration",
}
"""What a stage's loss is called: the worth of the best slate before it, less that of the best after it."""

READ_AS: Mapping[type, Callable[[str], str | float]] = {str: str, int: int, float: float}
"""How a setting of each type is read from the command line."""

Felt = Callable[["Query", "Candidates"], NDArray[np.float64]]
"""The satisfaction each row would give the person: the truth."""


@dataclass(frozen=True)
class Answered:
    """What every stage still earns, and what each lost of what the one before it did."""

    release_id: str
    people: int
    worths: Mapping[str, Worth]
    lost: Mapping[str, Interval]
    """By the stage after which it is gone: satisfaction per impression, paired by person."""

    def figures(self) -> dict[str, Any]:
        return {
            "release_id": self.release_id,
            "people": self.people,
            "stages": {name: each.figures() for name, each in self.worths.items()},
            "lost": {name: each.as_figure() for name, each in self.lost.items()},
        }


@dataclass(frozen=True)
class Stage:
    """The real feed, showing what it would show if it ended, perfectly, at one of its stages."""

    feed: Feed
    memory: Memory
    shows: Callable[[Funnel], Ids]
    seed: int
    explore: bool = False

    def slate(self, user_id: int, _seen: Ids, _now_us: int, limit: int, /) -> Ids:
        query = self.memory.query(user_id, limit, self.explore)
        rng = np.random.default_rng([self.seed, user_id, query.request_id])
        return self.shows(self.feed.rank(query, rng))[:limit]

    def hear(self, user_id: int, video_ids: Ids, watched_ms: Ids) -> None:
        self.memory.hear(user_id, video_ids, watched_ms)


def shown(felt: Felt) -> Mapping[str, Callable[[Funnel], Ids]]:
    """Per stage after the first: the slate it allows, out of the funnel of a request."""

    def found(funnel: Funnel) -> Ids:
        table = funnel.union.take(funnel.removed_by < 0)
        return best_first(table, felt(funnel.query, table))

    def scored(funnel: Funnel) -> Ids:
        return best_first(funnel.scored, felt(funnel.query, funnel.scored))

    def heads(funnel: Funnel) -> Ids:
        return best_first(funnel.scored, funnel.scored["value"])

    def served(funnel: Funnel) -> Ids:
        return funnel.slate.ids

    return {FOUND: found, SCORED: scored, HEADS: heads, SPREAD: served, SERVED: served}


def best_first(table: Candidates, scores: NDArray[np.float64]) -> Ids:
    """Ids by falling score; NaN comes last."""
    return table.ids[np.argsort(-scores, kind="stable")]


def stages(run: Run, release: Release, world: World, now_us: int) -> Iterator[tuple[str, Policy]]:
    """A random slate to measure from, then the stages in order, each with a memory of its own."""
    from labs.policies import Ranked, beginnings, nobody_knows, unmoved

    def felt(query: Query, table: Candidates) -> NDArray[np.float64]:
        return world.satisfaction(query.user_id, table.ids, now_us)

    begun = beginnings(run.places, release, now_us)
    for name, score in ((RANDOM, nobody_knows), (ELIGIBLE, felt)):
        feed, memory = begun()
        yield name, Ranked(feed, unmoved(memory), score, run.seed)
    for name, shows in shown(felt).items():
        yield name, Stage(*begun(), shows, run.seed, explore=name == SERVED)


def answered(run: Run, release: Release, most: int | None = None) -> Answered:
    """Walk everybody through every stage and compare neighbours."""
    return compared(release.release_id, walks_of(run, release, stages, most), run.seed)


def compared(release_id: str, walks: Mapping[str, Walks], seed: int) -> Answered:
    """Worths with intervals, and what each stage lost of the one before it."""
    rng = np.random.default_rng([seed, 33])
    floor, ceiling = walks[RANDOM], walks[ELIGIBLE]
    steps = pairwise(STAGES)
    return Answered(
        release_id,
        len(floor.people),
        {name: worth(each, floor, ceiling, rng) for name, each in walks.items()},
        {after: margin(walks[before], walks[after], rng).satisfaction for before, after in steps},
    )


def show(answer: Answered) -> None:
    """The table people read, from everything to what is served."""
    from rich.console import Console
    from rich.table import Table

    table = Table("after", "satisfaction", "left", "lost", "lost to", "session length")
    for name in (*STAGES, RANDOM):
        each, lost = answer.worths[name], answer.lost.get(name)
        cells = short(each.satisfaction), f"{each.headroom.value:.0%}", short(lost) if lost else ""
        table.add_row(name, *cells, LOST_TO.get(name, ""), short(each.session_length, 1))
    table.caption = (
        f"satisfaction per impression of {answer.people} people, 95 % intervals over people; the best slate "
        f"of what is {ELIGIBLE}, {FOUND} and {SCORED}, then the one by {HEADS}, {SPREAD}, and as {SERVED}"
    )
    Console(width=max(Console().width, 110)).print(table)


def changed(policy: Settings, settings: Sequence[str]) -> Settings:
    """The policy with some settings, written NAME=VALUE, replaced."""
    from serving.policies import policy_from_json

    fields = policy.as_json()
    for written in settings:
        name, _, value = written.partition("=")
        reads = READ_AS.get(type(fields.get(name)))
        if reads is None:
            known = ", ".join(name for name, of in fields.items() if type(of) in READ_AS)
            raise ValueError(f"--set {written}: must be NAME=VALUE, the name one of {known}.")
        fields[name] = reads(value)
    return policy_from_json(fields)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m labs funnel", description=__doc__)
    parser.add_argument("--people", type=int, help=f"how many walk (default by scale: {PEOPLE})")
    parser.add_argument("--version", type=int, help="a registered version instead of the champion")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="another policy, e.g. selector=mmr"
    )
    asked = parser.parse_args(argv)
    run = run_from_environment()
    if run.logs != "simulated":
        print(f"funnel: the truth of {run.logs} logs is not known; it needs LOGS=simulated.", file=sys.stderr)
        return 2
    from feature_repo.reports import write_report

    try:
        release = release_of(run.places, asked.version)
        release = replace(release, policy=changed(release.policy, asked.set))
        answer = answered(run, release, asked.people)
    except ValueError as refused:
        parser.error(str(refused))
    except LookupError as missing:
        print(f"funnel: {missing.args[0]}", file=sys.stderr)
        return 1
    show(answer)
    worst = max(answer.lost, key=lambda stage: answer.lost[stage].value)
    print(f"most is lost to {LOST_TO[worst]}")
    print(f"report: {write_report(run, 'funnel', answer.figures())}\nnext: make bench-retrieval")
    return 0
