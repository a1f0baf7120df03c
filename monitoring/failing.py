"""A feed some components of which fail: a slate that was made without them is made without them again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from serving.candidates import Candidates, Column, Query
from serving.feed import Feed
from serving.verbs import Hydrator, PartlyDescribed

PARTS = {
    "reader": "readers",
    "source": "sources",
    "filter": "filters",
    "hydrator": "hydrators",
    "scorer": "scorers",
}
"""Where a feed keeps the components of each kind."""

SAID = "mirror:"
"""How a server begins what it says of the moment of its mirror: nothing failed in the feed, and the moment is
logged.
"""


class FailsAgain(RuntimeError):
    """What a component does that failed then."""


class NoSuchComponent(LookupError):
    """Something failed then that is no component of the feed now."""


@dataclass(frozen=True)
class Failing:
    """A component of any kind that fails, under the name and with the columns of the one it stands for."""

    name: str
    gives: tuple[str, ...] = ()

    def _fail(self, *_: object) -> Any:
        raise FailsAgain(f"{self.name} failed then")

    read = find = describe = keep = score = _fail


@dataclass(frozen=True)
class PartlyFailing:
    """A hydrator some columns of which cannot be described."""

    hydrator: Hydrator
    lost: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.hydrator.name

    @property
    def gives(self) -> tuple[str, ...]:
        return self.hydrator.gives

    def describe(self, query: Query, table: Candidates) -> Mapping[str, Column]:
        try:
            columns = self.hydrator.describe(query, table)
        except PartlyDescribed as partly:
            columns = partly.columns
        unknown = {name: np.full(len(table), np.nan) for name in self.lost}
        raise PartlyDescribed({**columns, **unknown}, list(self.lost))


def failing(feed: Feed, degraded: Iterable[str]) -> Feed:
    """The feed with these components failing: kind:name, or kind:name.column where one column was lost."""
    lost: dict[tuple[str, str], list[str]] = {}
    for told in degraded:
        if not told.startswith(SAID):
            kind, _, name = told.partition(":")
            component, _, column = name.partition(".")
            lost.setdefault((kind, component), []).extend([column] if column else [])
    for (kind, component), columns in lost.items():
        feed = _without(feed, kind, component, tuple(columns))
    return feed


def _without(feed: Feed, kind: str, name: str, columns: tuple[str, ...]) -> Feed:
    if kind == "hydrator" and feed.basics.name == name:
        return replace(feed, basics=Failing(name, feed.basics.gives))
    parts: Sequence[Any] = getattr(feed, PARTS[kind]) if kind in PARTS else ()
    if name not in [each.name for each in parts]:
        raise NoSuchComponent(
            f"{kind}:{name} failed then, and the feed has no such component now: "
            "what that did to the slate cannot be done again."
        )
    changed: Any = {PARTS[kind]: [_stand_in(each, columns) if each.name == name else each for each in parts]}
    return replace(feed, **changed)


def _stand_in(component: Any, columns: tuple[str, ...]) -> Any:
    if columns:
        return PartlyFailing(component, columns)
    return Failing(component.name, getattr(component, "gives", ()))
