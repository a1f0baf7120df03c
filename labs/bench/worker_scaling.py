"""How much more two processes answer than one: the same run, the same people, as many clients at once.

All are asked in turns, each on a scratch copy of its own. Every process is given as many connections, as a
proxy would do: which one took a connection is the kernel's choice, and request ids tell. The clients compute
on the same cores: where there are two, two processes cannot have both to themselves. How much the machine
allows is measured beside it, by as many servers that share nothing, a core and a history for each.
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
from labs.bench.clients import Client, whole
from labs.bench.drives import Timings, take_turn, warm_up
from labs.bench.quiet_cores import staying_on
from labs.bench.servers import POLL_S, NeverReady, Server, family_cpu_seconds, running, settings_of
from serving.cores import cores_of, usable_cores
from serving.workers import Worker

AT_ONCE = 8
"""Clients, a multiple of the processes."""
TURN = 80
"""People per turn."""
WARM_UP = 15
"""Slates of each process that are not counted."""
WITHIN_S = 60.0
OK = 200

TOO_MANY = 429
Doubles = npt.NDArray[np.float64]


class Patient(Client):
    """One that asks again soon when it is told that there are too many; only answers are counted."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.refused = 0

    def timed_post(self, path: str, body: dict[str, Any]) -> tuple[dict[str, Any], float]:
        told = self.answer("POST", path, orjson.dumps(body))
        while told.status == TOO_MANY:
            self.refused += 1
            time.sleep(POLL_S / 5)
            told = self.answer("POST", path, orjson.dumps(body))
        return orjson.loads(whole(path, told)), told.ms


@dataclass
class Turns:
    """What the turns of one server took."""

    answered: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    """Of each slate: which process made it. All have as many, unless one is slower."""
    refused: int = 0
    """Asked again for 429."""
    server_cpu_s: float = 0.0
    client_cpu_s: float = 0.0

    def take(self, servers: Sequence[Server], workers: int, people: Sequence[int]) -> None:
        """These people once, over connections of which each process has as many; `workers` per server."""
        told = Timings()
        with ExitStack() as opened:
            per_process = AT_ONCE // (workers * len(servers))
            clients = [
                client for each in servers for client in _balanced(each, workers, per_process, people, opened)
            ]
            before_s, ours_s = _computed_s(servers), time.process_time()
            take_turn(clients, people, told)
            self.server_cpu_s += _computed_s(servers) - before_s
        self.client_cpu_s += time.process_time() - ours_s
        self.refused += sum(client.refused for client in clients)
        self.answered.append(len(told.feeds) + len(told.events))
        self.seconds.append(told.seconds)
        self.places += [request % workers for request in told.requests]

    def figures(self) -> dict[str, float]:
        """Rates, and how many cores were computing."""
        seconds, answered = sum(self.seconds), sum(self.answered)
        return {
            "requests_per_second": answered / seconds,
            "refused": self.refused,
            "server_cores": self.server_cpu_s / seconds,
            "client_cores": self.client_cpu_s / seconds,
            "server_cpu_ms_per_request": self.server_cpu_s / answered * 1e3,
        }


def worker_scaling(
    run: Run, var: Path, people: Sequence[int], rng: np.random.Generator, workers: int = 2
) -> dict[str, Any]:
    """Requests per second of one process, of several and of as many that share nothing, and how many times
    more, with intervals.
    """
    one, several, apart = Turns(), Turns(), Turns()
    with _all(run, var, workers) as (together, strangers):
        _all_awake(together, workers, people[:TURN])
        for each in strangers:
            warm_up(each.port, people[:TURN])
        for first in range(TURN, len(people), TURN):
            turn = people[first : first + TURN]
            one.take(strangers[:1], 1, turn)
            several.take([together], workers, turn)
            apart.take(strangers, 1, turn)
    return {
        "workers": workers,
        "at_once": AT_ONCE,
        "cores": os.cpu_count(),
        "one": one.figures(),
        "several": several.figures(),
        "apart": apart.figures(),
        "times_more": times_more(one, several, rng).as_figure(),
        "times_more_apart": times_more(one, apart, rng).as_figure(),
        "share_of_apart": times_more(apart, several, rng).as_figure(),
        "share_of_the_first": float(np.mean([place == 0 for place in several.places])),
    }


def times_more(one: Turns, several: Turns, rng: np.random.Generator) -> Interval:
    """The ratio of the two rates; turns, which both took, are resampled together."""
    columns = np.column_stack([several.answered, several.seconds, one.answered, one.seconds])
    return bootstrap_of(columns.astype(np.float64), _ratio_of_rates, rng)


def _ratio_of_rates(sums: Doubles) -> Doubles:
    return (sums[:, 0] / sums[:, 1]) / (sums[:, 2] / sums[:, 3])


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
) -> list[Patient]:
    """So many clients of each process; one that was taken by a process that has enough is closed."""
    held: list[list[Patient]] = [[] for _ in range(workers)]
    for person in itertools.cycle(people):
        client = Patient(server.port)
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
