"""Is a feature counted event by event the step that the whole log gives, late events and ties included?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.catalogue import STATS, USER_STATS, View
from feature_repo.clock import DAY_US, HOUR_US, MINUTE_US
from feature_repo.facts import KEY_SPAN, Ints
from feature_repo.online_writer import tables_of
from feature_repo.prefix_sums import PrefixSums
from feature_repo.steps import source_of, write_steps
from feature_repo.streams import FeatureStream
from tests.feature_repo.builders import Story, a_busy_story, at

END = at(days=4)
CUT = at(days=2, hours=3)


def told_later(story: Story) -> list[dict[str, object]]:
    """Events the log did not know at the cut, in the order in which they became known."""
    events = [event for kind in story.events.values() for event in kind if event["known_time_us"] >= CUT]
    return sorted(
        events, key=lambda event: (event["known_time_us"], event["event_time_us"], event["event_id"])
    )


def a_stream(story: Story, folder: Path, batch: int) -> FeatureStream:
    """The log until the cut, then everything else in batches."""
    stream = FeatureStream.from_log(story.log(folder), CUT, told_us=CUT)
    later = told_later(story)
    for first in range(0, len(later), batch):
        stream.update(tables_of(later[first : first + batch]))
    return stream


def steps_at(features: Path, view: View, now: int) -> pl.DataFrame:
    """The step of each key at a moment, by the offline store: `key` as the stream names it."""
    rows = pl.read_parquet(source_of(features, view))
    key = pl.col(view.keys[0]) if len(view.keys) == 1 else pl.col(view.keys[0]) * KEY_SPAN + pl.col("topic")
    held = rows.filter(pl.col("event_timestamp").to_physical() <= now).with_columns(key.alias("key"))
    return held.unique("key", keep="last", maintain_order=True)


@pytest.fixture(scope="module")
def story() -> Story:
    return a_busy_story(np.random.default_rng(8), END)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory, story: Story) -> Path:
    root = tmp_path_factory.mktemp("whole")
    write_steps(story.log(root / "log"), root / "features", END + 2 * DAY_US)
    return root / "features"


@pytest.mark.parametrize("batch", [1, 7, 10_000])
@pytest.mark.parametrize("view", STATS, ids=lambda view: view.name)
def test_a_value_is_the_step_of_the_whole_log_bit_for_bit(
    tmp_path: Path, story: Story, features: Path, view: View, batch: int
) -> None:
    stream = a_stream(story, tmp_path, batch)
    later = [END + 2 * DAY_US, END + 2 * DAY_US + 17 * MINUTE_US, END + 9 * DAY_US + 1]
    for now in later:
        expected = steps_at(features, view, now)
        found = stream.value(view, expected["key"].to_numpy(), now)
        assert found.values.tolist() == [list(row) for row in expected.select(view.names).iter_rows()]
        assert found.since_us.tolist() == expected["event_timestamp"].to_physical().to_list()


def test_between_its_moments_a_step_does_not_change(tmp_path: Path, story: Story) -> None:
    stream, now = a_stream(story, tmp_path, 50), END + 2 * DAY_US
    users = np.arange(10)
    step = stream.value(USER_STATS, users, now)

    for user, until in zip(users, step.until_us, strict=True):
        last, after = (stream.value(USER_STATS, [int(user)], int(until) - 1 + n) for n in (0, 1))
        assert last.since_us[0] == step.since_us[user]
        assert after.since_us[0] == until


@given(st.lists(st.integers(1, 6 * HOUR_US), min_size=1, max_size=6))
@settings(max_examples=15)
def test_what_is_not_told_as_changed_has_not_changed(
    tmp_path_factory: pytest.TempPathFactory, story: Story, waits: list[int]
) -> None:
    stream = FeatureStream.from_log(story.log(tmp_path_factory.mktemp("log")), CUT, told_us=CUT)
    waiting, now = told_later(story), CUT
    everybody = {view.name: np.arange(14) if len(view.keys) == 1 else _pairs() for view in STATS}
    held = {view.name: stream.value(view, everybody[view.name], now) for view in STATS}
    for wait in waits:
        now += wait
        heard = [event for event in waiting if int(str(event["known_time_us"])) < now]
        stream.update(tables_of(heard))
        waiting = waiting[len(heard) :]
        changed = stream.changed(now)
        for view in STATS:
            keys = everybody[view.name]
            found = stream.value(view, keys, now)
            same = (found.values == held[view.name].values).all(axis=1)
            assert set(keys[~same].tolist()) <= set(changed[view.name].tolist())
            held[view.name] = found


def _pairs() -> Ints:
    users, topics = np.meshgrid(np.arange(10), np.arange(4))
    return np.asarray((users * KEY_SPAN + topics).ravel(), np.int64)


def test_laying_out_changes_nothing_that_is_told(tmp_path: Path, story: Story) -> None:
    stream = FeatureStream.from_log(story.log(tmp_path), CUT, told_us=CUT)
    later = told_later(story)
    for first in range(0, len(later), 40):
        plain, now = stream.fork(), int(str(later[first]["known_time_us"])) + HOUR_US
        stream.lay_out(much=1)
        for each in (plain, stream):
            each.update(tables_of(later[first : first + 40]))

        assert everything_told(stream, now) == everything_told(plain, now)


def test_what_is_heard_while_facts_are_laid_out_is_counted(
    tmp_path: Path, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = FeatureStream.from_log(story.log(tmp_path), CUT, told_us=CUT)
    later, now = told_later(story), END + 2 * DAY_US
    waiting = [tables_of(later[part::5]) for part in range(5)]
    plain, of = stream.fork(), PrefixSums.of
    told, asked = [], []

    def heard_meanwhile(*given: Any) -> PrefixSums:
        if waiting:
            told.append(waiting.pop())
            stream.update(told[-1])
        asked.append(stream.value(USER_STATS, np.arange(10), now).values.tolist())
        return of(*given)

    stream.update(waiting[-1])
    plain.update(waiting.pop())
    monkeypatch.setattr(PrefixSums, "of", heard_meanwhile)
    stream.lay_out(much=1)

    for events, found in zip(told, asked, strict=True):
        plain.update(events)
        assert found == plain.value(USER_STATS, np.arange(10), now).values.tolist()
    assert everything_told(stream, now) == everything_told(plain, now)


def test_what_a_fork_learns_of_a_video_the_other_has_yet_to_learn(tmp_path: Path) -> None:
    story, later = Story(), Story()
    story.swipes(1, 20, at(minutes=30))
    stream = FeatureStream.from_log(story.log(tmp_path), at(hours=1), told_us=at(hours=1))
    later.uploads(20, creator=5, at_us=at(hours=2))
    fork, uploads = stream.fork(), tables_of(later.events["uploaded"])

    creators = next(view for view in STATS if view.name == "creator_stats")
    for each in (fork, stream):
        each.update(uploads)

        shown = creators.names.index("creator_impressions_24h")
        assert each.value(creators, [5], at(hours=3)).values[0, shown] == 1


@pytest.mark.parametrize("view", STATS, ids=lambda view: view.name)
def test_kinds_that_came_together_leave_the_newest_as_the_last(
    tmp_path: Path, story: Story, view: View
) -> None:
    """An older step of the store is known to lack something however the events were handed over."""
    keys = np.arange(14) if len(view.keys) == 1 else _pairs()
    each, together = (a_stream(story, tmp_path / str(batch), batch) for batch in (1, 10_000))

    for since_us in range(CUT, END + HOUR_US, HOUR_US):
        asked = (view, keys, np.full(len(keys), since_us))
        assert together.knows_more(*asked).tolist() == each.knows_more(*asked).tolist()


def everything_told(stream: FeatureStream, now_us: int) -> list[object]:
    """Of a fork: every value, since and until when, and what changed."""
    asked = {view: np.arange(14) if len(view.keys) == 1 else _pairs() for view in STATS}
    steps = [part.tolist() for view, keys in asked.items() for part in stream.value(view, keys, now_us)]
    return [steps, {name: keys.tolist() for name, keys in stream.fork().changed(now_us).items()}]


def test_a_video_that_came_by_another_door_counts_for_its_creator(tmp_path: Path) -> None:
    story = Story()
    story.uploads(1, creator=5)
    stream = FeatureStream.from_log(story.log(tmp_path), at(hours=1), told_us=at(hours=1))
    later = Story()
    later.uploads(2, creator=5, at_us=at(hours=2))

    stream.catch_up(pl.concat([story.frame("uploaded"), later.frame("uploaded")]))

    view = next(view for view in STATS if view.name == "creator_stats")
    found = stream.value(view, [5], at(hours=3)).values[0]
    assert found[view.names.index("creator_uploads_7d")] == 2


def test_a_follow_counts_for_the_video_on_screen_though_it_was_served_after_the_log(tmp_path: Path) -> None:
    story = Story()
    story.uploads(10, creator=5, topic=3)
    stream = FeatureStream.from_log(story.log(tmp_path), at(hours=1), told_us=at(hours=1))
    later = Story()
    shown = later.swipes(1, 10, at(hours=2))
    later.follows(1, 5, at(hours=3), impression=shown)
    later.follows(1, 5, at(hours=4), impression=shown)

    stream.update(tables_of([event for kind in later.events.values() for event in kind]))

    creators, videos = (next(v for v in STATS if v.name == name) for name in ("creator_stats", "video_stats"))
    followers = stream.value(creators, [5], at(hours=5)).values[0, creators.names.index("creator_followers")]
    shares = stream.value(videos, [10], at(hours=5)).values[0, videos.names.index("video_share_rate_7d")]
    assert followers == 1
    assert shares == np.float32((2 + 20 * 0.002) / (1 + 20))
