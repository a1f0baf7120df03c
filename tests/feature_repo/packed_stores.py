"""Stores of packed rows to test with: a file, or a Redis of our own on a free port."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike

from feature_repo.packed_rows import Rows, Schema, rows_of_columns
from feature_repo.packed_tables import PackedTables, open_packed

BACKENDS = ("sqlite", "redis")

VIDEO = Schema("video", ("video_id",), (("clicks", "<i8"), ("rate", "<f4"), ("live", "|b1")))
PAIR = Schema("pair", ("user_id", "topic"), (("taste", "<f4"),))

_projects = count()


@contextmanager
def a_place(backend: str, folder: Path) -> Iterator[str]:
    """Where a store can be opened."""
    if backend == "sqlite":
        yield str(folder / "packed.db")
    else:
        with a_redis(folder) as url:
            yield url


@contextmanager
def a_redis(folder: Path) -> Iterator[str]:
    """The address of a server that ends with the block; skips where there is none to start."""
    program = shutil.which("redis-server")
    if program is None or find_spec("redis") is None:
        pytest.skip("needs redis-py (the extra `redis`) and a redis-server on the path")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(folder)]
    with subprocess.Popen([program, *settings], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert any("Ready to accept connections" in line for line in server.stdout)
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()


def empty_tables(place: str) -> PackedTables:
    """A project nobody used before."""
    return open_packed(place, f"p{next(_projects)}")


def video_rows(since_us: ArrayLike, clicks: ArrayLike = 0, **more: Any) -> Rows:
    """Rows of VIDEO; the rate is half the clicks."""
    n = len(np.asarray(since_us))
    clicked = np.broadcast_to(np.asarray(clicks, np.int64), n)
    columns = {"clicks": clicked, "rate": clicked / 2, "live": clicked % 2 == 1}
    return rows_of_columns(VIDEO, columns, since_us, **more)
