"""MLflow's own tables, read and written without MLflow: importing it takes seconds, and a rollback has two.

Only aliases and tags are written here, rows that MLflow itself replaces whole; a test holds each to what
MLflow's client answers. Versions, runs and experiments are MLflow's to make.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

MODEL = "fourplanes-ranker"

ALIASED = """
    SELECT a.version, t.value FROM registered_model_aliases a
    JOIN model_version_tags t ON t.name = a.name AND t.version = a.version AND t.key = 'folder'
    WHERE a.name = ? AND a.alias = ?"""

VERSIONS = """
    SELECT v.version, f.value, r.value FROM model_versions v
    JOIN model_version_tags f ON f.name = v.name AND f.version = v.version AND f.key = 'folder'
    JOIN model_version_tags r ON r.name = v.name AND r.version = v.version AND r.key = 'release_id'
    WHERE v.name = ? ORDER BY v.version"""

TAG = "SELECT value FROM model_version_tags WHERE name = ? AND version = ? AND key = ?"

SET_ALIAS = "INSERT OR REPLACE INTO registered_model_aliases (name, alias, version) VALUES (?, ?, ?)"
SET_TAG = "INSERT OR REPLACE INTO model_version_tags (name, version, key, value) VALUES (?, ?, ?, ?)"

HEAD_BYTES = 100
"""Of a SQLite file before its first page: the change counter is among them."""
BEING_WRITTEN = ("-journal", "-wal")
"""Beside a database that is being written, or whose writer died; a log may hold what the counter does not
tell.
"""

Statement = tuple[str, tuple[object, ...]]
"""SQL and its arguments."""
Stamp = tuple[int, bytes]
"""Which file a database is, and its head."""


def alias(name: str, version: int) -> Statement:
    """Point an alias of our model at a version."""
    return SET_ALIAS, (MODEL, name, version)


def tag(version: int, name: str, value: object) -> Statement:
    """Write one tag of a version."""
    return SET_TAG, (MODEL, version, name, str(value))


def rows(database: Path, sql: str, arguments: tuple[object, ...]) -> list[tuple[Any, ...]]:
    """Rows of MLflow's database, opened read-only; none while it has not been made."""
    if not database.exists():
        return []
    try:
        try:
            return _rows(database, "ro", sql, arguments)
        except sqlite3.OperationalError as error:
            if "readonly" not in str(error):
                raise
            return _rows(database, "rw", sql, arguments)  # a writer was killed: undo what it left half done
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):  # MLflow is creating its tables right now
            return []
        raise


def stamp(database: Path) -> Stamp | None:
    """What every committed write changes (sqlite.org/fileformat2.html, 1.3.7): the file's change counter, and
    which file it is. None where that cannot be relied on: nothing is there, or somebody is writing.
    """
    if any(database.with_name(database.name + ending).exists() for ending in BEING_WRITTEN):
        return None
    try:
        with database.open("rb") as file:
            head = file.read(HEAD_BYTES)
            return (os.fstat(file.fileno()).st_ino, head) if len(head) == HEAD_BYTES else None
    except FileNotFoundError:
        return None


def write(database: Path, statements: Sequence[Statement]) -> None:
    """All of these rows or, if any is refused, none."""
    with closing(_opened(database, "rw")) as connection, connection:
        for sql, arguments in statements:
            connection.execute(sql, arguments)


def _rows(database: Path, mode: str, sql: str, arguments: tuple[object, ...]) -> list[tuple[Any, ...]]:
    with closing(_opened(database, mode)) as connection:
        return connection.execute(sql, arguments).fetchall()


def _opened(database: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{database.resolve().as_uri()}?mode={mode}", uri=True, timeout=5)
