"""The monitor as a whole: it stops only when there is nothing to watch, and reads what others left."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from feature_repo.clock import DAY_US
from feature_repo.journal import Journal
from feature_repo.matrix import COLUMNS
from feature_repo.places import Places, Run
from monitoring import recompute
from monitoring.__main__ import main
from monitoring.checks import OutOfOrder, Watched, log_findings, promotion, served_since, watched
from monitoring.references import INSIDE_RELEASE, reference
from tests.feature_repo.builders import Story, at, watched_event


def a_run(root: Path) -> Run:
    return Run("simulated", "tiny", 7, Places(root))


def a_week(swipes_per_day: int = 48) -> Story:
    """One person who swipes evenly, day and night, for a week."""
    story = Story()
    story.joins(1)
    for day in range(7):
        story.uploads(day + 1, at_us=at(days=day))
        story.follows(1, day, at(days=day, hours=23))
        for swipe in range(swipes_per_day):
            moment = at(days=day, hours=24 * swipe / swipes_per_day)
            impression = story.swipes(1, 1, moment)
            story.reacts(impression, 1, 1, "like", moment)
    return story


def watching(root: Path, story: Story | None = None) -> Watched:
    run = a_run(root)
    (story or a_week()).log(run.places.log)
    return Watched(run, 1, root / "release", since_days=6.0, wall_s=0.0)


def test_an_empty_log_says_make_train(tmp_path: Path) -> None:
    with pytest.raises(OutOfOrder, match="run `make train` first"):
        watched(a_run(tmp_path), 14, 0.0)


def test_a_log_without_a_champion_says_make_train(tmp_path: Path) -> None:
    a_week().log(Places(tmp_path).log)

    with pytest.raises(OutOfOrder, match="has no champion"):
        watched(a_run(tmp_path), 14, 0.0)


def test_the_command_says_which_command_to_run_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VAR", str(tmp_path))

    assert main([]) == 1
    assert "make train" in capsys.readouterr().err


@pytest.mark.parametrize("days", ["0", "-3", "nan"])
def test_a_stretch_of_less_than_a_day_is_refused(days: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--since", days])

    assert "must be at least 1" in capsys.readouterr().err


def test_a_sound_log_fails_no_check(tmp_path: Path) -> None:
    assert [str(finding) for finding in log_findings(watching(tmp_path)) if finding.failed] == []


def test_a_torn_file_is_a_finding_and_not_a_crash(tmp_path: Path) -> None:
    found = watching(tmp_path)
    found.log.parts("watched")[-1].write_bytes(b"PAR1 torn")

    (finding,) = log_findings(found)

    assert (finding.check, finding.subject, finding.failed) == ("log", "files", True)


def test_events_waiting_in_the_journal_are_counted_and_make_the_log_newer(tmp_path: Path) -> None:
    found = watching(tmp_path)
    journal = Journal(found.places.journal)
    journal.append([watched_event(event_time_us=at(days=8), known_time_us=at(days=8))])
    journal.close()

    assert found.end_us == at(days=8) + 1
    assert "1 waiting in the journal" in log_findings(found)[0].value


def test_nothing_older_than_asked_for_is_looked_at(tmp_path: Path) -> None:
    found = watching(tmp_path)

    assert found.clocks["watched"].event_us.min() >= found.log.end_us() - 6 * DAY_US


def test_served_rows_in_both_journal_and_log_are_looked_at_once(tmp_path: Path) -> None:
    found = watching(tmp_path)
    before = len(served_since(found))
    journal = Journal(found.places.journal)
    journal.append([{**served, "event_time_us": at(days=6)} for served in a_week().events["served"][-1:]])
    journal.close()

    assert len(served_since(watching(tmp_path))) == before


def test_after_a_rollback_there_is_no_promotion_to_blame() -> None:
    forward = {"at": "1970-01-01T00:00:00Z", "alias": "champion", "from": 1, "to": 2, "reason": "promoted"}
    back = {**forward, "from": 2, "to": 1, "reason": "rollback"}

    assert promotion([forward], 7200.0) == (2.0, True)
    assert promotion([{**forward, "from": None}], 7200.0) == (2.0, False)
    assert promotion([forward, back], 7200.0) == (None, False)
    assert promotion([], 7200.0) == (None, False)


def a_snapshot(rows: int = 20) -> pl.DataFrame:
    columns = {name: np.arange(rows, dtype=np.float32) for name in COLUMNS}
    moments = pl.Series([at(hours=n) for n in range(rows)]).cast(pl.Datetime("us", "UTC"))
    return pl.DataFrame(columns).with_columns(
        moments.alias("event_time"), split=pl.Series(["train"] * (rows - 5) + ["test"] * 5)
    )


def test_the_reference_is_the_train_rows_of_the_snapshot_whose_hash_the_release_names(tmp_path: Path) -> None:
    folder = tmp_path / "work" / "build-training-set" / "abc"
    folder.mkdir(parents=True)
    a_snapshot().write_parquet(folder / "snapshot.parquet")
    (folder / "figures.json").write_text(json.dumps({"snapshot_hash": "right"}))

    found = reference(Places(tmp_path), tmp_path, {"snapshot_hash": "right"}, sample=10)

    assert found is not None
    assert (len(found.rows), found.size, found.until_us) == (10, 20, at(hours=19))
    assert found.rows["surface"].max() == pytest.approx(14, abs=14)
    assert reference(Places(tmp_path), tmp_path, {"snapshot_hash": "other"}, sample=10) is None


def test_a_reference_inside_the_release_comes_first(tmp_path: Path) -> None:
    a_snapshot(8).drop("split").write_parquet(tmp_path / INSIDE_RELEASE)

    found = reference(Places(tmp_path), tmp_path, {}, sample=100)

    assert found is not None
    assert len(found.rows) == 8


@pytest.mark.slow
def test_two_paths_to_the_matrix_agree_cell_by_cell(tmp_path: Path) -> None:
    from feature_repo.labels import events_between, labels
    from feature_repo.matrix import assemble
    from feature_repo.steps import write_steps
    from feature_repo.videos import VideoCatalog
    from pipelines.build_training_set import matrix_columns
    from serving.towers import Towers, initial_params
    from tests.feature_repo.builders import a_busy_story

    places, end_us = Places(tmp_path), at(days=5)
    log = a_busy_story(np.random.default_rng(3), until_us=end_us).log(places.log)
    write_steps(log, places.features, end_us)
    catalog = VideoCatalog.from_log(log)
    ids = (catalog.video_ids, np.unique(catalog.creator_ids))
    towers = Towers(initial_params(len(ids[0]), len(ids[1]), np.random.default_rng(0)), *ids)
    table = labels(events_between(log, at(days=3), end_us, end_us), at(days=3), end_us, end_us)

    asked = table.with_columns(asked_time="event_time")
    theirs = assemble(matrix_columns(places, log, catalog, towers, asked), len(table))
    ours = recompute.matrix_of(recompute.Past.of(log, {}), towers, table.select(recompute.ROWS))

    different = [
        name for n, name in enumerate(COLUMNS) if not np.array_equal(ours[:, n], theirs[:, n], equal_nan=True)
    ]
    assert len(table) > 100
    assert different == []
