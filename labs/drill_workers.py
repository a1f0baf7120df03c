"""Do two servers give one person one history? Feeds and events of everybody, in turns to two of them.

A person asks one server, tells the other what they watched, and asks the next again, as a proxy that deals
requests out in turn would have it. Nothing watched may come back, no request id may be given twice, and
afterwards every feature that either of them served must be what training would have joined. Mirrored features
are up to a second old, and many are here, where nobody takes time to watch. ONLINE_STORE names the store
both share; without it they share a file.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from feature_repo.journal import Journal
from feature_repo.log import EventLog
from feature_repo.materialization import read_loaded
from feature_repo.places import Places, Run, run_from_environment
from feature_repo.reports import write_report
from labs.audit_parity import copied
from labs.bench.bench_serving import people_of
from labs.bench.clients import Client, Refused
from labs.bench.drives import TOLD, watched
from labs.bench.servers import NeverReady, end_servers_with_us, running, settings_of
from monitoring.audit_parity import Audit, audited

SERVERS = 2
LIMIT = 20
SAMPLE, FEAST_SAMPLE = 2_000, 200


@dataclass
class History:
    """What one person was shown and watched, and every request id there was."""

    requests: list[int] = field(default_factory=list)
    slates: int = 0
    repeats: int = 0
    """Items that had been watched when they were served."""

    def ask(self, servers: Sequence[Client], person: int, turns: int, first: int) -> None:
        """Feeds and events of one person, each to the next server in turn."""
        seen: set[int] = set()
        for turn in range(first, first + 2 * turns, 2):
            asked = {"user_id": person, "limit": LIMIT}
            slate, _ = servers[turn // 2 % len(servers)].timed_post("/v1/feed", asked)
            self.slates += 1
            self.requests.append(slate["request_id"])
            self.repeats += len(seen & {item["video_id"] for item in slate["items"]})
            told = slate["items"][:TOLD]
            servers[(turn // 2 + 1) % len(servers)].timed_post(
                "/v1/events", {"events": watched(slate, person)}
            )
            seen |= {item["video_id"] for item in told}


def lived(run: Run, var: Path, people: Sequence[int], turns: int) -> History:
    """Everybody's history with two servers on one run."""
    history = History()
    store = {"ONLINE_STORE": run.places.online_url} if run.places.online_url else {}
    with ExitStack() as opened:
        servers = [
            opened.enter_context(
                running(
                    f"server {place}",
                    ["-m", "serving"],
                    {**settings_of(run, var), **store, "WORKER": f"{place}/{SERVERS}"},
                    var / f"server-{place}.txt",
                )
            )
            for place in range(SERVERS)
        ]
        clients = [opened.enter_context(Client(server.port)) for server in servers]
        for place, person in enumerate(people):
            history.ask(clients, person, turns, place)
    return history


def audit_of(places: Places, offline: Places, seed: int) -> Audit:
    """Every feature both servers served, held against the offline join."""
    journal = Journal(places.journal)
    journal.drain_into(EventLog(places.log))
    journal.close()
    return audited(places, offline, SAMPLE, FEAST_SAMPLE, seed)


def figures_of(history: History, found: Audit, people: int) -> dict[str, Any]:
    return {
        "servers": SERVERS,
        "people": people,
        "slates": history.slates,
        "watched_items_served_again": history.repeats,
        "request_ids_given_twice": len(history.requests) - len(set(history.requests)),
        "parity": found.figures(),
        "holds": not history.repeats
        and len(set(history.requests)) == len(history.requests)
        and found.served.mismatched == 0,
    }


def main(argv: Sequence[str]) -> int:
    run, asked = run_from_environment(), parser().parse_args(argv)
    end_servers_with_us()
    try:
        with tempfile.TemporaryDirectory(prefix="fourplanes-workers-") as folder:
            copy = copied(run, Path(folder))
            _load(copy.places, run.places)
            people = people_of(run, asked.people)
            history = lived(copy, Path(folder), people, asked.turns)
            found = audit_of(copy.places, Places(Path(folder) / "offline"), run.seed)
    except (LookupError, NeverReady, Refused) as problem:
        notes = getattr(problem, "__notes__", [])
        print("\n".join([f"drill-workers: {problem.args[0]}", *notes]), file=sys.stderr)
        return 1
    figures = figures_of(history, found, len(people))
    _show(figures, run.places.online_url or "a file")
    name = "drill-workers-redis" if run.places.online_url else "drill-workers"
    print(f"report: {write_report(run, name, figures)}")
    return 0 if figures["holds"] else 1


def _load(copy: Places, real: Places) -> None:
    """A store outside the run's folder has to be filled as that in its file was."""
    loaded = read_loaded(copy)
    if copy.online_url and loaded is not None:
        from feature_repo.store import materialize

        copy.features.symlink_to(real.features.absolute(), target_is_directory=True)
        materialize(copy, loaded.until_us)


def _show(figures: dict[str, Any], store: str) -> None:
    from rich.console import Console
    from rich.table import Table

    parity = figures["parity"]["served"] if "served" in figures["parity"] else figures["parity"]
    table = Table("two servers, one history", f"online store: {store}")
    for name in ("people", "slates", "watched_items_served_again", "request_ids_given_twice"):
        table.add_row(name.replace("_", " "), f"{figures[name]:,}")
    table.add_row("feature cells audited", f"{parity['cells']:,}")
    table.add_row("feature cells mismatched", f"{parity['mismatched']:,}")
    table.add_row("stale (mirrored) or late", f"{parity['explained_share']:.3%}")
    table.add_row("holds", "yes" if figures["holds"] else "NO")
    Console().print(table)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m labs drill-workers", description=__doc__)
    made.add_argument("--people", type=int, default=200, help="who asks (default %(default)s)")
    made.add_argument("--turns", type=int, default=5, help="slates of each (default %(default)s)")
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
