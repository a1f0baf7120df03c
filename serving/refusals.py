"""Why events were not acknowledged although nothing is wrong with them: they are not on disk.

Nothing of their batch was stored, or all of it and the disk then failed. Sent again it is acknowledged, once
the disk is well.
"""

from __future__ import annotations

import errno
import sqlite3

from feature_repo.breakers import Resting

UNDURABLE = (sqlite3.Error, OSError, Resting)
"""What a journal that cannot be written raises, or the breaker before it."""
COME_AGAIN_S = 1
"""As long as the journal is left alone before it is tried again."""


class NotDurable(Exception):
    """The disk is full, or the journal cannot be written for another reason."""

    def __init__(self, error: Exception) -> None:
        cause = error.__cause__ if isinstance(error, Resting) else error
        self.full = is_full(cause)
        what = "the disk is full" if self.full else "the journal cannot be written"
        super().__init__(f"{what}: the events were not stored for good; send them again.")


def is_full(error: BaseException | None) -> bool:
    """Whether there is no space left, in the words of SQLite or of the system."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or "is full" in str(error)
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
