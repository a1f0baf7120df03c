"""How much more two processes answer than one: the same run, the same people, as many clients at once.

All are asked in turns, each on a scratch copy of its own. Every process is given as many connections, as a
proxy would do: which one took a connection is the kernel's choice, and request ids tell. Beside them are as
many servers that share nothing, a core and a history for each. All of these at once say how much the machine
allows: the clients compute on the same cores, and where there are two, two processes cannot have both to
themselves. One after the other they say what one process answers, on a core as fast as theirs.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from evaluation.intervals import Interval, bootstrap_of
from feature_repo.places import Run
from labs.bench.clients import Client
from labs.bench.crowds import pace_of
from labs.bench.drives import warm_up
from labs.bench.quiet_cores import staying_on
from labs.bench.servers import POLL_S, NeverReady, Server, family_cpu_seconds, running, settings_of
from serving.cores import cores_of, usable_cores
from serving.workers import Worker

AT_ONCE = 8
"""Clients, a multiple of the processes."""
TURN = 120
"""People per turn, half a second: a core's slow seconds fall on all in turn. Where there are few, fewer."""
LEAST_TURNS = 4
WARM_UP = 15
"""Slates of each process that are not counted."""
WITHIN_S = 60.0
OK = 200
Doubles = npt.NDArray[np.float64]


@dataclass
class Turns:
    """What the turns of one server, or of several that were asked together, took."""

    answered: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    """Of each slate: which process made it. All make as many, unless one is slower."""
    refused: int = 0
    """Asked again for 429."""
    server_cores: list[float] = field(default_factory=list)
    client_cores: list[float] = field(default_factory=list)
    """How many cores they computed on, by turn."""

    def take(self, servers: Sequence[Server], workers: int, people: Sequence[int]) -> None:
        """These people once, over connections of which each process has as many; `workers` per server."""
        with ExitStack() as opened:
            per_process = AT_ONCE // (workers * len(servers))
            clients = [
                client for each in servers for client in _balanced(each, workers, per_process, people, opened)
            ]
            before_s, ours_s, began_s = _computed_s(servers), time.process_time(), time.perf_counter()
            pace = pace_of(clients, people)
            seconds = time.perf_counter() - began_s
            self.server_cores.append((_computed_s(servers) - before_s) / seconds)
            self.client_cores.append((time.process_time() - ours_s) / seconds)
        self.refused += pace.refused
        self.answered.append(pace.answered)
        self.seconds.append(pace.seconds)
        self.places += [request % workers for request in pace.slates]

    def figures(self) -> dict[str, float]:
        """Rates, and how many cores were computing."""
        return {
            "requests_per_second": sum(self.answered) / sum(self.seconds),
            "refused": self.refused,
            "server_cores": float(np.mean(self.server_cores)),
            "client_cores": float(np.mean(self.client_cores)),
        }


def worker_scaling(
    run: Run, var: Path, people: Sequence[int], rng: np.random.Generator, workers: int = 2
) -> dict[str, Any]:
    """Requests per second of processes that share a run, and of as many servers that share nothing, asked
    together and each alone; and how many times more, with intervals.
    """
    several, apart, alone = Turns(), Turns(), [Turns() for _ in range(workers)]
    turns = turns_of(people)
    with _all(run, var, workers) as (together, strangers):
        _all_awake(together, workers, turns[0])
        for each in strangers:
            warm_up(each.port, turns[0])
        for turn in turns:
            several.take([together], workers, turn)
            apart.take(strangers, 1, turn)
            for one, server in zip(alone, strangers, strict=True):
                one.take([server], 1, turn)
    return {
        "workers": workers,
        "at_once": AT_ONCE,
        "cores": os.cpu_count(),
        "alone": [one.figures() for one in alone],
        "several": several.figures(),
        "apart": apart.figures(),
        "times_more": times_more(several, alone, rng).as_figure(),
        "times_more_apart": times_more(apart, alone, rng).as_figure(),
        "share_of_apart": times_more(several, [apart], rng).as_figure(),
        "share_of_the_first": float(np.mean([place == 0 for place in several.places])),
    }


def turns_of(people: Sequence[int]) -> list[Sequence[int]]:
    """These people in turns of the same size; whoever is over is asked nothing."""
    size = max(1, min(TURN, len(people) // LEAST_TURNS))
    return [people[first : first + size] for first in range(0, len(people) - size + 1, size)]


def times_more(more: Turns, alone: Sequence[Turns], rng: np.random.Generator) -> Interval:
    """A rate over the mean rate of others, for cores are not equally fast. Turns, which all took, are
    resampled together.
    """
    pairs = [pair for turns in (more, *alone) for pair in (turns.answered, turns.seconds)]
    return bootstrap_of(np.column_stack(pairs).astype(np.float64), _ratio_of_rates, rng)


def _ratio_of_rates(sums: Doubles) -> Doubles:
    rates = sums[:, 0::2] / sums[:, 1::2]
    return np.asarray(rates[:, 0] / rates[:, 1:].mean(axis=1))


@contextmanager
def _all(run: Run, var: Path, workers: int) -> Iterator[tuple[Server, list[Server]]]:
    """A server of several processes, and as many of one each on its core; every server on its own copy."""

    def server(name: str, of: int) -> Server:
        own = var / name
        shutil.copytree(var / run.places.root.name, own / run.places.root.name, symlinks=True)
        settings = {**settings_of(run, own), "WORKERS": str(of)}
        return started.enter_context(running(name, ["-m", "serving"], settings, var / f"{name}.txt"))

    with ExitStack() as started:
        together, strangers = server("several", workers), [server("apart-0", 1)]
        for place in range(1, workers):
            with staying_on(cores_of(Worker(place, workers), usable_cores()).home):
                strangers.append(server(f"apart-{place}", 1))
        yield together, strangers


def _computed_s(servers: Sequence[Server]) -> float:
    """What they have computed so far."""
    return sum(family_cpu_seconds(each.pid) for each in servers)


def _balanced(
    server: Server, workers: int, per_process: int, people: Sequence[int], opened: ExitStack
) -> list[Client]:
    """So many clients of each process; one that was taken by a process that has enough is closed."""
    held: list[list[Client]] = [[] for _ in range(workers)]
    for person in itertools.cycle(people):
        client = Client(server.port)
        slate, _ = client.timed_post("/v1/feed", {"user_id": person, "limit": 1})
        mine = held[slate["request_id"] % workers]
        if len(mine) == per_process:
            client.close()
            continue
        mine.append(opened.enter_context(client))
        if sum(map(len, held)) == per_process * workers:
            break
    return [client for each in held for client in each]


def _all_awake(server: Server, workers: int, people: Sequence[int]) -> None:
    """Ask over new connections until every process has answered and is warm; some start later than others."""
    slates = dict.fromkeys(range(workers), 0)
    deadline_s = time.monotonic() + WITHIN_S
    for person in itertools.cycle(people):
        with Client(server.port) as client:
            told = client.answer("POST", "/v1/feed", orjson.dumps({"user_id": person}))
        if told.status == OK:
            slates[orjson.loads(told.body)["request_id"] % workers] += 1
        else:
            time.sleep(POLL_S)
        if min(slates.values()) >= WARM_UP:
            return
        if time.monotonic() > deadline_s:
            raise NeverReady(f"of {workers} processes some did not answer in {WITHIN_S:.0f} s: {slates}.")
