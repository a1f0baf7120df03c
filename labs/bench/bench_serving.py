"""How fast is a slate? Our server, the naive one, and the floor: what HTTP alone costs.

A request is whole: features, policy and logging included, events interleaved, no slate twice. What ours took
is told for all requests, and apart for those that found their core quiet. All run on a scratch copy of the
run, enlarged to the size of the bar, so nothing measured here ever enters its log. First ours and the naive
feed must choose the same slates from the same chance; a rival that answers something else would be no rival.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from feature_repo.places import Places, Run, run_from_environment
from feature_repo.reports import write_report
from labs.bench.clients import Client, Refused
from labs.bench.drives import Arm, Drive, Timings, drive, warm_up
from labs.bench.enlarged_runs import enlarge
from labs.bench.feature_bars import Bar
from labs.bench.latencies import latency, quantile_at, ratio_at
from labs.bench.quiet_cores import Core, were_quiet
from labs.bench.servers import NeverReady, Server, running, settings_of
from labs.bench.verdicts import Verdict
from labs.bench.verdicts import show as show_verdicts
from labs.bench.worker_scaling import worker_scaling
from serving.cores import cores_of, usable_cores
from serving.workers import ONLY

SHARED = ("log", "features", "work", "registry")
"""Parts of a run both servers only read."""
ARMS = ("ours", "ours_quiet", "ours_not_quiet", "naive", "floor", "events_ours", "events_naive")
WARM_UP = 15
EXPLAINED = 50
COMPARED = 20
PEOPLE = {"tiny": 200, "laptop": 4_900, "full": 5_000}
VIDEOS = {"tiny": 2_000, "laptop": 50_000, "full": 200_000}
TREES = 200
"""Per head; the bar's."""


@dataclass(frozen=True)
class Measured:
    """What one way of driving gave, for all arms."""

    ours: Timings
    naive: Timings
    floor: Timings

    def figures(self, rng: np.random.Generator) -> dict[str, Any]:
        slow, fast = self.naive.paired_with(self.ours)
        return {
            "ours": latency(list(self.ours.feeds.values())).figures(),
            **self._by_core(rng),
            "naive": latency(list(self.naive.feeds.values())).figures(),
            "floor": latency(list(self.floor.feeds.values())).figures(),
            "times_faster_at_p50": ratio_at(0.5, slow, fast, rng).as_figure(),
            "times_faster_at_p99": ratio_at(0.99, slow, fast, rng).as_figure(),
            "events_ours": latency(self.ours.events).figures(),
            "events_naive": latency(self.naive.events).figures(),
            "requests_per_second": {
                name: (len(arm.feeds) + len(arm.events)) / arm.seconds
                for name, arm in (("ours", self.ours), ("naive", self.naive), ("floor", self.floor))
                if arm.seconds
            },
        }

    def _by_core(self, rng: np.random.Generator) -> dict[str, Any]:
        """Ours where the core was quiet, and where it was not; nothing where nobody looked."""
        if not self.ours.work_ms:
            return {}
        feeds, quiet = np.array(list(self.ours.feeds.values())), were_quiet(self.ours.work_ms)
        found = feeds[quiet].tolist()
        return {
            "ours_quiet": latency(found).figures(),
            "ours_not_quiet": latency(feeds[~quiet].tolist()).figures(),
            "quiet_p50_ms": quantile_at(0.5, found, rng).as_figure(),
            "quiet_p99_ms": quantile_at(0.99, found, rng).as_figure(),
        }


@contextmanager
def scratch(run: Run) -> Iterator[Path]:
    """A VAR whose run reads the real one and writes only to itself; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="fourplanes-bench-") as folder:
        copy = Places(Path(folder) / run.places.root.name)
        copy.root.mkdir()
        for part in SHARED:
            (copy.root / part).symlink_to((run.places.root / part).absolute(), target_is_directory=True)
        shutil.copytree(run.places.feast, copy.feast)
        yield Path(folder)


@contextmanager
def all_servers(run: Run, var: Path) -> Iterator[tuple[Server, Server, Server]]:
    """Ours, the naive one and the floor, each started alone so that its time to ready is its own."""
    naive_var = var / "naive"
    shutil.copytree(var / run.places.root.name, naive_var / run.places.root.name, symlinks=True)
    modules = {"ours": "serving", "naive": "labs.bench.naive_server", "floor": "labs.bench.floor_server"}
    with ExitStack() as started:
        ours, naive, floor = (
            started.enter_context(
                running(
                    name,
                    ["-m", module],
                    settings_of(run, naive_var if name == "naive" else var),
                    var / f"{name}.txt",
                )
            )
            for name, module in modules.items()
        )
        yield ours, naive, floor


def people_of(run: Run, most: int) -> list[int]:
    """Distinct people who joined, in an order of the run's seed."""
    from feature_repo.log import EventLog

    joined = (
        EventLog(run.places.log).read("joined", columns=["user_id"])["user_id"].unique().sort().to_numpy()
    )
    drawn: list[int] = np.random.default_rng([run.seed, 41]).permutation(joined)[:most].tolist()
    return drawn


