"""Slow preparations beside work that sorts and counts, for such work leaves the interpreter to others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def done_aside(preparation: Callable[[], object]) -> Iterator[None]:
    """While the block runs, another thread prepares; after the block it is done, or its error is raised.

    What block and preparation both import is imported before: half a module is nothing to work with.
    """
    with ThreadPoolExecutor(1) as aside:
        prepared = aside.submit(preparation)
        yield
        prepared.result()
