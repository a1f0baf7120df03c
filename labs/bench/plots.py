"""Curves over one axis, a panel for each unit, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Curve:
    """What is drawn, its unit in the name, and in which panel."""

    name: str
    across: Sequence[float]
    up: Sequence[float]
    panel: int = 0
    dots: bool = True
    """Whether every point is marked; too many of them hide the line."""


def draw(path: Path, curves: Sequence[Curve], across: str, marks: Mapping[str, float]) -> Path:
    """One panel above the other over the same axis; each mark is a line through all of them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = 1 + max(curve.panel for curve in curves)
    page = Figure(figsize=(9, 3.2 * rows), layout="constrained")
    FigureCanvasAgg(page)
    panels = page.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    for curve in curves:
        panels[curve.panel].plot(curve.across, curve.up, "o-" if curve.dots else "-", ms=3, label=curve.name)
    for panel in panels:
        for place, (name, moment) in enumerate(marks.items()):
            panel.axvline(moment, color="0.5", ls=("--", ":")[place % 2], lw=1, label=name)
        panel.set_ylim(bottom=0)
        panel.legend(loc="upper left")
    panels[-1].set_xlabel(across)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    page.savefig(unfinished, format="png", dpi=110)
    unfinished.replace(path)
    return path
