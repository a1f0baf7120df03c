"""Does the champion beat every simple baseline in truth, or only in the world we happened to draw?

Each seed is another world, another log, another training from scratch, under its own VAR; the run's own
champion is never touched. What is made already is reused: every stage knows its inputs by their hash.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from feature_repo.places import Places, Run, run_from_environment
from feature_repo.reports import read_report, write_report

SEEDS = "10,11,12"
"""Not 7, 8 and 9, whose truth was looked at when the policy's topic penalty was set."""
COMMANDS = (("simulator", "logs"), ("pipelines", "train"), ("labs", "true-value"))


class CommandFailed(Exception):
    """A command of one seed ended with an error; the message carries the command and what it printed last."""


def run_of(seed: int, base: Run, var: Path) -> Run:
    """The same run in another world, in its own folder."""
    return replace(base, seed=seed, places=Places(var / str(seed) / f"{base.logs}-{base.scale}"))


def answered(run: Run) -> Mapping[str, Any]:
    """Make this seed's world, log and champion, walk its people, and return the figures of true-value."""
    environment = {
        **os.environ,
        "LOGS": run.logs,
        "SCALE": run.scale,
        "SEED": str(run.seed),
        "VAR": str(run.places.root.parent),
    }
    for package, verb in COMMANDS:
        _call([sys.executable, "-m", package, verb], environment)
    figures: Mapping[str, Any] = read_report(run.places, "true-value")["figures"]
    return figures


def _call(command: Sequence[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        printed_last = f"{done.stdout[-800:]}{done.stderr[-1600:]}"
        raise CommandFailed(f"{' '.join(command[1:])} ended with {done.returncode}:\n{printed_last}")


def shown(seeds: Mapping[int, Mapping[str, Any]]) -> None:
    """One line per seed and rival: how much more satisfaction per impression the champion earns."""
    from rich.console import Console
    from rich.table import Table

    table = Table("seed", "champion less", "satisfaction per impression", "session length", "people")
    for seed, figures in seeds.items():
        for name, margin in figures["champion_less"].items():
            satisfaction, length = margin["satisfaction"], margin["session_length"]
            table.add_row(str(seed), name, printed(satisfaction), printed(length), str(satisfaction["n"]))
        table.add_row(
            str(seed),
            "share of headroom",
            printed(figures["policies"]["champion"]["share_of_headroom"]),
            "",
            "",
        )
        table.add_section()
    Console().print(table)


def printed(estimate: Mapping[str, float]) -> str:
    """value [low, high] of an estimate in a report."""
    return f"{estimate['value']:+.3f} [{estimate['low']:+.3f}, {estimate['high']:+.3f}]"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m labs three-seeds", description=__doc__)
    parser.add_argument("--seeds", default=SEEDS, help=f"worlds, comma-separated (default {SEEDS})")
    parser.add_argument("--var", type=Path, default=Path("var/seeds"), help="where their state lives")
    asked = parser.parse_args(argv)
    base = run_from_environment()
    seeds: dict[int, Mapping[str, Any]] = {}
    try:
        for seed in (int(part) for part in asked.seeds.split(",")):
            print(f"seed {seed}: log, training, true value …", flush=True)
            seeds[seed] = answered(run_of(seed, base, asked.var))
    except CommandFailed as failed:
        print(f"three-seeds: {failed}", file=sys.stderr)
        return 1
    shown(seeds)
    unbeaten = {seed: figures["unbeaten"] for seed, figures in seeds.items()}
    path = write_report(base, "three-seeds", {"seeds": seeds, "unbeaten": unbeaten})
    verdict = "no" if any(unbeaten.values()) else "yes"
    print(f"champion above every simple baseline in every world: {verdict}   {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
