"""What happens to the world from outside, as data: dated dials, which operations are graded against.

A scenario is a TOML file (the built-in ones are in scenario_files/) of one dial or several, and several
scenarios compose into one. All is read and judged before anything is lived: an unknown key, a value out of
its range, a date outside the run or two dials that contradict each other is a BadScenario that says so.
"""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from feature_repo.clock import DAY_US, HOUR_US, MINUTE_US, utc
from feature_repo.places import run_from_environment
from feature_repo.scales import Scale, scale_named
from simulator.dial_tables import BadScenario, DialTable, shown
from simulator.dials import KINDS, NEUTRAL, NEVER, Dial, Dials

__all__ = ["BUILT_IN", "CALM", "NEVER", "BadScenario", "Dial", "Dials", "Scenario", "parsed", "read"]

BUILT_IN: Mapping[str, Path] = {
    path.stem: path for path in sorted((Path(__file__).parent / "scenario_files").glob("*.toml"))
}
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)


class Truth(NamedTuple):
    """What really happened and what should have been noticed; `until_us` is NEVER for an open end."""

    kind: str
    from_us: int
    until_us: int
    values: str
    changes: str
    notice: str


@dataclass(frozen=True)
class Scenario:
    """Dated dials over a run that begins at `start_us`; days count from 0 here, from 1 in a file."""

    name: str
    dials: tuple[Dial, ...] = ()
    start_us: int = 0

    def of_kind(self, kind: str) -> tuple[Dial, ...]:
        """The dials of one kind, by their beginning."""
        return tuple(dial for dial in self.dials if dial.kind == kind)

    def at(self, day: int) -> Dials:
        """What the lived day with this number (0 is the first) must know; neutral when calm."""
        from_us = self.start_us + day * DAY_US
        turned = NEUTRAL
        for dial in self.dials:
            if dial.overlaps(from_us, from_us + DAY_US):
                turned = _turned(turned, dial, from_us, from_us + DAY_US)
        return turned

    def truth(self) -> list[Truth]:
        """The answer key, a row per dial: what a report of an incident is graded against."""
        return [_truth(dial) for dial in self.dials]

    def as_json(self) -> dict[str, object]:
        """The scenario in JSON's own types, the answer key included; equal scenarios give equal JSON."""
        return {"name": self.name, "start_us": self.start_us, "dials": [_row(dial) for dial in self.dials]}


CALM = Scenario("calm")


def read(names_or_paths: Sequence[str], scale: Scale, start_us: int) -> Scenario:
    """The scenarios of these names (built in) or paths (*.toml), composed; none is CALM.

    The order does not matter. BadScenario if one cannot be read or lived, or if two contradict each other.
    """
    tables = [_table(given) for given in names_or_paths]
    return composed([parsed(table, given, scale, start_us) for given, table in tables])


def parsed(table: Mapping[str, object], given: str, scale: Scale, start_us: int) -> Scenario:
    """The scenario of a TOML document already loaded; `given` is what errors call it."""
    for key in table:
        if key not in ("name", "dial"):
            raise BadScenario(
                f"{given}: unknown key {shown(key)}. A scenario has a name and [[dial]] tables."
            )
    name, dials = table.get("name"), table.get("dial")
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        raise BadScenario(f"{given}: name is {shown(name)}, must be 1 to 40 of a-z, 0-9 and '-'.")
    if not isinstance(dials, list) or not dials or not all(isinstance(dial, dict) for dial in dials):
        raise BadScenario(f"{given}: dial is {shown(dials)}, must be one [[dial]] table or more.")
    found = [_dial(f"{given}, dial {n}", dial, scale, start_us) for n, dial in enumerate(dials, start=1)]
    _require_agreement(given, found, start_us)
    return Scenario(name, _in_order(found), start_us)


def composed(scenarios: Sequence[Scenario]) -> Scenario:
    """All dials at once; BadScenario if a scenario is given twice or two of them contradict each other."""
    if not scenarios:
        return CALM
    names = sorted(scenario.name for scenario in scenarios)
    for first, second in pairwise(names):
        if first == second:
            raise BadScenario(f"scenario {first!r} is given twice; every scenario counts once.")
    dials = [dial for scenario in scenarios for dial in scenario.dials]
    start_us = scenarios[0].start_us
    _require_agreement(" and ".join(names), dials, start_us)
    return Scenario("+".join(names), _in_order(dials), start_us)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="simulator scenarios", description="Show scenarios and what operations are graded against."
    )
    parser.add_argument(
        "scenarios", nargs="*", help="names or *.toml files, checked and composed; all by itself"
    )
    asked = parser.parse_args(argv).scenarios
    scale = scale_named(run_from_environment().scale)
    groups = [read(asked, scale, 0)] if asked else [read([name], scale, 0) for name in BUILT_IN]
    Console().print(_listing(groups, scale.days))
    print(f"next: python -m simulator logs --scenario {asked[0] if asked else next(iter(BUILT_IN))}")
    return 0


