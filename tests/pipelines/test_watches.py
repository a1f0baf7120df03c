"""Who a person was, as it was known at the moment somebody asked."""

from __future__ import annotations

import numpy as np
import polars as pl

from feature_repo.clock import utc
from feature_repo.events import KINDS, empty
from pipelines.watches import profiles_of
from serving.towers import PROFILE


def a_join(user_id: int, happened_us: int, known_us: int) -> pl.DataFrame:
    """One person of code 3 in every field."""
    told = {"event_id": "j", "event_time": utc(happened_us), "known_time": utc(known_us), "user_id": user_id}
    row = {name: told.get(name, 3) for name in KINDS["joined"]}
    return pl.concat([empty("joined"), pl.DataFrame([row], schema=dict(KINDS["joined"]))])


def test_a_profile_is_unknown_until_strictly_after_its_join_was_known() -> None:
    joined = a_join(7, happened_us=100, known_us=200)

    found = profiles_of(joined, np.array([7, 7, 7, 8]), np.array([150, 200, 201, 201]))

    assert found.tolist() == [[code] * len(PROFILE) for code in (-1, -1, 3, -1)]
