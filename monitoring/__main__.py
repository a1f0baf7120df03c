"""`python -m monitoring` (`make monitor`): is the system still good, and what do we do? One table, one
decision.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

from feature_repo.processes import exit_code

if TYPE_CHECKING:
    from monitoring.checks import Outcome

COLOURS = {"ok": "green", "failed": "bold red", "not judged": "dim"}
DECISIONS = {"nothing": "green", "investigate": "yellow", "retrain": "cyan", "roll back": "bold red"}


def main(argv: list[str] | None = None) -> int:
    """0 whatever was found; 1 with a sentence when there is nothing to watch over, or it cannot be read."""
    arguments = _parser().parse_args(argv)
    stopped = "stopped; nothing was written. Run the same command again."
    return exit_code("monitor", lambda: _monitored(arguments), stopped)


def _monitored(arguments: argparse.Namespace) -> int:
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from rich.console import Console

    from feature_repo.places import run_from_environment
    from feature_repo.reports import write_report
    from monitoring.checks import outcome, watched

    run = run_from_environment()
    console = Console()
    found = watched(run, arguments.since, time.time())
    with console.status("freshness, volume, drift, skew, health …"):
        seen = outcome(found)
    report = write_report(run, "monitor", {"champion": found.manifest["release_id"], **seen.figures()})
    _show(console, f"{found.manifest['release_id']} (version {found.version})", seen)
    page = f"   drift page: {seen.drift.page}" if seen.drift else ""
    console.print(f"report: {report}{page}", highlight=False, soft_wrap=True)
    console.print(f"next: {seen.decision.next_command}", highlight=False)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m monitoring", description=__doc__)
    parser.add_argument(
        "--since", type=_days, default=14.0, help="days of log to look at (default 14, at least 1)"
    )
    return parser


def _days(text: str) -> float:
    days = float(text)
    if not days >= 1:
        raise argparse.ArgumentTypeError(f"{text} days, must be at least 1.")
    return days


def _show(console: object, champion: str, seen: Outcome) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    assert isinstance(console, Console)
    table = Table(
        "check", "of", "value", "bound", "verdict", title=f"monitor: {champion}", title_justify="left"
    )
    for finding in seen.findings:
        colour, says = COLOURS[finding.verdict.value], f"\n{finding.says}" if finding.says else ""
        verdict = f"[{colour}]{finding.verdict.value}[/]"
        table.add_row(
            finding.check,
            escape(finding.subject),
            escape(finding.value + says),
            escape(finding.bound),
            verdict,
        )
    console.print(table)
    action = seen.decision.action.value
    console.print(f"decision: [{DECISIONS[action]}]{action}[/]")
    for reason in seen.decision.reasons:
        console.print(f"  because {escape(reason)}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
