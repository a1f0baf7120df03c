"""Copy the figures of reports into docs/figures.json and into the marked blocks of README.md and docs/*.md.

    python -m docs.write_figures     reads VAR/*/reports/*.json; a run without new reports keeps its figures

A block is what stands between `<!-- figures:NAME -->` and `<!-- /figures -->`; BLOCKS says how each NAME is
written. No figure in a document is typed by hand: a test fails when a document and docs/figures.json differ.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docs.drill_figures import DRILLS, drills
from docs.feature_figures import FEATURE_REPORTS, audit_parity, bench_features
from docs.quoted import LAPTOP, REAL, Figures, NotMeasured, interval, number, report, table
from docs.serving_figures import bench_serving

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
QUOTED = ("logs", "train", "promote", "evaluate", "true-value", "three-seeds", "bench-serving", "card")
WORLDS = ("bench-world", "bench-world-stream", "pairing", "long-term", "global-effect")


def reading_order(figures: Figures) -> str:
    rows = [
        f"{place}. [`{name}`]({name}) ({figures['lines'][name]} lines): {why}"
        for place, (name, why) in enumerate(READING_ORDER.items(), start=1)
        if name in figures["lines"]
    ]
    return "\n".join(rows)


def train(figures: Figures) -> str:
    """How the release ranks the held-out days beside its rivals, on the same rows."""
    found = report(figures, LAPTOP, "train", "make train")
    metrics = {
        "gauc_yes": "per-user AUC of a yes",
        "ndcg_at_10": "nDCG@10 of realised value",
        "gauc_long_watch": "per-user AUC of long watch",
    }
    best_first = sorted(found["ranking"].items(), key=lambda item: -item[1]["gauc_yes"]["value"])
    rows = [(name, *(interval(row[metric]) for metric in metrics)) for name, row in best_first]
    said = (
        f"Release `{found['release_id']}` on the held-out days, with 95 % intervals by user.{took(figures)}"
    )
    return f"{said}\n\n" + table(("scorer", *metrics.values()), rows)


def took(figures: Figures) -> str:
    """What `make train` took, the living of the world included; nothing where a part was reused."""
    verbs = figures["runs"].get(LAPTOP, {})
    found = [verbs[verb]["figures"] for verb in ("logs", "train") if verb in verbs]
    if any(part.get("reused") for part in found):
        return ""
    seconds = number(sum(part.get("seconds", 0.0) for part in found), 0)
    peak = found[-1].get("peak_memory_gib")
    held = "" if peak is None else f", and at most {number(peak, 1)} GiB of memory"
    return f" `make train` took {seconds} s{held}."


def true_value(figures: Figures) -> str:
    """What each policy is truly worth: satisfaction and session length, one column per world."""
    worlds = report(figures, LAPTOP, "three-seeds", "make three-seeds")["seeds"]
    headroom = [interval(world["policies"]["champion"]["share_of_headroom"], 2) for world in worlds.values()]
    return "\n\n".join(
        [
            table(
                ("satisfaction per impression", *(f"seed {seed}" for seed in worlds)),
                [*worths(worlds, "satisfaction", 3), ("champion's share of the headroom", *headroom)],
            ),
            table(
                ("impressions per session", *(f"seed {seed}" for seed in worlds)),
                worths(worlds, "session_length", 1),
            ),
        ]
    )


def worths(worlds: Figures, unit: str, digits: int) -> list[tuple[str, ...]]:
    """Every policy in one unit, the best first, and what the champion has above the best baseline."""
    means = {
        name: sum(world["policies"][name][unit]["value"] for world in worlds.values())
        for name in next(iter(worlds.values()))["policies"]
    }
    best_first = sorted(means, key=lambda name: -means[name])
    rows = [
        (name, *(interval(world["policies"][name][unit], digits) for world in worlds.values()))
        for name in best_first
    ]
    above = [above_the_best(world, unit, digits) for world in worlds.values()]
    return [*rows, ("**champion less the best baseline**", *above)]


def above_the_best(world: Figures, unit: str, digits: int) -> str:
    """The champion less the baseline that comes nearest to it in this world, paired by person."""
    less = world["champion_less"]
    best = min(less, key=lambda name: less[name][unit]["value"])
    return f"**{interval(less[best][unit], digits)}** ({best})"


def kuairand(figures: Figures) -> str:
    """The ranking table on the held-out days of the real logs."""
    found = report(figures, REAL, "train", "make train LOGS=kuairand")["held_out"]
    rows = [
        (name, *(interval(row[metric], 4) for metric in ("gauc", "ndcg_at_5", "mean")))
        for name, row in found["scorers"].items()
    ]
    said = f"{found['rows']:,} rows, long view, ranked within each person's logged impressions:"
    return f"{said}\n\n" + table(("scorer", "GAUC", "nDCG@5", "mean of both"), rows)


def card(figures: Figures) -> str:
    """Every row of the calibration card."""
    rows = [
        (
            name,
            f"{row['real']:.4g}",
            plain(row["simulated"]),
            "{:.4g} to {:.4g}".format(*row["band"]),
            inside(row),
        )
        for name, row in report(figures, LAPTOP, "card", "make card")["rows"].items()
    ]
    return table(("figure", "published", "our world, 95 % interval", "band", ""), rows)


def plain(estimate: Figures) -> str:
    """An estimate in four significant digits, whatever its size."""
    return f"{estimate['value']:.4g} [{estimate['low']:.4g}, {estimate['high']:.4g}]"


def inside(row: Figures) -> str:
    return "in" if row["inside"] else "**out**"


def card_summary(figures: Figures) -> str:
    """How many rows lie in their band, and which do not."""
    found = report(figures, LAPTOP, "card", "make card")
    out = [
        f"`{name}` ({plain(row['simulated'])}, published {row['real']:.4g})"
        for name, row in found["rows"].items()
        if not row["inside"]
    ]
    rest = f"; outside: {', '.join(out)}" if out else ""
    link = "[docs/WORLD.md](docs/WORLD.md#4-the-card)"
    return f"{found['inside']} of {found['of']} figures lie in their band{rest}. All of them: {link}."


def bench_world(figures: Figures) -> str:
    """How fast the world is lived and written on one core, and what it weighs."""
    of = report(figures, LAPTOP, "bench-world", "make bench-world")
    long = report(figures, LAPTOP, "bench-world-stream", "python -m labs bench-world --impressions 100e6")
    return (
        f"{of['users']:,} people, {of['days']} days, {of['impressions']:,} impressions on one core, from "
        f"people to parquet: {number(of['impressions_per_second'])} impressions a second, each slot chosen "
        f"from {of['candidates_per_choice_mean']:.0f} scored candidates on average; "
        f"{of['times_the_bare_softmax']:.0f} times the time of a bare softmax over as many; at most "
        f"{of['peak_memory_mib']:,.0f} MiB. {long['impressions'] / 1e6:.0f} million impressions of "
        f"{long['users']:,} people over {long['days']} days stream to disk in "
        f"{long['peak_memory_mib'] / 1024:.1f} GiB."
    )


def pairing(figures: Figures) -> str:
    """What the same luck buys: variance of a difference between two policies, unpaired over paired."""
    of = report(figures, LAPTOP, "pairing", "make pairing")
    head = ("policy", "built-in policy less it", "than in other worlds", "than with other luck")
    rows = []
    for name, each in of["other_worlds"].items():
        cuts = (each["times_less_variance"], of["other_luck"][name]["times_less_variance"])
        rows.append((name, interval(each["difference"]), *(interval(cut, 1) for cut in cuts)))
    lead = (
        f"Satisfaction per person and day over {of['days']} days, {of['users']:,} people, "
        f"{of['replications']} pairs of worlds. Times less variance of the estimated difference than in "
        "worlds that are not paired: drawn from other seeds, or the same people and videos with other luck:"
    )
    return f"{lead}\n\n{table(head, rows)}"


def long_term(figures: Figures) -> str:
    """Active days of the next 28 by policy, paired by person."""
    of = report(figures, LAPTOP, "long-term", "make long-term")
    head = ("policy", "active days of the next 28", "more than the built-in")
    asked = ("active_days", "more_days")
    rows = [(name, *(interval(each[key], 2) for key in asked)) for name, each in of.items()]
    lead = f"The same {of['default']['active_days']['n']:,} people after the log's end, with the same luck:"
    return f"{lead}\n\n{table(head, rows)}"


def global_effect(figures: Figures) -> str:
    """What a change does when everybody gets it, beside what an experiment by user says."""
    of = report(figures, LAPTOP, "global-effect", "make global-effect")
    head = ("per person", "if everybody gets it", "an experiment by user says")
    rows = [
        (name, interval(of[key]["everybody"], 2), interval(of[key]["experiment"], 2))
        for name, key in (("satisfaction a day", "satisfaction"), ("active days of 14", "active_days"))
    ]
    return f"{of['treated']} less {of['control']}:\n\n{table(head, rows)}"


def session(figures: Figures) -> str:
    """What docs/session.sh printed."""
    if "session" not in figures:
        raise NotMeasured("python docs/write_session.py")
    return f"```text\n{figures['session'].rstrip()}\n```"


BLOCKS: dict[str, Callable[[Figures], str]] = {
    "reading-order": reading_order,
    "train": train,
    "true-value": true_value,
    "kuairand": kuairand,
    "card": card,
    "drills": drills,
    "card-summary": card_summary,
    "audit-parity": audit_parity,
    "bench-features": bench_features,
    "bench-serving": bench_serving,
    "bench-world": bench_world,
    "pairing": pairing,
    "long-term": long_term,
    "global-effect": global_effect,
    "session": session,
}


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
    """Reports under var by run and verb, over those collected before, and the lines of the files to read."""
    runs: dict[str, dict[str, Any]] = {run: dict(verbs) for run, verbs in before.get("runs", {}).items()}
    for path in sorted(var.glob("*/reports/*.json")):
        found = json.loads(path.read_text("utf-8"))
        if found["verb"] in (*QUOTED, *WORLDS, *FEATURE_REPORTS, *DRILLS) and path.parent.parent.name in (
            LAPTOP,
            REAL,
        ):
            runs.setdefault(path.parent.parent.name, {})[found["verb"]] = found
    lines = {n: len((ROOT / n).read_text("utf-8").splitlines()) for n in READING_ORDER if (ROOT / n).exists()}
    return {**before, "lines": lines, "runs": runs}


def main() -> int:
    before = json.loads(FIGURES.read_text("utf-8")) if FIGURES.exists() else {}
    figures = collected(ROOT / os.environ.get("VAR", "var"), before)
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    documents = [
        ROOT / "README.md",
        ROOT / "feature_repo" / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
    ]
    for path in documents:
        path.write_text(filled(path.read_text("utf-8"), figures), "utf-8")
    held = (
        ", ".join(f"{run} ({', '.join(sorted(verbs))})" for run, verbs in figures["runs"].items()) or "none"
    )
    print(f"reports: {held}\nwrote {FIGURES.relative_to(ROOT)} and the blocks of {len(documents)} documents")
    return 0


if __name__ == "__main__":
    sys.exit(main())
