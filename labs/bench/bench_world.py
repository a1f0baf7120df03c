"""How fast is the world lived and written, on one core, and how much memory does it take?

The built-in policy's days go to parquet, faults and shadow log included, in a process pinned to one core. The
same process then takes a bare softmax (numpy, nothing else) over as many scored candidates, so the ratio says
what everything but choosing costs. `--impressions` streams a larger world to a scratch folder instead.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from feature_repo.places import Places, run_from_environment
from feature_repo.reports import write_report
from feature_repo.scales import SCALES, Scale
from simulator import logs
from simulator.days import before_the_log, digested
from simulator.faults import USUAL
from simulator.luck import Floats, keys
from simulator.nights import Memory
from simulator.slates import CANDIDATES, DEFAULT, SLATE, Ints, desk, find
from simulator.worlds import World

PER_PERSON_AND_DAY = 15
"""Impressions, rounded down: 5,000 people have 1.3 million in 14 days."""
MOST_PEOPLE = 40_000
"""Who has seen what takes people times videos bits: 640 MB here; beyond this a world grows in days."""
BATCH = 4_096
"""Requests per call of the bare softmax: 2 MB of scores, in a core's cache."""
SAMPLED_REQUESTS = 2_000
BENCH_SESSION = 1 << 20
ONE_THREAD = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def main(argv: Sequence[str]) -> int:
    asked = _asked(argv)
    if asked.measure:
        scale = Scale("bench", asked.users, asked.days)
        print(json.dumps(measured(scale, asked.seed, Path(asked.folder))))
        return 0
    run = run_from_environment()
    stream = asked.impressions is not None
    scale = scale_of(asked.impressions) if stream else SCALES[run.scale]
    with tempfile.TemporaryDirectory(prefix="fourplanes-world-", dir=asked.folder) as folder:
        found = _measured_alone(scale, run.seed, Path(folder))
    path = write_report(run, "bench-world-stream" if stream else "bench-world", found)
    _show(found)
    print(path)
    return 0


def scale_of(impressions: float) -> Scale:
    """A world with at least about this many: 14 days of as many people as it takes, then more days."""
    people = min(MOST_PEOPLE, math.ceil(impressions / (14 * PER_PERSON_AND_DAY)))
    return Scale("bench", people, math.ceil(impressions / (people * PER_PERSON_AND_DAY)))


def measured(scale: Scale, seed: int, folder: Path) -> dict[str, Any]:
    """Figures of one world lived and written by this process, everything compiled before."""
    logs.live(World(SCALES["tiny"], seed), Places(folder / "warm"), USUAL)
    world = World(scale, seed)
    memory = before_the_log(world)
    cpu_s = -time.process_time()
    pace = logs.live(world, Places(folder / "run"), USUAL, memory=memory)
    cpu_s += time.process_time()
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    written = sum(path.stat().st_size for path in (folder / "run").rglob("*.parquet"))
    candidates = candidates_per_choice(world, memory)
    softmax_s = bare_softmax_seconds(int(pace.choices * candidates.mean()), np.random.default_rng(seed))
    return {
        "users": scale.users,
        "days": scale.days,
        "impressions": pace.impressions,
        "choices": pace.choices,
        "seconds": pace.seconds,
        "impressions_per_second": pace.impressions_per_second,
        "cpu_seconds": cpu_s,  # less than `seconds` where the core is shared with others
        "impressions_per_cpu_second": pace.impressions / cpu_s,
        "candidates_per_choice_mean": float(candidates.mean()),
        "candidates_per_choice_min": int(candidates.min()),
        "bare_softmax_seconds": softmax_s,
        "times_the_bare_softmax": pace.seconds / softmax_s,
        "peak_memory_mib": peak_bytes / 2**20,
        "bytes_per_impression": written / pace.impressions,
    }


def candidates_per_choice(world: World, memory: Memory) -> Ints:
    """How many unseen scored candidates each slot of a slate was chosen from, [requests, slots].

    Sampled on the last day, when people have seen the most; heavy watchers, who have fewer, count as often
    as they ask.
    """
    known = digested(world, DEFAULT, world.days - 1, memory)
    asking = memory.people.seen_count / memory.people.seen_count.sum()
    people = np.random.default_rng(world.seed).choice(len(asking), SAMPLED_REQUESTS, p=asking)
    luck = keys(world.seed, world.people.user_ids[people], BENCH_SESSION, np.arange(SAMPLED_REQUESTS))
    table, found = desk(len(world.videos.video_ids)), np.empty(SAMPLED_REQUESTS, np.int64)
    for n, person in enumerate(people):
        seen = memory.people.seen[person]
        find(DEFAULT, known, person, len(known.corpus), luck[n], seen, table)
        found[n] = (table.found >= 0).sum()
    return np.asarray(np.maximum(found[:, None] - np.arange(SLATE), 0))


def bare_softmax_seconds(candidates: int, rng: np.random.Generator) -> float:
    """What numpy takes to turn this many scores into probabilities, 64 per choice, vectorised."""
    scores: Floats = rng.normal(size=(BATCH, CANDIDATES))
    started = time.perf_counter()
    for _ in range(max(1, round(candidates / scores.size))):
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
    return time.perf_counter() - started


def _measured_alone(scale: Scale, seed: int, folder: Path) -> dict[str, Any]:
    """Figures from a process of its own, pinned to one core where the system can."""
    command = [sys.executable, "-m", "labs", "bench-world", "--measure", "--folder", str(folder)]
    command += ["--users", str(scale.users), "--days", str(scale.days), "--seed", str(seed)]
    with subprocess.Popen(
        command, env={**os.environ, **ONE_THREAD}, stdout=subprocess.PIPE, text=True
    ) as process:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(0))})
        printed, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} ended with {process.returncode}; see above.")
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


def _show(found: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="the world on one core, to parquet", show_header=False)
    for name, value in found.items():
        table.add_row(name.replace("_", " "), f"{value:,}" if isinstance(value, int) else f"{value:,.2f}")
    Console().print(table)


def _asked(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m labs bench-world", description=__doc__)
    parser.add_argument("--impressions", type=float, help="stream at least about this many, such as 100e6")
    parser.add_argument("--folder", help="scratch space (default: the system's); emptied afterwards")
    inner = parser.add_argument_group("what the measuring process is told")
    inner.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    for name in ("--users", "--days", "--seed"):
        inner.add_argument(name, type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args(argv)
    if asked.impressions is not None and not asked.impressions >= 1:
        parser.error(f"--impressions is {asked.impressions}, must be 1 or more")
    return asked


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
