"""The online store as a server may lean on it: what is slow or gone is left alone for a while.

Law: what is stored and what is answered are the inner store's; only calls it would fail or delay are not
made. A person's rows are asked for on a request and have milliseconds; everything else happens behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from feature_repo.breakers import Breaker
from feature_repo.packed_tables import Batch, PackedTables, StoredRows

PATIENCE_S = 0.25
"""How long one call may wait for the store before it fails; a healthy one answers in a millisecond."""
BUDGET_MS = 25.0
"""A request's read that took longer counts as a failure."""
WRITE_BUDGET_MS = 100.0
"""So does a write, for events wait for it; a checkpoint of the store now and then is no failure."""
ROW_BUDGET_MS = 0.1
"""A write may take this much longer per row."""
BULK_BUDGET_MS = 5_000.0
"""A mirror's reads are nobody's request."""


@dataclass(frozen=True)
class GuardedRows:
    """Another store's rows, each kind of call behind its breaker."""

    inner: StoredRows
    reads: Breaker
    writes: Breaker
    bulk: Breaker

    def create(self, view: str) -> None:
        self.inner.create(view)

    def fetch(self, asks: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[bytes | None]]:
        return self.reads.call(partial(self.inner.fetch, asks))

    def write(self, batches: Sequence[Batch]) -> int:
        more_ms = ROW_BUDGET_MS * sum(len(rows) for _, _, rows in batches)
        return self.writes.call(partial(self.inner.write, batches), more_ms)

    def changed_since(self, view: str, version: int) -> tuple[list[bytes], list[bytes], int]:
        return self.bulk.call(partial(self.inner.changed_since, view, version))

    def newest_us(self, view: str) -> int:
        return self.inner.newest_us(view)

    def clear(self, view: str) -> None:
        self.inner.clear(view)

    def close(self) -> None:
        self.inner.close()


class NoRows:
    """A store nothing was ever written to, nor can be."""

    def create(self, _: str) -> None: ...

    def fetch(self, asks: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[bytes | None]]:
        return [[None] * len(keys) for _, keys in asks]

    def write(self, batches: Sequence[Batch]) -> int:
        told = " and ".join(f"{len(keys)} rows for {view!r}" for view, keys, _ in batches)
        raise OSError(f"{told}, and nothing can be written here.")

    def changed_since(self, _: str, __: int) -> tuple[list[bytes], list[bytes], int]:
        return [], [], 0

    def newest_us(self, _: str) -> int:
        return 0

    def clear(self, _: str) -> None: ...

    def close(self) -> None: ...


def nothing_stored() -> PackedTables:
    """Tables without a row: a reader of them has defaults, and what its stream knows."""
    return PackedTables(NoRows())


def guarded(rows: StoredRows) -> GuardedRows:
    """The rows behind breakers of our budgets."""
    return GuardedRows(
        rows,
        reads=Breaker("online reads", BUDGET_MS),
        writes=Breaker("online writes", WRITE_BUDGET_MS),
        bulk=Breaker("online mirror", BULK_BUDGET_MS),
    )
