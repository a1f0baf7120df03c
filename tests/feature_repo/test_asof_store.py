"""Does our historical join answer what Feast's DuckDB store answers, whatever the types of the questions?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.feature_repo.asof_stores import (
    FEASTS,
    OURS,
    REFERENCES,
    a_store,
    asked_of,
    expect_the_same,
    questions,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(tmp_path_factory.mktemp("asof"))


@pytest.mark.parametrize("known_only", [True, False])
@pytest.mark.parametrize("full_names", [True, False])
def test_every_cell_equals_feasts_duckdb_store(root: Path, known_only: bool, full_names: bool) -> None:
    how = {"filter_by_created_timestamp": known_only, "full_feature_names": full_names}
    ours, feasts = (asked_of(a_store(root, kind), questions(), **how) for kind in (OURS, FEASTS))

    shown = ours["plain__plain_x" if full_names else "plain_x"]
    assert shown.notna().sum() > 100
    assert shown.isna().sum() > 20
    expect_the_same(ours, feasts)


CALLERS_TYPES = {
    "small keys": lambda q: q.assign(uid=q["uid"].astype("int32"), cat=q["cat"].astype("uint8")),
    "nullable keys": lambda q: q.assign(uid=q["uid"].astype("Int64").mask(q["row"] % 5 == 0)),
    "float keys": lambda q: q.assign(uid=q["uid"].astype("float64").mask(q["row"] % 5 == 0)),
    "nanoseconds": lambda q: q.assign(event_timestamp=q["event_timestamp"].dt.as_unit("ns")),
    "another zone": lambda q: q.assign(event_timestamp=q["event_timestamp"].dt.tz_convert("Asia/Tokyo")),
    "no moment": lambda q: q.assign(event_timestamp=q["event_timestamp"].mask(q["row"] % 7 == 0)),
    "text moments": lambda q: q.assign(event_timestamp=q["event_timestamp"].map(lambda m: m.isoformat())),
    "categories": lambda q: q.assign(cat=q["cat"].astype("category")),
}


@pytest.mark.parametrize("how", CALLERS_TYPES)
def test_the_callers_types_change_no_answer_and_come_back(root: Path, how: str) -> None:
    asked, store = CALLERS_TYPES[how](questions()), a_store(root, coerce=False)
    usual = asked_of(store, questions())

    found = asked_of(store, asked)

    pd.testing.assert_frame_equal(found[asked.columns], asked)
    lost = asked["uid"].isna() | asked["event_timestamp"].isna()
    assert found.loc[lost, ["plain_x", "crossed_n"]].isna().all(axis=None)
    pd.testing.assert_frame_equal(found.loc[~lost, "plain_x":], usual.loc[~lost, "plain_x":])


def test_rows_come_back_in_the_order_they_went_in(root: Path) -> None:
    asked = questions().sample(frac=1, random_state=3)

    found = asked_of(a_store(root), asked)

    assert found["row"].tolist() == asked["row"].tolist()
    expect_the_same(found, asked_of(a_store(root), questions()))


def test_rows_that_share_keys_and_moment_each_have_their_answer(root: Path) -> None:
    slate = pd.concat([questions().assign(place=place) for place in range(3)])

    found = asked_of(a_store(root), slate)

    assert len(found) == len(slate)
    assert found.groupby("row")["crossed_n"].nunique(dropna=False).max() == 1


def test_no_questions_have_no_answers(root: Path) -> None:
    found = asked_of(a_store(root), questions().head(0))

    assert (len(found), [*found.columns][-1]) == (0, "crossed_n")
    assert len(asked_of(a_store(root), questions().head(0).astype(object))) == 0


def test_answers_can_be_written_to_and_the_questions_stay(root: Path) -> None:
    asked = questions().query("uid < 12 and cat < 3").reset_index(drop=True)
    asked["event_timestamp"] += pd.Timedelta(days=9)
    before, found = asked.copy(), asked_of(a_store(root, coerce=False), asked, REFERENCES[2:])
    assert found.notna().all(axis=None)

    for column in found.columns.drop("event_timestamp"):
        found.loc[0, column] = 77

    assert (found.loc[0, "uid"], found.loc[0, "crossed_x"]) == (77, 77)
    pd.testing.assert_frame_equal(asked, before)


def test_whole_numbers_stay_exact_in_arrow_and_are_floats_beside_nulls_in_pandas(root: Path) -> None:
    job = a_store(root).get_historical_features(questions(), REFERENCES)

    assert str(job.to_arrow().schema.field("plain_n").type) == "int64"
    assert job.to_df()["plain_n"].dtype == np.float64


def test_feast_turns_moments_without_a_zone_into_utc_unless_told_not_to(root: Path) -> None:
    naive = questions()
    naive["event_timestamp"] = naive["event_timestamp"].dt.tz_localize(None)

    assert asked_of(a_store(root), naive)["plain_n"].equals(asked_of(a_store(root), questions())["plain_n"])
    with pytest.raises(ValueError, match="'event_timestamp' of entity_df has no time zone"):
        asked_of(a_store(root, coerce=False), naive)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (lambda q: q.drop(columns="cat"), "no key column 'cat' in entity_df; it has row, uid"),
        (lambda q: q.assign(plain_x=1.0), "column 'plain_x', which is a feature"),
        (lambda q: pd.concat([q, q[["uid"]]], axis=1), "2 columns 'uid', must be one"),
        (lambda q: q.assign(uid=q["uid"].astype(str)), "'uid' of entity_df is String, must be Int64"),
        (lambda q: q.assign(uid=q["uid"] + 0.5), "'uid' of entity_df is Float64 with fractions"),
        (lambda q: q.assign(event_timestamp=q["row"]), "'event_timestamp' of entity_df is Int64"),
        (
            lambda q: q.assign(event_timestamp="2026-01-01 00:00"),
            "holds '2026-01-01 00:00', must be ISO 8601",
        ),
        (lambda q: q.to_dict(), "entity_df is dict, must be a pandas DataFrame, SQL or None"),
    ],
)
def test_a_bad_question_is_refused_by_name(root: Path, bad: Any, says: str) -> None:
    with pytest.raises((KeyError, TypeError, ValueError), match=says):
        asked_of(a_store(root, coerce=False), bad(questions()))
