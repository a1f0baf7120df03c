"""Who a person was, as it was known at the moment somebody asked."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from feature_repo.clock import utc
from feature_repo.events import KINDS, empty
from pipelines.splits import Window
from pipelines.watches import labels_of, labels_of_each, profiles_of
from serving.towers import PROFILE
from tests.feature_repo.builders import a_story, at


def a_join(user_id: int, happened_us: int, known_us: int) -> pl.DataFrame:
    """One person of code 3 in every field."""
    told = {"event_id": "j", "event_time": utc(happened_us), "known_time": utc(known_us), "user_id": user_id}
    row = {name: told.get(name, 3) for name in KINDS["joined"]}
    return pl.concat([empty("joined"), pl.DataFrame([row], schema=dict(KINDS["joined"]))])


def test_a_profile_is_unknown_until_strictly_after_its_join_was_known() -> None:
    joined = a_join(7, happened_us=100, known_us=200)

    found = profiles_of(joined, np.array([7, 7, 7, 8]), np.array([150, 200, 201, 201]))

    assert found.tolist() == [[code] * len(PROFILE) for code in (-1, -1, 3, -1)]


def test_windows_read_together_have_the_labels_each_has_alone(tmp_path: Path) -> None:
    story = a_story()
    story.uploads(77, creator=300, known_us=at(hours=3))
    story.swipes(1, 77, at(hours=1))
    log = story.log(tmp_path)
    cuts = [at(), at(hours=2), at(days=1), at(days=3)]
    windows = [Window(start, end) for start, end in pairwise(cuts)]

    together = labels_of_each(log, windows)

    assert sum(map(len, together)) > 0
    assert all(rows.equals(labels_of(log, window)) for rows, window in zip(together, windows, strict=True))