def stage_means(
    before: Mapping[str, tuple[float, float]], after: Mapping[str, tuple[float, float]]
) -> dict[str, float]:
    """Mean milliseconds per stage between two readings of /metrics, in the order the stages run."""
    means = {}
    for stage, (total, count) in after.items():
        total_before, count_before = before.get(stage, (0.0, 0.0))
        if count > count_before:
            means[stage] = (total - total_before) / (count - count_before)
    return means


def stages_of(metrics: str) -> dict[str, tuple[float, float]]:
    """(sum of ms, count) per stage, from Prometheus text."""
    found = re.findall(r'^fourplanes_stage_ms_(sum|count)\{stage="([^"]+)"\} (\S+)$', metrics, re.MULTILINE)
    values = {(kind, stage): float(value) for kind, stage, value in found}
    stages = dict.fromkeys(stage for _, stage in values)
    return {stage: (values["sum", stage], values["count", stage]) for stage in stages}


def candidates_per_request(port: int, requests: Sequence[int]) -> dict[str, float]:
    """How many videos were scored in the last few requests, as the server explains them."""
    import orjson

    with Client(port) as client:
        scored = [len(orjson.loads(client.fetch(f"/v1/explain/{each}"))["scored"]) for each in requests]
    return {"median": float(np.median(scored)), "least": float(min(scored)), "requests": len(scored)}


def same_slates(places: Places, seed: int, people: Sequence[int]) -> int:
    """How many of these people both feeds give the same slate, in process, from the same query and chance."""
    from labs.bench.naive_server import both_feeds

    ours, naive, state, now_us = both_feeds(places)
    same = 0
    for person in people:
        query = state.query(person, person, now_us)
        mine, theirs = (feed.rank(query, np.random.default_rng([seed, person])) for feed in (ours, naive))
        same += np.array_equal(mine.slate.ids, theirs.slate.ids)
    return same


