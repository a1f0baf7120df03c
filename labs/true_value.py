"""What is the champion truly worth? Satisfaction and time, beside every simple baseline and the oracle.

Same people, same luck (common random numbers), one session each, from the end of the log. True value is mean
satisfaction per impression seen, and the expected session length; the oracle is greedy on satisfaction under
the same filters; share of headroom = (policy - random) / (oracle - random).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluation.intervals import Interval
from feature_repo.clock import DAY_US
from feature_repo.log import EventLog
from feature_repo.places import Places, Run, run_from_environment
from labs.worths import Margin, Walks, Worth, as_long, margin, unbeaten, worth

if TYPE_CHECKING:
    from evaluation.baselines import Logistic
    from labs.policies import Policy
    from serving.candidates import Candidates, Query
    from serving.releases import Release
    from simulator.worlds import World

    Policies = Callable[[Run, Release, World, int], Iterator[tuple[str, Policy]]]
    """Makes policies by name, one at a time."""

ACTIVE_DAYS = 7
"""People walk who watched something in the last week: those a feed would meet."""
PEOPLE = {"tiny": 150, "laptop": 400, "full": 1_000}
CHAMPION, RANDOM, ORACLE = "champion", "random", "oracle"


@dataclass(frozen=True)
class Answered:
    """The worth of every policy, and what the champion earns above each of the others."""

    release_id: str
    people: int
    worths: Mapping[str, Worth]
    margins: Mapping[str, Margin]

    def figures(self) -> dict[str, Any]:
        rivals = {name: each for name, each in self.margins.items() if name != ORACLE}
        return {
            "release_id": self.release_id,
            "people": self.people,
            "policies": {name: each.figures() for name, each in self.worths.items()},
            "champion_less": {name: each.figures() for name, each in rivals.items()},
            "unbeaten": unbeaten(rivals),
            "unbeaten_in_session_length": as_long(rivals),
        }


def active_people(
    log: EventLog, humans: NDArray[np.int64], now_us: int, most: int, seed: int
) -> NDArray[np.int64]:
    """A sample of the world's people, no bots, who watched something in the last week, ascending."""
    watched = log.read("watched", now_us - ACTIVE_DAYS * DAY_US, now_us, now_us, columns=["user_id"])
    # A client of the server may be nobody of this world.
    everybody = np.intersect1d(watched["user_id"].to_numpy(), humans)
    return np.sort(np.random.default_rng([seed, 31]).permutation(everybody)[:most])


def walked(
    world: World,
    policy: Policy,
    people: NDArray[np.int64],
    now_us: int,
    seen: Mapping[int, Any],
    corpus: NDArray[np.int64],
) -> Walks:
    """One session per person under a policy that hears what was watched."""
    from simulator.truth import walk

    sessions = walk(world, policy.slate, people, now_us, seen, corpus=corpus, told=policy.hear)
    return Walks(sessions.user_ids, sessions.satisfaction, sessions.session_length.astype(np.float64))


def release_of(places: Places, version: int | None = None) -> Release:
    """The release the server would serve now, or a registered version, promoted or not."""
    from serving import registry
    from serving.releases import read_release

    if version is None:
        found = registry.champion(places)
        if found is None:
            raise LookupError(
                f"no champion in {places.registry}; run `make train` first, or name a --version."
            )
        return read_release(found[1])
    known = {each.version: each.directory for each in registry.versions(places)}
    if version not in known:
        raise LookupError(f"no version {version}; registered are {sorted(known)}.")
    return read_release(known[version])


def logistic_of(places: Places) -> Logistic | None:
    """The logistic regression of the last training, on the rows of the heads; None if there is none."""
    from evaluation.baselines import Logistic

    made = sorted(
        places.work.glob("train-ranker/*/logistic.json"), key=lambda path: path.parent.stat().st_mtime
    )
    return Logistic.from_json(made[-1].read_text(encoding="utf-8")) if made else None


def policies(run: Run, release: Release, world: World, now_us: int) -> Iterator[tuple[str, Policy]]:
    """Champion, baselines, oracle, one at a time: what one hears the others do not."""
    from labs.policies import Deployed, Ranked, Reads, baselines, beginnings, unmoved

    begun = beginnings(run.places, release, now_us)
    feed, memory = begun()
    yield CHAMPION, Deployed(feed, memory, run.seed)
    logistic = logistic_of(run.places)
    for name in baselines(Reads(feed), logistic):
        feed, memory = begun()
        yield name, Ranked(feed, memory, baselines(Reads(feed), logistic)[name], run.seed)

    def felt(query: Query, table: Candidates) -> NDArray[np.float64]:
        return world.satisfaction(query.user_id, table.ids, now_us)

    yield ORACLE, Ranked(feed, unmoved(memory), felt, run.seed)


