"""How much more two processes answer than one: the same run, the same people, as many clients at once.

Both servers are asked in turns, each on a scratch copy of its own. Which process gets a connection is the
kernel's choice, so connections are opened anew for every turn; request ids tell who answered. The clients
compute on the same cores: where there are two, two processes cannot have both to themselves.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.intervals import Interval, bootstrap_of
from feature_repo.places import Run
from labs.bench.clients import Client
from labs.bench.drives import Timings, take_turn, warm_up
from labs.bench.servers import Server, running, settings_of

AT_ONCE = 8
TURN = 80
"""People per turn."""
MOST_TRIES = 200
"""Connections opened until every process has answered one."""

Doubles = npt.NDArray[np.float64]


@dataclass
class Turns:
    """What the turns of one server took."""

    answered: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    """Of each slate: which process made it."""

    def take(self, server: Server, workers: int, people: Sequence[int]) -> None:
        told = Timings()
        with ExitStack() as opened:
            take_turn([opened.enter_context(Client(server.port)) for _ in range(AT_ONCE)], people, told)
        self.answered.append(len(told.feeds) + len(told.events))
        self.seconds.append(told.seconds)
        self.places += [request % workers for request in told.requests]

    @property
    def per_second(self) -> float:
        return sum(self.answered) / sum(self.seconds)


def worker_scaling(
    run: Run, var: Path, people: Sequence[int], rng: np.random.Generator, workers: int = 2
) -> dict[str, Any]:
    """Requests per second of one process and of several, and how many times more, with its interval."""
    one, several = Turns(), Turns()
    with _both(run, var, workers) as (alone, together):
        _all_awake(together, workers, people[:TURN])
        warm_up(alone.port, people[:TURN])
        for first in range(TURN, len(people), TURN):
            turn = people[first : first + TURN]
            one.take(alone, 1, turn)
            several.take(together, workers, turn)
    return {
        "workers": workers,
        "at_once": AT_ONCE,
        "requests_per_second": {"one": one.per_second, "several": several.per_second},
        "times_more": times_more(one, several, rng).as_figure(),
        "share_of_the_first": float(np.mean([place == 0 for place in several.places])),
    }


def times_more(one: Turns, several: Turns, rng: np.random.Generator) -> Interval:
    """The ratio of the two rates; turns, which both took, are resampled together."""
    columns = np.column_stack([several.answered, several.seconds, one.answered, one.seconds])
    return bootstrap_of(columns.astype(np.float64), _ratio_of_rates, rng)


def _ratio_of_rates(sums: Doubles) -> Doubles:
    return (sums[:, 0] / sums[:, 1]) / (sums[:, 2] / sums[:, 3])


@contextmanager
def _both(run: Run, var: Path, workers: int) -> Iterator[tuple[Server, Server]]:
    """A server of one process and one of several, each on its own copy."""
    with ExitStack() as started:
        made = []
        for name, of in (("one", 1), ("several", workers)):
            own = var / name
            shutil.copytree(var / run.places.root.name, own / run.places.root.name, symlinks=True)
            settings = {**settings_of(run, own), "WORKERS": str(of)}
            made.append(
                started.enter_context(running(name, ["-m", "serving"], settings, var / f"{name}.txt"))
            )
        yield made[0], made[1]


def _all_awake(server: Server, workers: int, people: Sequence[int]) -> None:
    """Ask over new connections until every process has answered and is warm."""
    slates: dict[int, int] = {}
    for tried in range(MOST_TRIES):
        with Client(server.port) as client:
            person = people[tried % len(people)]
            slate, _ = client.timed_post("/v1/feed", {"user_id": person, "limit": 10})
        place = slate["request_id"] % workers
        slates[place] = slates.get(place, 0) + 1
        if len(slates) == workers and min(slates.values()) >= len(people) // (2 * workers):
            return
    raise TimeoutError(f"of {workers} processes only {sorted(slates)} answered {MOST_TRIES} requests.")
