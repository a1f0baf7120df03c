"""Is every feature defined once, and does the matrix follow the catalogue? (catalogue, matrix, context,
videos)
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from feature_repo.catalogue import FEATURES, STATS, VIEWS, feature_named
from feature_repo.clock import DAY_US, HOUR_US, NEVER_US
from feature_repo.context import context_columns, hour_of_day, is_weekend, user_tenure_days, video_age_hours
from feature_repo.matrix import COLUMNS, ROWS, assemble, matrix_hash
from feature_repo.videos import VideoCatalog
from tests.feature_repo.builders import a_story, at


def columns(**changes: object) -> dict[str, object]:
    return {**dict.fromkeys(COLUMNS, 0.0), **changes}


@pytest.mark.parametrize("n", [0, 1, ROWS, ROWS + 1])
def test_a_matrix_is_its_columns_bit_for_bit_however_many_rows(n: int) -> None:
    rng = np.random.default_rng(3)
    wide = rng.normal(size=(n, len(COLUMNS))).astype(np.float32)
    told: dict[str, object] = dict(zip(COLUMNS, wide.T, strict=True))
    told["surface"], told["is_weekend"] = rng.normal(size=n), rng.integers(0, 9, n)

    found = assemble(told, n)

    assert (found.shape, found.flags.c_contiguous) == ((n, len(COLUMNS)), True)
    for place, name in enumerate(COLUMNS):
        assert found[:, place].tobytes() == np.asarray(told[name], np.float32).tobytes(), name


def test_no_feature_is_named_twice() -> None:
    names = [feature.name for feature in FEATURES]

    assert len(names) == len(set(names))


def test_a_window_in_a_name_is_the_window_counted() -> None:
    for feature in FEATURES:
        named = re.search(r"_(\d+)([hd])$", feature.name)
        if named:
            unit = HOUR_US if named[2] == "h" else DAY_US
            assert feature.window_us == int(named[1]) * unit, feature.name


def test_every_feature_says_why_it_exists_and_who_owns_it() -> None:
    assert all(feature.why and feature.owner for feature in FEATURES)


def test_a_missing_row_of_counts_lies_in_its_range() -> None:
    for feature in (f for view in STATS for f in view.features):
        assert feature.low <= feature.default <= feature.high


def test_a_row_may_be_used_as_long_as_its_longest_window_and_no_longer() -> None:
    assert {view.ttl_us for view in VIEWS if not view.windows_us} == {None}
    assert all(view.ttl_us == max(f.window_us for f in view.features) for view in STATS)


def test_stored_features_are_named_after_their_entity() -> None:
    for view in VIEWS:
        assert all(feature.name.startswith(f"{feature.entity}_") for feature in view.features)


def test_an_unknown_feature_is_refused_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match="no feature 'mood'"):
        feature_named("mood")


def test_ids_and_moments_are_never_columns() -> None:
    assert not [name for name in COLUMNS if name.endswith(("_id", "_us"))]


def test_columns_land_in_their_place_whatever_order_they_come_in() -> None:
    told = {name: np.full(2, place) for place, name in enumerate(COLUMNS)}

    found = assemble(dict(reversed(told.items())), 2)

    assert found.dtype == np.float32
    assert found.tolist() == [list(range(len(COLUMNS)))] * 2


def test_a_scalar_is_the_same_in_every_row() -> None:
    assert assemble(columns(surface=3), 2)[:, COLUMNS.index("surface")].tolist() == [3, 3]


def test_a_missing_column_is_refused_by_name() -> None:
    told = columns()
    del told["tower_score"]

    with pytest.raises(KeyError, match="no column 'tower_score'"):
        assemble(told, 1)


def test_a_column_of_another_length_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'surface' has shape"):
        assemble(columns(surface=np.zeros(3)), 2)


def test_the_hash_of_the_matrix_is_stable_within_a_version() -> None:
    assert matrix_hash() == matrix_hash()


def test_hours_and_weekends_are_utc() -> None:
    monday_noon, saturday, sunday_end = at(hours=12.5), at(days=5), at(days=7, us=-1)

    assert hour_of_day([monday_noon, saturday]).tolist() == [12.5, 0.0]
    assert is_weekend([monday_noon, saturday, sunday_end, at(days=7)]).tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("joined", [at(days=-3), float("nan")])
def test_one_moment_says_to_the_last_bit_what_a_column_of_it_says(joined: float) -> None:
    now, uploaded = at(days=5, hours=3.7), np.array([at(), float("nan")])

    one = context_columns(now, 1, uploaded, float(joined))

    many = context_columns(np.array([now, now]), np.array([1, 1]), uploaded, np.array([joined, joined]))
    for name, column in many.items():
        assert np.broadcast_to(one[name], 2).tobytes() == column.tobytes(), name


def test_ages_start_at_zero_and_are_nan_when_unknown() -> None:
    assert video_age_hours(at(hours=3), [at(hours=1), at(hours=4)]).tolist() == [2.0, 0.0]
    assert np.isnan(user_tenure_days(at(), [np.nan])).all()


def test_context_has_one_value_for_a_request_and_one_per_candidate() -> None:
    found = context_columns(at(hours=1), 0, np.array([at(), at()]), at(days=-1))

    assert {name: np.shape(column) for name, column in found.items()} == {
        "surface": (),
        "hour_of_day": (),
        "is_weekend": (),
        "video_age_hours": (2,),
        "user_tenure_days": (),
    }


def test_the_catalog_is_sorted_and_says_what_it_does_not_know(tmp_path: Path) -> None:
    catalog = VideoCatalog.from_log(a_story().log(tmp_path))

    assert catalog.video_ids.tolist() == [10, 11, 12]
    assert catalog.rows_of([12, 99, 10]).tolist() == [2, -1, 0]
    assert catalog.creators_of([12, 99]).tolist() == [200, -1]
    assert np.isnan(catalog.duration_s[2])
    assert np.isnan(catalog.production).all()
    assert catalog.content[1].tolist() == [11.0] * 16


def test_a_video_is_in_the_catalog_strictly_after_it_was_known(tmp_path: Path) -> None:
    log = a_story().log(tmp_path)

    assert len(VideoCatalog.from_log(log, at(days=2, minutes=7))) == 2
    assert len(VideoCatalog.from_log(log, at(days=2, minutes=7, us=1))) == 3


def test_a_removed_video_stays_in_the_catalog_with_the_moment_its_removal_was_known(tmp_path: Path) -> None:
    story = a_story()
    story.removes(10, at(days=1), known_us=at(days=2))
    story.removes(10, at(days=3))
    log = story.log(tmp_path)

    assert VideoCatalog.from_log(log).removed_us.tolist() == [at(days=2), NEVER_US, NEVER_US]
    assert VideoCatalog.from_log(log, at(days=2)).removed_us[0] == NEVER_US


def test_an_empty_catalog_knows_no_video() -> None:
    catalog = VideoCatalog.from_uploads(a_story().frame("uploaded").head(0))

    assert catalog.rows_of([1]).tolist() == [-1]
    assert catalog.creators_of([1]).tolist() == [-1]
