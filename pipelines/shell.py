"""What a verb tells the person who runs it: progress while it works, one table and the next command at the
end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Told:
    """Where words go: the screen, or nowhere."""

    quiet: bool = False

    def say(self, words: str) -> None:
        if not self.quiet:
            print(words, flush=True)

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Callable[[], None]]:
        """A bar that advances by one per call; gone when the work is done."""
        if self.quiet:
            yield lambda: None
            return
        from rich.progress import Progress

        with Progress(transient=True) as bar:
            task = bar.add_task(label, total=total)
            yield lambda: bar.advance(task)

    def table(self, title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
        if self.quiet:
            return
        from rich.console import Console
        from rich.table import Table

        table = Table(*columns, title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        Console().print(table)


def shown(figure: Any) -> str:
    """A figure as a table prints it; an estimate with its interval."""
    if isinstance(figure, Mapping) and {"value", "low", "high"} <= set(figure):
        value, low, high = (_number(figure[name]) for name in ("value", "low", "high"))
        return f"{value} [{low}, {high}]"
    if isinstance(figure, float):
        return _number(figure)
    return str(figure)


def _number(value: float | None) -> str:
    if value is None or value != value:
        return "-"
    return f"{value:.4f}" if abs(value) < 100 else f"{value:,.0f}"


def flat(figures: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Every figure with its dotted name, estimates whole; lists and long texts are left to the report."""
    rows: list[tuple[str, str]] = []
    for name, figure in figures.items():
        if isinstance(figure, Mapping) and not {"value", "low", "high"} <= set(figure):
            rows += flat(figure, f"{prefix}{name}.")
        elif not isinstance(figure, (list, tuple)):
            rows.append((f"{prefix}{name}", shown(figure)))
    return rows
