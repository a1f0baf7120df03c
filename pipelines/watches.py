"""Who watched what after which history: the examples the towers learn from, and the people they are asked
about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from feature_repo.histories import Histories, histories_before
from feature_repo.labels import events_between, labels
from feature_repo.log import EventLog
from feature_repo.videos import VideoCatalog
from pipelines.splits import Window
from serving.towers import PROFILE

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class People:
    """What the user tower reads, one row per (person, moment); history rows point into a catalogue, -1 is
    none.
    """

    user_ids: Ints
    profiles: npt.NDArray[np.int16]
    history_rows: Ints
    weights: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.user_ids)

    def rows(self, which: Ints) -> People:
        """Some of the rows, in the order asked."""
        return People(
            self.user_ids[which], self.profiles[which], self.history_rows[which], self.weights[which]
        )


def labels_of(log: EventLog, window: Window) -> pl.DataFrame:
    """Labels of the impressions served in a window, as they were known at its end."""
    return labels_of_each(log, (window,))[0]


def labels_of_each(log: EventLog, windows: Sequence[Window]) -> list[pl.DataFrame]:
    """Labels of each window as they were known at that window's end; the log is read once for all."""
    start_us, end_us = windows[0].start_us, windows[-1].end_us
    events = events_between(log, start_us, end_us, end_us)
    return [labels(events, window.start_us, window.end_us, window.end_us) for window in windows]


def liked(table: pl.DataFrame) -> pl.DataFrame:
    """Rows that say yes to a video: watched long, or liked."""
    return table.filter((pl.col("long_watch") == 1) | (pl.col("like") == 1))


def people(
    joined: pl.DataFrame, watched: pl.DataFrame, catalog: VideoCatalog, user_ids: Ints, times_us: Ints
) -> People:
    """Each person with the profile they joined with and the history they had strictly before the moment."""
    histories = histories_before(watched, user_ids, times_us)
    return People(user_ids, profiles_of(joined, user_ids, times_us), *history_of(histories, catalog))


def history_of(histories: Histories, catalog: VideoCatalog) -> tuple[Ints, npt.NDArray[np.float32]]:
    """Histories as catalogue rows with their weights; a video the catalogue does not know weighs nothing."""
    rows = catalog.rows_of(histories.video_ids.ravel()).reshape(histories.video_ids.shape)
    return rows, np.where(rows < 0, np.float32(0), histories.weights)


def profiles_of(joined: pl.DataFrame, user_ids: Ints, times_us: Ints) -> npt.NDArray[np.int16]:
    """[n, len(PROFILE)] codes of each user's first join, -1 where the code, or at that moment the user, is
    unknown.
    """
    first = joined.sort("event_time").unique("user_id", keep="first")
    rows = pl.DataFrame({"user_id": user_ids, "asked_us": times_us})
    asked = rows.join(first, on="user_id", how="left", maintain_order="left")
    known = pl.col("known_time").to_physical() < pl.col("asked_us")
    codes = (pl.when(known).then(pl.col(name)).fill_null(-1).cast(pl.Int16).alias(name) for name in PROFILE)
    return asked.select(codes).to_numpy()