def measured(
    servers: tuple[Server, Server, Server], people: Sequence[int], asked: argparse.Namespace
) -> dict[str, Any]:
    """One at a time, then four at a time, with where our time went in the first."""
    ours, naive, floor = servers
    core = Core.of(cores_of(ONLY, usable_cores()).home, usable_cores())
    rivals = [Arm(naive.port, asked.naive_every), Arm(floor.port, asked.naive_every)]
    arms = [Arm(ours.port, core=core), *rivals]
    warm, counted = people[:WARM_UP], people[WARM_UP:]
    for server in servers:
        warm_up(server.port, warm)
    with Client(ours.port) as client:
        before = stages_of(client.fetch("/metrics").decode())
        alone = Measured(*drive(arms, counted, _how(1, asked)))
        after = stages_of(client.fetch("/metrics").decode())
    together = Measured(*drive(arms, counted[: len(counted) // 2][::-1], _how(4, asked)))
    rng = np.random.default_rng(0)
    return {
        "distinct_people": len(alone.ours.feeds),
        "candidates": candidates_per_request(ours.port, together.ours.requests[-EXPLAINED:]),
        "one_at_a_time": alone.figures(rng),
        "four_at_a_time": together.figures(rng),
        "stage_ms": stage_means(before, after),
        "ready_s": {server.name: server.ready_s for server in servers},
    }


def _how(at_once: int, asked: argparse.Namespace) -> Drive:
    return Drive(at_once, time.monotonic() + asked.seconds / 2)


def verdicts(figures: Mapping[str, Any]) -> list[Verdict]:
    """What was to be reached, what was found, and whether it was."""
    alone, together = figures["one_at_a_time"], figures["four_at_a_time"]
    return [
        Verdict("feed on a quiet core, p50 ms", alone["ours_quiet"]["p50_ms"], Bar(5.0, at_most=True)),
        Verdict("feed on a quiet core, p99 ms", alone["ours_quiet"]["p99_ms"], Bar(8.0, at_most=True)),
        Verdict("times faster than naive at p50", alone["times_faster_at_p50"]["value"], Bar(20.0)),
        Verdict("times faster than naive at p99", alone["times_faster_at_p99"]["value"], Bar(30.0)),
        Verdict("requests/s, four at once", together["requests_per_second"]["ours"], Bar(180.0)),
        Verdict(
            "two processes, times as many requests/s", figures["workers"]["times_more"]["value"], Bar(1.8)
        ),
    ]


def show(figures: Mapping[str, Any]) -> None:
    """Two tables: the arms, and where our time goes."""
    from rich.console import Console
    from rich.table import Table

    arms = Table("at once", "arm", "p50 ms", "p90 ms", "p99 ms", "n", "times faster at p50")
    for way in ("one_at_a_time", "four_at_a_time"):
        ratio = figures[way]["times_faster_at_p50"]
        told = f"{ratio['value']:.1f} [{ratio['low']:.1f}, {ratio['high']:.1f}]"
        for arm in (name for name in ARMS if name in figures[way]):
            row = figures[way][arm]
            cells = [f"{row[name]:.1f}" for name in ("p50_ms", "p90_ms", "p99_ms")]
            arms.add_row(
                way.removesuffix("_at_a_time"),
                arm.replace("_", " "),
                *cells,
                str(row["requests"]),
                told if arm == "ours" else "",
            )
        arms.add_section()
    stages = Table("stage of our server", "mean ms")
    for stage, mean_ms in figures["stage_ms"].items():
        stages.add_row(stage, f"{mean_ms:.2f}")
    Console().print(arms, stages)


def parser(scale: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m labs bench-serving", description=__doc__)
    made.add_argument(
        "--people", type=int, default=PEOPLE[scale], help="distinct people who ask (default %(default)s)"
    )
    made.add_argument(
        "--naive-every",
        type=int,
        default=10 if scale == "tiny" else 20,
        help="every n-th of them asks the naive server and the floor too",
    )
    made.add_argument(
        "--videos", type=int, default=VIDEOS[scale], help="videos to rank (default %(default)s)"
    )
    made.add_argument("--trees", type=int, default=TREES, help="trees per head (default %(default)s)")
    made.add_argument(
        "--scaling-people",
        type=int,
        default=PEOPLE[scale],
        help="how many of them ask one process and two in turns (default %(default)s)",
    )
    made.add_argument(
        "--seconds", type=float, default=360.0, help="the driving ends then, whatever was reached"
    )
    return made


def main(argv: Sequence[str]) -> int:
    run = run_from_environment()
    asked = parser(run.scale).parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers end with us
    people = people_of(run, asked.people + WARM_UP)
    compared = people[:COMPARED]
    try:
        with scratch(run) as var:
            places = Places(var / run.places.root.name)
            enlarge(run.places, places, asked.videos, asked.trees, np.random.default_rng([run.seed, 42]))
            same = same_slates(places, run.seed, compared)
            print(f"same slates from the same chance: {same} of {len(compared)} people", flush=True)
            workers = worker_scaling(run, var, people[: asked.scaling_people], np.random.default_rng(1))
            with all_servers(run, var) as servers:
                figures = measured(servers, people, asked) | {"workers": workers}
    except (LookupError, NeverReady, Refused) as problem:
        notes = getattr(problem, "__notes__", [])
        print("\n".join([f"bench-serving: {problem.args[0]}", *notes]), file=sys.stderr)
        return 1
    figures |= {"same_slates": same, "compared_slates": len(compared), "load_average": os.getloadavg()[0]}
    judged = verdicts(figures)
    figures |= {"videos": asked.videos, "trees_per_head": asked.trees}
    figures |= {"bars": [each.figures() for each in judged]}
    show(figures)
    show_verdicts("what was to be reached", judged)
    print(f"report: {write_report(run, 'bench-serving', figures)}")
    return 0 if same == len(compared) else 1
