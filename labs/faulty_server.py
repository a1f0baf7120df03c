"""Our server with faults that come and go: it is ours in everything, and breaks where a file says so.

Each fault is a file of that name in the folder FAULTS; while it is there, what it names fails. So a drill
takes a dependency away from a running server and gives it back.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

FOLDER = "FAULTS"
STORE_GONE, STORE_SLOW, HEAD_BROKEN, INDEX_MISSING = (
    "store-gone",
    "store-slow",
    "head-broken",
    "index-missing",
)
SLOW_S = 0.2
"""Forty times what a slate may take in all."""
BROKEN_HEAD = "like"


def main(argv: list[str]) -> int:
    """Serve as `python -m serving` does."""
    from serving.__main__ import main as serve

    _break_where_told(Path(os.environ[FOLDER]))
    return serve(argv)


def _break_where_told(folder: Path) -> None:
    from feature_repo.packed_sqlite import SqliteRows
    from serving.heads import Heads
    from serving.index import VideoIndex

    for name in ("fetch", "changed_since", "write"):
        _spoil(SqliteRows, name, lambda _: _store(folder))
    _spoil(VideoIndex, "search", lambda _: _fail_if(folder / INDEX_MISSING))
    heads_of = Heads.from_texts.__func__  # type: ignore[attr-defined]

    def from_texts(cls: type[Heads], *texts: Any) -> Heads:
        heads: Heads = heads_of(cls, *texts)
        return cls({name: _Told(head, folder, name) for name, head in heads.by_name.items()})  # type: ignore[misc]

    Heads.from_texts = classmethod(from_texts)  # type: ignore[assignment, method-assign]


class _Told:
    """A head that is another, unless it is the broken one and told to be."""

    def __init__(self, head: Any, folder: Path, name: str) -> None:
        self._head, self._fault = head, folder / HEAD_BROKEN if name == BROKEN_HEAD else None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._head, name)

    def predict(self, matrix: Any) -> Any:
        if self._fault is not None:
            _fail_if(self._fault)
        return self._head.predict(matrix)


def _spoil(kind: type, name: str, before: Callable[[Any], None]) -> None:
    """Let something happen before each call of a method."""
    method = getattr(kind, name)

    @wraps(method)
    def spoilt(self: Any, *arguments: Any) -> Any:
        before(self)
        return method(self, *arguments)

    setattr(kind, name, spoilt)


def _store(folder: Path) -> None:
    _fail_if(folder / STORE_GONE)
    if (folder / STORE_SLOW).exists():
        time.sleep(SLOW_S)


def _fail_if(fault: Path) -> None:
    if fault.exists():
        raise OSError(f"{fault.name}: planted.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
