"""One request in, one slate out: the five verbs in their order, and the whole funnel of what they did.

Lost recall degrades: a source or hydrator that fails is counted, named in the response, and served without.
Lost safety refuses: a filter that fails removes every candidate. A scorer that fails hands over to the next.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from serving.candidates import NOTHING_FOUND, Candidates, Found, Mask, Query, checked_mask
from serving.unions import union_of
from serving.verbs import Choice, Filter, Hydrator, PartlyDescribed, Reader, Scorer, Selector, Source

Answer = TypeVar("Answer")
KEPT = -1
"""In `Funnel.removed_by`: no filter removed this row."""

log = logging.getLogger("serving.feed")


@dataclass(frozen=True)
class Funnel:
    """Everything that happened to one request."""

    query: Query
    found: Mapping[str, Found]
    """By source, in the order of the union; before duplicates were dropped."""
    union: Candidates
    """Every distinct video found. `source` is the first source that found it, `found_by` a bit per source."""
    removed_by: npt.NDArray[np.int8]
    """Per row of the union: the number of the filter that removed it, or KEPT."""
    filters: tuple[str, ...]
    scored: Candidates
    """The rows that were scored, with every column and `value`."""
    unscored: int
    """How many of them got NaN; they sort last."""
    choice: Choice
    ms: Mapping[str, float]
    """Milliseconds of each stage, in order."""
    degraded: tuple[str, ...]
    """Components that failed and were served without, as kind:name."""

    @property
    def slate(self) -> Candidates:
        """The chosen rows, best first."""
        return self.scored.take(self.choice.rows)

    def removed(self) -> dict[str, int]:
        """How many rows each filter removed."""
        return {name: int((self.removed_by == number).sum()) for number, name in enumerate(self.filters)}

    def source_of(self, row: int) -> str:
        """Which source found a scored row first."""
        return list(self.found)[int(self.scored["source"][row])]


@dataclass(frozen=True)
class Feed:
    """The components of a feed, in order. `compose` lists ours."""

    readers: Sequence[Reader]
    """Each adds to the person what the one before could not know."""
    sources: Sequence[Source]
    basics: Hydrator
    """What the filters need to know of a video; candidates it cannot describe are not eligible."""
    filters: Sequence[Filter]
    hydrators: Sequence[Hydrator]
    scorers: Sequence[Scorer]
    """The first that answers scores; the others are its fallbacks."""
    selector: Selector
    quotas: Mapping[str, int]
    most_candidates: int

    def rank(self, query: Query, rng: np.random.Generator) -> Funnel:
        """The slate of a query and how it came about."""
        stages = _Stages()
        with stages.timed("person"):
            query = self._with_person(query, stages)
        with stages.timed("find"):
            found = {source.name: self._find(source, query, stages) for source in self.sources}
            union = union_of(found)
        with stages.timed("filter"):
            union = _described(self.basics, query, union, stages)
            removed_by = self._removed_by(query, union, stages)
            table = union.take(np.flatnonzero(removed_by == KEPT)[: self.most_candidates])
        for hydrator in self.hydrators:
            with stages.timed(hydrator.name):
                table = _described(hydrator, query, table, stages)
        with stages.timed("score"):
            table = table.with_columns({"value": self._score(query, table, stages)})
        with stages.timed("choose"):
            choice = self.selector.choose(query, table, rng)
        names = tuple(each.name for each in self.filters)
        unscored = int(np.isnan(table["value"]).sum())
        return Funnel(
            query, found, union, removed_by, names, table, unscored, choice, stages.ms, tuple(stages.degraded)
        )

    def _with_person(self, query: Query, stages: _Stages) -> Query:
        for reader in self.readers:
            person = stages.attempt("reader", reader.name, partial(reader.read, query), query.person)
            query = query.of(person)
        return query

    def _find(self, source: Source, query: Query, stages: _Stages) -> Found:
        most = self.quotas.get(source.name, 0)
        if most == 0:
            return NOTHING_FOUND
        return stages.attempt("source", source.name, partial(source.find, query), NOTHING_FOUND).first(most)

    def _removed_by(self, query: Query, table: Candidates, stages: _Stages) -> npt.NDArray[np.int8]:
        """The first filter that objects to a row has removed it; a filter that fails objects to every row."""
        removed_by = np.full(len(table), KEPT, np.int8)
        nothing = np.zeros(len(table), np.bool_)
        for number, each in enumerate(self.filters):
            mask = stages.attempt("filter", each.name, partial(_kept, each, query, table), nothing)
            removed_by[(removed_by == KEPT) & ~mask] = number
        return removed_by

    def _score(self, query: Query, table: Candidates, stages: _Stages) -> npt.NDArray[np.float64]:
        unknown = np.full(len(table), np.nan)
        for scorer in self.scorers:
            nothing: npt.NDArray[np.float64] | None = None
            scores = stages.attempt("scorer", scorer.name, partial(_scored, scorer, query, table), nothing)
            if scores is not None:
                return scores
        return unknown


class _Stages:
    """Times the stages of one request and catches what may fail in them."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}
        self.degraded: list[str] = []

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.ms[stage] = (time.perf_counter() - started) * 1000

    def attempt(self, kind: str, name: str, call: Callable[[], Answer], otherwise: Answer) -> Answer:
        """What the component answers; if it fails, that is logged and named, and `otherwise` stands in."""
        try:
            return call()
        except Exception:  # a component may fail in any way; the request must not
            log.exception("%s %s failed", kind, name)
            self.degraded.append(f"{kind}:{name}")
            return otherwise


def _described(hydrator: Hydrator, query: Query, table: Candidates, stages: _Stages) -> Candidates:
    """The table with the hydrator's columns; all NaN when it fails."""
    nothing: Candidates | None = None
    call = partial(_promised, hydrator, query, table, stages)
    found = stages.attempt("hydrator", hydrator.name, call, nothing)
    if found is not None:
        return found
    return table.with_columns({name: np.full(len(table), np.nan, np.float32) for name in hydrator.gives})


def _promised(hydrator: Hydrator, query: Query, table: Candidates, stages: _Stages) -> Candidates:
    """A column that is missing or of the wrong length is this hydrator's failure, not the request's."""
    try:
        columns = hydrator.describe(query, table)
    except PartlyDescribed as partly:
        stages.degraded += [f"hydrator:{hydrator.name}.{column}" for column in partly.failed]
        columns = partly.columns
    if columns.keys() != set(hydrator.gives):
        raise ValueError(f"{hydrator.name} gave {sorted(columns)}, promised {sorted(hydrator.gives)}.")
    return table.with_columns(columns)


def _kept(rule: Filter, query: Query, table: Candidates) -> Mask:
    return checked_mask(rule.name, rule.keep(query, table), len(table))


def _scored(scorer: Scorer, query: Query, table: Candidates) -> npt.NDArray[np.float64]:
    scores = np.asarray(scorer.score(query, table), np.float64)
    if scores.shape != (len(table),):
        raise ValueError(f"scorer {scorer.name} answered shape {scores.shape}, must be ({len(table)},).")
    return scores
