"""One [[dial]] table of a scenario file, judged into a Dial: kind, dates, keys and their ranges."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from feature_repo.clock import DAY_US, HOUR_US, MINUTE_US
from feature_repo.scales import Scale
from simulator.dials import KINDS, NEVER, Dial, Range

MOMENT = re.compile(r"day (\d{1,4}) (\d{2}):([0-5]\d)", re.ASCII)

Table = Mapping[str, object]


class BadScenario(ValueError):
    """A scenario that cannot be lived: what was found, what must hold."""


@dataclass(frozen=True)
class DialTable:
    """A table as it was read, and the run it is meant for; `where` names it in errors."""

    where: str
    table: Table
    scale: Scale
    start_us: int

    def dial(self) -> Dial:
        """The dial this table describes; BadScenario names the first key that is wrong and its range."""
        kind = self._kind()
        self._require_keys(kind)
        from_us = self._moment("from")
        until_us = self._moment("until") if "until" in self.table else NEVER
        if from_us == self._end_us:
            raise self._bad("from", f"before the run's end, {self._last}")
        if until_us <= from_us:
            raise self._bad("until", f"after from, {self.table['from']!r}")
        values = tuple((key, self._number(key, known)) for key, known in KINDS[kind].keys.items())
        dial = Dial(kind, from_us, until_us, values)
        self._require_effect(dial)
        return dial

    @property
    def _end_us(self) -> int:
        return self.start_us + self.scale.days * DAY_US

    @property
    def _last(self) -> str:
        return f"'day {self.scale.days} 24:00'"

    def _kind(self) -> str:
        kind = self.table.get("kind")
        if not isinstance(kind, str) or kind not in KINDS:
            raise self._bad("kind", f"one of {', '.join(KINDS)}")
        return kind

    def _require_keys(self, kind: str) -> None:
        needed = {"kind", "from", *KINDS[kind].keys}
        known = f"A {kind} dial has the keys {', '.join(sorted(needed))} and, optionally, until."
        for key in self.table:
            if key not in needed | {"until"}:
                raise BadScenario(f"{self.where}: unknown key {shown(key)}. {known}")
        for key in sorted(needed - self.table.keys()):
            allowed = f"; {key} is {KINDS[kind].keys[key]}" if key in KINDS[kind].keys else ""
            raise BadScenario(f"{self.where}: {key!r} is missing{allowed}. {known}")

    def _moment(self, key: str) -> int:
        text = self.table[key]
        found = MOMENT.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise self._bad(key, f"a moment such as 'day 3 06:00', from 'day 1 00:00' to {self._last}")
        day, hour, minute = (int(part) for part in found.groups())
        if not (1 <= day <= self.scale.days and hour * 60 + minute <= 24 * 60):
            raise self._bad(key, f"within the run: days 1 to {self.scale.days}, hours 00:00 to 24:00")
        return self.start_us + (day - 1) * DAY_US + hour * HOUR_US + minute * MINUTE_US

    def _number(self, key: str, allowed: Range) -> float:
        value = self.table[key]
        if value not in allowed:
            raise self._bad(key, str(allowed))
        assert isinstance(value, (int, float))
        return value if allowed.whole else float(value)

    def _require_effect(self, dial: Dial) -> None:
        """A dial that would change nothing is a mistake, and would be graded as if it had."""
        if dial.kind == "interest_shift" and dial["from_topic"] == dial["to_topic"]:
            raise self._bad("to_topic", "another topic than from_topic")
        nights = range(1, self.scale.days)
        if dial.kind == "stalled_features" and not any(
            dial.holds_at(self.start_us + night * DAY_US) for night in nights
        ):
            raise self._bad("until", "after a midnight that the dial covers: counts are made at 00:00")

    def _bad(self, key: str, must: str) -> BadScenario:
        return BadScenario(f"{self.where}: {key} is {shown(self.table.get(key))}, must be {must}.")


def shown(value: object) -> str:
    """A value as an error shows it: short, whatever it was."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, tables within tables
        return f"a {type(value).__name__} too long to show"
    return text if len(text) <= 60 else f"{text[:57]}..."