def _table(given: str) -> tuple[str, Mapping[str, object]]:
    if given not in BUILT_IN and not given.endswith(".toml"):
        raise BadScenario(
            f"no scenario {given!r}. Built in: {', '.join(BUILT_IN)}; or give the path of a .toml file."
        )
    try:
        return given, tomllib.loads(BUILT_IN.get(given, Path(given)).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadScenario(f"{given}: not a readable TOML file ({error}).") from error


def _dial(where: str, table: Mapping[str, object], scale: Scale, start_us: int) -> Dial:
    kind = table.get("kind")
    named = f" ({kind})" if isinstance(kind, str) and kind in KINDS else ""
    return DialTable(where + named, table, scale, start_us).dial()


def _in_order(dials: Sequence[Dial]) -> tuple[Dial, ...]:
    return tuple(sorted(dials, key=lambda dial: (dial.from_us, dial.kind, dial.values)))


def _require_agreement(where: str, dials: Sequence[Dial], start_us: int) -> None:
    """Two dials of one kind about the same thing may not hold at once, nor share a day with room for one."""
    for one, other in combinations(_in_order(dials), 2):
        if _about(one) != _about(other) or _claimed_until(one, start_us) <= other.from_us:
            continue
        held = [f"{_values(d) or 'on'} {_between(d, start_us)}" for d in (one, other)]
        verdict = "say the same twice" if one.values == other.values else "contradict each other"
        room = "on different days" if KINDS[one.kind].one_a_day else "at different times"
        raise BadScenario(
            f"{where}: two {one.kind} dials {verdict}: {held[0]}, and {held[1]}; they must hold {room}."
        )


def _about(dial: Dial) -> tuple[object, ...]:
    """What a dial is about: two that agree may not overlap. A shift and its reverse are about the same."""
    return dial.kind, *sorted(dial[key] for key in KINDS[dial.kind].same)


def _claimed_until(dial: Dial, start_us: int) -> int:
    """When another dial about the same may begin: at its end, or on the day after."""
    if not KINDS[dial.kind].one_a_day or dial.until_us == NEVER:
        return dial.until_us
    return dial.until_us + (start_us - dial.until_us) % DAY_US


def _turned(dials: Dials, dial: Dial, from_us: int, until_us: int) -> Dials:
    """A day's dials with this one turned, as far as the day is concerned."""
    begins, ends = max(dial.from_us, from_us), min(dial.until_us, until_us)
    match dial.kind:
        case "like_times":
            return dials._replace(like_odds=dial["times"], like_from_us=begins, like_until_us=ends)
        case "viral":
            dials = dials._replace(viral_topic=int(dial["topic"]), viral_logits=dial["logits"])
            return dials._replace(viral_from_us=begins, viral_until_us=ends)
        case "traffic":
            more = dial.share_of(from_us, until_us) * (dial["times"] - 1.0)
            return dials._replace(traffic=max(0.0, dials.traffic + more))
        case "stalled_features":
            return dials._replace(stalled=dials.stalled or bool(dial.holds_at(from_us)))
    return dials


def _truth(dial: Dial) -> Truth:
    kind = KINDS[dial.kind]
    return Truth(dial.kind, dial.from_us, dial.until_us, _values(dial), kind.changes, kind.notice)


def _row(dial: Dial) -> dict[str, object]:
    ends = None if dial.until_us == NEVER else utc(dial.until_us).isoformat()
    when = {"from": utc(dial.from_us).isoformat(), "until": ends}
    kind = KINDS[dial.kind]
    said = {"changes": kind.changes, "notice": kind.notice}
    return {"kind": dial.kind, **when, "values": dict(dial.values), **said}


def _values(dial: Dial) -> str:
    return ", ".join(f"{key} {value:g}" for key, value in dial.values)


def _between(dial: Dial, start_us: int) -> str:
    ends = "to the end" if dial.until_us == NEVER else f"until {_moment(dial.until_us - start_us, 1)}"
    return f"from {_moment(dial.from_us - start_us, 0)} {ends}"


def _moment(since_us: int, ends: int) -> str:
    """`day 9 06:00`; with `ends` 1 it closes a stretch, and midnight is 24:00 of the day before."""
    day = (since_us - ends) // DAY_US
    left = since_us - day * DAY_US
    return f"day {day + 1} {left // HOUR_US:02d}:{left % HOUR_US // MINUTE_US:02d}"


def _listing(scenarios: Sequence[Scenario], days: int) -> Table:
    table = Table(title=f"Scenarios of a run of {days} days, moments UTC", show_lines=True)
    for column, narrowest in (
        ("scenario", 16),
        ("when", 20),
        ("what changes; what a monitor should see", 33),
    ):
        table.add_column(column, min_width=narrowest)
    for scenario in scenarios:
        for dial, true in zip(scenario.dials, scenario.truth(), strict=True):
            when = _between(dial, scenario.start_us).replace(" until", "\nuntil").replace(" to ", "\nto ")
            turned = f"{true.kind}: {true.values}" if true.values else true.kind
            table.add_row(scenario.name, when, f"{turned}\n{true.changes}\n[dim]{true.notice}[/dim]")
    return table
