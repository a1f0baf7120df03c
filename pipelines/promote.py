"""Make the newest release champion if every written-down gate holds; otherwise say which does not, and change
nothing.

The incumbent is rescored on the same test rows with its own heads, weights and towers. Every decision is one
line in the registry's append-only log of promotions, and tags on the version.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from evaluation.gates import Verdict, calibrated, refused_by, verdicts
from evaluation.intervals import Interval
from pipelines.measures import advantage, best_baseline, value_over_logistic
from pipelines.plan import Plan
from pipelines.release import Trained, predictions_of, scored
from pipelines.rescoring import value_of
from pipelines.shell import Told
from pipelines.stages import read_json
from serving.heads import HEADS
from serving.releases import DamagedRelease, Release, read_release

DECISIONS = "decisions.jsonl"


def found(
    plan: Plan, trained: Trained, figures: dict[str, Any], incumbent: Release | None
) -> dict[str, Interval | None]:
    """What every gate asks for, measured on the test rows."""
    test, seed = trained.split("test"), plan.run.seed
    rival = scored(trained, test, predictions_of(plan.release.needed(plan.work)))
    ours = rival.scores["value"]
    best = rival.scores[best_baseline(test, rival)]
    theirs = None if incumbent is None else value_of(plan, incumbent, test)
    return {
        "beats_baselines": advantage(test, ours, best, seed),
        "as_valuable_as_logistic": value_over_logistic(test, rival, seed),
        "not_worse_than_champion": None if theirs is None else advantage(test, ours, theirs, seed),
        **{calibrated(head).name: _interval(figures["heads"][head]["calibration_error"]) for head in HEADS},
        "no_collapse": _interval(figures["slate_overlap"]),
    }


def _interval(figure: dict[str, Any]) -> Interval:
    value, low, high = (
        float("nan") if figure[name] is None else float(figure[name]) for name in ("value", "low", "high")
    )
    return Interval(value, low, high, int(figure["n"]))


def champion_of(plan: Plan) -> tuple[int, Release | None]:
    """The incumbent's version and release; (0, None) without one or when it can no longer be read by this
    code.
    """
    from serving import registry

    now = registry.champion(plan.run.places)
    if now is None:
        return 0, None
    try:
        return now[0], read_release(now[1])
    except DamagedRelease:
        return now[0], None


def run(plan: Plan, told: Told) -> dict[str, Any]:
    """Judge the release this code and log made, and move the alias or not."""
    from serving import registry

    trained, artifact = Trained.of(plan), plan.release.needed(plan.work)
    figures = read_json(artifact.path / "figures.json")
    version = registry.register(plan.run.places, artifact.path / "release", {})
    now, incumbent = champion_of(plan)
    if now == version:
        told.say(f"version {version} ({figures['release_id']}) is champion already.")
        return {"promoted": True, "version": version, "release_id": figures["release_id"], "already": True}
    judged = verdicts(found(plan, trained, figures, incumbent))
    return _decided(plan, told, version, figures, now, judged)


def _decided(
    plan: Plan, told: Told, version: int, figures: dict[str, Any], now: int, judged: tuple[Verdict, ...]
) -> dict[str, Any]:
    from serving import registry

    refused, places = refused_by(judged), plan.run.places
    rolled_back = registry.was_rolled_back(places, version)
    promoted = not refused and not rolled_back
    told.table("gates", ("gate", "found", "must be", "holds"), [_row(verdict) for verdict in judged])
    if promoted:
        registry.set_champion(places, version, "every gate holds")
    elif now:
        registry.set_challenger(places, version)
    registry.tag(
        places, version, {"gates": "held" if not refused else ", ".join(v.gate.name for v in refused)}
    )
    decision = {
        "promoted": promoted,
        "version": version,
        "release_id": figures["release_id"],
        "champion_before": now or None,
        "rolled_back_earlier": rolled_back,
        "gates": {verdict.gate.name: verdict.as_figure() for verdict in judged},
    }
    _tell(places.registry, decision)
    told.say(_words(version, figures["release_id"], refused, rolled_back, now))
    return decision


def _words(version: int, release_id: str, refused: tuple[Verdict, ...], rolled_back: bool, now: int) -> str:
    if rolled_back:
        return f"version {version} was rolled back and stays so. Champion: version {now}."
    if not refused:
        return f"version {version} ({release_id}) is champion."
    stays = f"champion stays version {now}" if now else "there is no champion yet"
    return f"version {version} ({release_id}) is refused; {stays}.\n" + "\n".join(f"  {v}" for v in refused)


def _row(verdict: Verdict) -> tuple[str, ...]:
    shown = "nothing to compare with" if verdict.found is None else str(verdict.found)
    bound = f"{verdict.gate.side} {verdict.gate.bound:g}"
    return (verdict.gate.name, shown, bound, "yes" if verdict.holds else "NO")


def _tell(registry_folder: Path, decision: dict[str, Any]) -> None:
    line = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **decision}
    with (registry_folder / DECISIONS).open("a", encoding="utf-8") as told:
        told.write(json.dumps(line) + "\n")
