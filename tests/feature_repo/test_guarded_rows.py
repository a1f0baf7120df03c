"""The online store behind breakers: the same rows, and no call to what is gone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from feature_repo.breakers import Resting
from feature_repo.catalogue import USER_STATS
from feature_repo.guarded_rows import NoRows, guarded, nothing_stored
from feature_repo.materialization import schema_of
from feature_repo.packed_sqlite import SqliteRows


class Gone(NoRows):
    """A store nobody can reach."""

    def fetch(self, _: object) -> list[list[bytes | None]]:
        raise ConnectionError("nobody is there")


def test_what_is_written_through_the_guard_is_what_the_store_has(tmp_path: Path) -> None:
    inner = SqliteRows(tmp_path / "online.db", "p")
    inner.create("users")
    through = guarded(inner)
    row = (5).to_bytes(8, "little") + b"\x00" * 24

    through.write([("users", [b"key"], [row])])

    assert through.fetch([("users", [b"key", b"other"])]) == inner.fetch([("users", [b"key", b"other"])])
    assert through.changed_since("users", 0) == inner.changed_since("users", 0)


def test_reads_that_fail_do_not_stop_writes() -> None:
    rows = guarded(Gone())
    for _ in range(3):
        with pytest.raises(ConnectionError):
            rows.fetch([])

    with pytest.raises(Resting):
        rows.fetch([])
    assert rows.changed_since("users", 0) == ([], [], 0)


def test_where_nothing_is_stored_nothing_is_found() -> None:
    rows = nothing_stored().read(schema_of(USER_STATS), np.array([[1], [2]]))

    assert rows.found.tolist() == [False, False]
