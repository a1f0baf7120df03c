"""Are features that were counted ahead those of the log, whatever happens to the log meanwhile?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from feature_repo.catalogue import STATS
from feature_repo.counting_ahead import CountedAhead, count_ahead
from feature_repo.log import EventLog
from feature_repo.online_writer import OnlineWriter
from feature_repo.places import Places
from feature_repo.read_ahead import WHOLE
from feature_repo.schemas import BadLog
from feature_repo.streams import FeatureStream
from tests.feature_repo.builders import Story, a_busy_story, a_story, at

LAST = at(days=10)


def busy() -> Story:
    return a_busy_story(np.random.default_rng(3), at(days=4))


def counted_to_the_end(places: Places) -> CountedAhead:
    ahead = count_ahead(places)
    ahead._features.exception()
    return ahead


def all_values(stream: FeatureStream) -> list[object]:
    """Of every entity of every view, what it counts."""
    facts = stream._facts.part
    return [stream.value(view, np.unique(facts.keys_for(view)), LAST).values.tolist() for view in STATS]


def test_they_are_those_of_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places(tmp_path)
    log = busy().log(places.log)
    expected = OnlineWriter.from_log(places, log, LAST)
    ahead = counted_to_the_end(places)
    monkeypatch.delattr(OnlineWriter, "from_log")  # nothing is counted a second time

    assert all_values(ahead.features(LAST).stream) == all_values(expected.stream)


def test_what_is_appended_meanwhile_is_counted(tmp_path: Path) -> None:
    places = Places(tmp_path)
    a_story().log(places.log)
    ahead = counted_to_the_end(places)
    more = busy().frame("watched").with_columns(event_id="more-" + pl.col("event_id"))
    EventLog(places.log).append("watched", more, "more")

    expected = OnlineWriter.from_log(places, EventLog(places.log), LAST)

    assert all_values(ahead.features(LAST).stream) == all_values(expected.stream)


def test_a_moment_at_which_not_all_is_known_yet_is_counted_for_itself(tmp_path: Path) -> None:
    places, early = Places(tmp_path), at(days=1)
    log = a_story().log(places.log)

    found = counted_to_the_end(places).features(early).stream

    assert len(found._facts.part) == len(OnlineWriter.from_log(places, log, early).stream._facts.part)
    assert len(found._facts.part) < len(OnlineWriter.from_log(places, log, LAST).stream._facts.part)


def test_a_file_that_cannot_be_read_is_refused_by_whoever_asks(tmp_path: Path) -> None:
    places = Places(tmp_path)
    a_story().log(places.log).parts("watched")[0].write_bytes(b"half a file")

    with pytest.raises(BadLog, match="is not a whole parquet file"):
        counted_to_the_end(places).features(LAST)


def test_what_is_kept_of_the_log_tells_of_videos_alone(tmp_path: Path) -> None:
    places = Places(tmp_path)
    log = a_story().log(places.log)

    kept = counted_to_the_end(places).log.of_videos()

    assert set(kept.ahead) == set(WHOLE)
    assert all(kept.read(kind).equals(EventLog(log.root).read(kind)) for kind in (*WHOLE, "watched"))
