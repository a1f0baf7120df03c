"""What a drill found beside what must hold: one line each, one table, one exit code.

Law: a figure nobody could measure is NaN, and NaN meets no bar.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from labs.bench.feature_bars import Bar, shown


@dataclass(frozen=True)
class Verdict:
    """One figure, in the unit `what` names, and its bar."""

    what: str
    found: float
    bar: Bar

    @property
    def met(self) -> bool:
        return self.bar.is_met(self.found)

    def figures(self) -> dict[str, Any]:
        return {"what": self.what, "found": self.found, "bar": str(self.bar), "met": self.met}


def show(title: str, verdicts: Sequence[Verdict]) -> None:
    """The table a drill ends with."""
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "found", "bar", "met", title=title, title_justify="left")
    for verdict in verdicts:
        met = "yes" if verdict.met else "MISSED"
        table.add_row(verdict.what, shown(verdict.found), str(verdict.bar), met)
    Console().print(table)


def exit_status(verdicts: Sequence[Verdict]) -> int:
    """0 if every bar is met, 1 otherwise."""
    return 0 if all(verdict.met for verdict in verdicts) else 1