def answered(run: Run, release: Release, most: int | None = None) -> Answered:
    """Walk everybody under every policy and compare."""
    return compared(release.release_id, walks_of(run, release, policies, most), run.seed)


def walks_of(run: Run, release: Release, policies: Policies, most: int | None) -> dict[str, Walks]:
    """What the same people are shown from the log's end on, and truly feel, under each policy by name."""
    from simulator.logs import world_of
    from simulator.truth import humans, public_in, seen_by

    refuse_another_world(run)
    log, world = EventLog(run.places.log), world_of(run)
    now_us = log.end_us()
    people = active_people(log, humans(world), now_us, most or PEOPLE[run.scale], run.seed)
    seen = seen_by(log.read("watched", known_before_us=now_us, columns=["user_id", "video_id"]))
    corpus = public_in(*(log.read(kind, known_before_us=now_us) for kind in ("uploaded", "removed")))
    walks: dict[str, Walks] = {}
    for name, policy in _shown_progress(policies(run, release, world, now_us)):
        walks[name] = walked(world, policy, people, now_us, seen, corpus)
    return walks


def refuse_another_world(run: Run) -> None:
    """The truth of seed 8 says nothing about people who lived in the world of seed 7."""
    from simulator.logs import marker

    found = marker(run.places.log)
    if found is not None and found["seed"] != run.seed:
        raise LookupError(
            f"{run.places.log} is the log of the world of seed {found['seed']}, SEED is {run.seed}; "
            f"their truths differ. Run `make evaluate SEED={found['seed']}`."
        )


def compared(release_id: str, walks: Mapping[str, Walks], seed: int) -> Answered:
    """Worths with intervals, and the champion less each other policy, paired by person."""
    rng = np.random.default_rng([seed, 32])
    floor, ceiling, ours = walks[RANDOM], walks[ORACLE], walks[CHAMPION]
    return Answered(
        release_id,
        len(ours.people),
        {name: worth(each, floor, ceiling, rng) for name, each in walks.items()},
        {name: margin(ours, each, rng) for name, each in walks.items() if name != CHAMPION},
    )


def _shown_progress(policies: Iterator[tuple[str, Policy]]) -> Iterator[tuple[str, Policy]]:
    from rich.progress import Progress

    with Progress(transient=True) as bar:
        task = bar.add_task("walking", total=None)
        for name, policy in policies:
            bar.update(task, description=f"walking under {name}")
            yield name, policy


def show(answer: Answered) -> None:
    """The table people read."""
    from rich.console import Console
    from rich.table import Table

    table = Table("policy", "satisfaction", "session length", "headroom", "champion less it", "longer by")
    for name in sorted(answer.worths, key=lambda name: -answer.worths[name].satisfaction.value):
        each, less = answer.worths[name], answer.margins.get(name)
        margins = (short(less.satisfaction), short(less.session_length, 1)) if less else ("", "")
        headroom = f"{each.headroom.value:.0%}"
        table.add_row(name, short(each.satisfaction), short(each.session_length, 1), headroom, *margins)
    table.caption = f"satisfaction per impression of {answer.people} people; 95 % intervals over people"
    Console().print(table)


def short(of: Interval, digits: int = 2) -> str:
    """An interval in as many digits as a table of six columns holds."""
    return f"{of.value:.{digits}f} [{of.low:.{digits}f}, {of.high:.{digits}f}]"


def told(release_id: str, beaten: str, not_beaten: str, unbeaten_rivals: Sequence[str]) -> None:
    """One sentence: whom the champion beats with its whole interval, or whom it does not."""
    said = f"{not_beaten} {', '.join(unbeaten_rivals)}" if unbeaten_rivals else beaten
    print(f"champion {release_id} {said}")


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m labs true-value", description=__doc__)
    parser.add_argument("--people", type=int, help=f"how many walk (default by scale: {PEOPLE})")
    parser.add_argument("--version", type=int, help="a registered version instead of the champion")
    asked = parser.parse_args(argv)
    run = run_from_environment()
    if run.logs != "simulated":
        print(
            f"true-value: the truth of {run.logs} logs is not known; it needs LOGS=simulated.",
            file=sys.stderr,
        )
        return 2
    from feature_repo.reports import write_report

    try:
        answer = answered(run, release_of(run.places, asked.version), asked.people)
    except LookupError as missing:
        print(f"true-value: {missing.args[0]}", file=sys.stderr)
        return 1
    show(answer)
    figures = answer.figures()
    told(
        answer.release_id,
        "satisfies more than every simple baseline",
        "does not satisfy more than",
        figures["unbeaten"],
    )
    told(
        answer.release_id,
        "keeps people longer than any",
        "does not keep people longer than",
        figures["unbeaten_in_session_length"],
    )
    print(f"report: {write_report(run, 'true-value', figures)}\nnext: make monitor")
    return 0
