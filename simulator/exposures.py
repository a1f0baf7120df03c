"""One row per served item of a lived day: what was shown, what became of it, and what was truly felt.

The rows are the world's own record, sealed: observations.py tells an outside observer's part of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from feature_repo.events import GRID as GRID
from feature_repo.events import SWIPE as SWIPE

NOT_ASKED, NOT_ANSWERED = 0, -1
"""Values of `survey` beside the answers 1..5."""

EXPOSURE = np.dtype(
    [
        ("person", np.int32),  # row of People
        ("video", np.int32),  # row of Videos
        ("session", np.int32),  # day * 16 + ordinal within the day
        ("request", np.int32),  # ordinal within the session
        ("position", np.int32),  # 0 is the top of the slate
        ("step", np.int32),  # ordinal of the item within the session: luck is looked up by it
        ("surface", np.int8),
        ("source", np.int8),
        ("survey", np.int8),
        ("explored", np.bool_),
        ("reached", np.bool_),  # swipe: it came on screen; grid: its cover was tapped
        ("examined", np.bool_),  # swipe: as reached; grid: eyes fell on its cover
        ("reactions", np.int32),  # one bit per name of coefficients.REACTIONS
        ("watched_ms", np.int32),
        ("served_us", np.int64),
        ("started_us", np.int64),
        ("propensity", np.float64),
        ("pull", np.float64),
        ("satisfaction", np.float64),
    ]
)

Exposures = NDArray[np.void]
"""Rows of EXPOSURE, ordered by (person, session, request, position)."""

Row = Any
"""One row of them, whose fields are attributes in compiled code."""


def reacted(rows: Exposures, number: int) -> NDArray[np.bool_]:
    """Which rows drew the reaction of this number."""
    return np.asarray(rows["reactions"] >> number & 1, dtype=np.bool_)
