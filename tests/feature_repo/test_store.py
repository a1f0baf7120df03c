"""One row in, one row out, each as it was at its moment: the training snapshot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from feature_repo.catalogue import VIEWS
from feature_repo.clock import DAY_US, HOUR_US, INSTANT
from feature_repo.labels import events_between, labels
from feature_repo.log import EventLog
from feature_repo.places import Places
from feature_repo.steps import source_of, write_steps
from feature_repo.store import NoFeatures, apply, training_features
from tests.feature_repo.conftest import LAST

STORED = [name for view in VIEWS for name in view.names]


@pytest.fixture(scope="module")
def rows(log: EventLog) -> pl.DataFrame:
    return labels(events_between(log, 0, LAST, LAST), 0, LAST, LAST)


def asked(rows: list[tuple[int, int, int, int, int]]) -> pl.DataFrame:
    columns = ["user_id", "video_id", "creator_id", "topic", "moment"]
    table = pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.Int64), orient="row").with_row_index(
        "impression_id"
    )
    return table.with_columns(pl.col("moment").cast(INSTANT).alias("event_time"))


def test_every_label_row_comes_back_once_in_its_order(places: Places, rows: pl.DataFrame) -> None:
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=1)

    found = training_features(places, shuffled)

    assert found["impression_id"].to_list() == shuffled["impression_id"].to_list()
    assert found.columns == [*shuffled.columns, *STORED]


def test_people_who_share_user_and_moment_keep_all_their_rows(places: Places) -> None:
    slate = asked([(1, video, 0, 0, LAST) for video in range(4)])

    assert training_features(places, slate)["video_id"].to_list() == [0, 1, 2, 3]


def test_impressions_that_repeat_are_refused(places: Places, rows: pl.DataFrame) -> None:
    with pytest.raises(ValueError, match="impression_id repeats"):
        training_features(places, pl.concat([rows.head(1), rows.head(1)]))


def test_no_labels_give_no_rows_with_every_column(places: Places, rows: pl.DataFrame) -> None:
    assert training_features(places, rows.head(0)).columns == [*rows.columns, *STORED]


def test_an_unknown_entity_has_the_defaults(places: Places) -> None:
    found = training_features(places, asked([(999, 999, 999, 63, LAST)])).row(0, named=True)

    for feature in (f for view in VIEWS for f in view.features):
        assert found[feature.name] == pytest.approx(feature.default, nan_ok=True), feature.name


def test_a_row_sees_the_step_that_holds_at_its_moment(places: Places) -> None:
    moments = [LAST - 2 * DAY_US + offset for offset in (-1, 0, 1, HOUR_US - 1)]
    found = training_features(places, asked([(1, 3, 0, 0, moment) for moment in moments]))

    stats = pl.read_parquet(source_of(places.features, VIEWS[3])).filter(pl.col("video_id") == 3)
    for moment, value in zip(moments, found["video_impressions_7d"], strict=True):
        before = stats.filter(pl.col("event_timestamp").to_physical() <= moment).sort("event_timestamp")
        assert value == before["video_impressions_7d"][-1]


def test_nothing_known_at_or_after_the_moment_is_seen(tmp_path: Path, places: Places, log: EventLog) -> None:
    """Cutting the log at a moment changes no row before it: the leak test."""
    from feature_repo.events import KINDS

    cut = LAST - 2 * DAY_US + HOUR_US
    short = Places(tmp_path)
    for kind in KINDS:
        EventLog(short.log).append(kind, log.read(kind, known_before_us=cut), "cut")
    write_steps(EventLog(short.log), short.features, cut)
    wanted = asked([(user, video, video % 4, video % 4, cut) for user in range(8) for video in range(12)])

    assert training_features(short, wanted).equals(training_features(places, wanted))


def test_without_features_the_next_command_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoFeatures, match="build-features"):
        apply(Places(tmp_path))


def test_applying_twice_changes_nothing(places: Places) -> None:
    first, second = (sorted(view.name for view in apply(places).list_feature_views()) for _ in range(2))

    assert first == second == sorted(view.name for view in VIEWS)


def test_an_unchanged_registry_is_not_rewritten_under_its_readers(places: Places) -> None:
    apply(places)
    registry = places.feast / "registry.db"
    before = registry.stat().st_mtime_ns

    apply(places)

    assert registry.stat().st_mtime_ns == before


def test_a_lost_registry_is_written_again(places: Places) -> None:
    apply(places)
    (places.feast / "registry.db").unlink()

    assert len(apply(places).list_feature_views()) == len(VIEWS)


def test_feast_may_see_one_file_only() -> None:
    folder = Path(__file__).parents[2] / "feature_repo"
    hidden = {line for line in (folder / ".feastignore").read_text().splitlines() if line.endswith(".py")}

    assert {path.name for path in folder.glob("*.py")} - hidden == {"feast_objects.py"}


APPLY = """
import os, sys
from feast.cli.cli import cli
cli(["--chdir", "feature_repo", "apply"], standalone_mode=False)  # from the root; leaves us inside
assert os.path.exists("feast_objects.py")
sys.modules.pop("feast_objects", None)
cli(["apply"], standalone_mode=False)
"""


@pytest.mark.slow
def test_feast_apply_works_twice_from_the_root_and_from_inside(places: Places) -> None:
    root = Path(__file__).parents[2]
    environment = {
        **os.environ,
        "FOURPLANES_STATE": str(places.root),
        "PYTHONPATH": str(root),
        "DO_NOT_TRACK": "true",
    }
    places.feast.mkdir(exist_ok=True)

    done = subprocess.run(
        [sys.executable, "-c", APPLY],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "user_topic_stats" in done.stdout
