"""Copy the figures of reports into docs/figures.json and into the marked blocks of README.md and docs/*.md.

    python docs/write_figures.py        reads VAR/*/reports/*.json; a run without new reports keeps its old figures

A block is what stands between `<!-- figures:NAME -->` and `<!-- /figures -->`; BLOCKS says how each NAME is written.
No figure in a document is typed by hand, and a test fails when a document and docs/figures.json differ.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "docs" / "figures.json"
BLOCK = re.compile(r"(<!-- figures:([a-z-]+) -->\n).*?(<!-- /figures -->)", re.DOTALL)
READING_ORDER = {
    "serving/compose.py": "what our feed is made of, in order, on one screen",
    "serving/feed.py": "one request through the five verbs",
    "feature_repo/events.py": "everything that can happen, with its two clocks",
    "feature_repo/catalogue.py": "every feature, defined once",
    "pipelines/train_ranker.py": "how the heads learn and are calibrated",
    "evaluation/gates.py": "what a release must prove before it serves",
    "simulator/behaviour.py": "how people in this world watch, skip, like and leave",
}
PROMOTED = ("train", "promote", "evaluate", "true-value", "three-seeds", "bench-serving", "card")

Figures = Mapping[str, Any]


class NotMeasured(Exception):
    """A block asks for a figure no report holds; the message names the command that writes it."""


def report(figures: Figures, run: str, verb: str, command: str) -> Figures:
    """The figures of one report of one run."""
    found = figures["runs"].get(run, {}).get(verb)
    if found is None:
        raise NotMeasured(command)
    wanted: Figures = found["figures"]
    return wanted


def number(value: float | None, digits: int = 3) -> str:
    """A figure as documents print it; what was not measurable is a dash."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}f}"


def interval(estimate: Figures | float | None, digits: int = 3) -> str:
    """An estimate with its 95 % interval."""
    if not isinstance(estimate, Mapping):
        return number(estimate, digits)
    value, low, high = (number(estimate[name], digits) for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def reading_order(figures: Figures) -> str:
    rows = [
        f"{place}. [`{name}`]({name}) ({figures['lines'][name]} lines): {why}"
        for place, (name, why) in enumerate(READING_ORDER.items(), start=1)
        if name in figures["lines"]
    ]
    return "\n".join(rows)


BLOCKS: dict[str, Callable[[Figures], str]] = {"reading-order": reading_order}


def block(name: str, figures: Figures) -> str:
    """The text of one block; one that was never measured says which command measures it."""
    if name not in BLOCKS:
        raise KeyError(f"no block {name!r}. Blocks: {', '.join(BLOCKS)}.")
    try:
        return BLOCKS[name](figures)
    except NotMeasured as missing:
        return f"*Not measured yet: `{missing}`, then `make figures`.*"


def filled(text: str, figures: Figures) -> str:
    """The document with every block written anew."""
    return BLOCK.sub(lambda found: f"{found[1]}{block(found[2], figures)}\n{found[3]}", text)


def collected(var: Path, before: Figures) -> dict[str, Any]:
    """The reports under var by run and verb, over those collected before, and the lines of the files to read."""
    runs: dict[str, dict[str, Any]] = {run: dict(verbs) for run, verbs in before.get("runs", {}).items()}
    for path in sorted(var.glob("*/reports/*.json")):
        found = json.loads(path.read_text("utf-8"))
        if found["verb"] in PROMOTED:
            runs.setdefault(path.parent.parent.name, {})[found["verb"]] = found
    lines = {n: len((ROOT / n).read_text("utf-8").splitlines()) for n in READING_ORDER if (ROOT / n).exists()}
    return {"lines": lines, "runs": runs}


def main() -> int:
    before = json.loads(FIGURES.read_text("utf-8")) if FIGURES.exists() else {}
    figures = collected(ROOT / os.environ.get("VAR", "var"), before)
    FIGURES.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n", "utf-8")
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for path in documents:
        path.write_text(filled(path.read_text("utf-8"), figures), "utf-8")
    held = ", ".join(f"{run} ({', '.join(sorted(verbs))})" for run, verbs in figures["runs"].items()) or "none"
    print(f"reports: {held}\nwrote {FIGURES.relative_to(ROOT)} and the blocks of {len(documents)} documents")
    return 0


if __name__ == "__main__":
    sys.exit(main())
