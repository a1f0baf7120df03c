"""long_view on random exposure: what a uniformly drawn video would have got in place of a shown one.

The explored slots are too few (.37 %) for its band, so the truth answers for a sample of the impressions.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from simulator.card_rows import Observed
from simulator.worlds import World

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SAMPLE = 200_000


def random_long_view(world: World, seen: Observed, rng: np.random.Generator) -> Floats:
    """P(long view) of a uniformly drawn unseen video for a sample of the impressions; NaN for the others."""
    rows = seen.impressions
    sample = np.sort(rng.permutation(len(rows))[:SAMPLE])
    asked = rows[sample].select("user_id", "served_us")
    drawn = unseen_draws(seen, asked, rng)
    chances = np.full(len(rows), np.nan)
    user_ids, now_us = asked["user_id"].to_numpy(), asked["served_us"].to_numpy()
    chances[sample] = world.label_probabilities(user_ids, drawn, now_us)["long_view"]
    return chances


def unseen_draws(seen: Observed, asked: pl.DataFrame, rng: np.random.Generator) -> Ints:
    """Video ids, uniform over what each asker (user_id, served_us) could have been shown, by rejection."""
    ids, uploaded_us = seen.videos["video_id"].to_numpy(), seen.videos["uploaded_us"].to_numpy()
    public = np.searchsorted(uploaded_us, asked["served_us"].to_numpy(), side="left")
    first_met = seen.impressions.group_by("user_id", "video_id").agg(seen_us=pl.col("served_us").min())
    removed = seen.videos.select("video_id", "removed_us")
    drawn = np.full(len(asked), -1)
    open_rows = np.flatnonzero(public > 0)
    while len(open_rows):
        drawn[open_rows] = ids[(rng.random(len(open_rows)) * public[open_rows]).astype(np.int64)]
        tried = asked[open_rows].with_columns(video_id=pl.Series(drawn[open_rows]))
        met = tried.join(first_met, on=["user_id", "video_id"], how="left", maintain_order="left")
        known = met.join(removed, on="video_id", how="left", maintain_order="left")
        gone = (pl.col("seen_us") < pl.col("served_us")).fill_null(False)
        down = (pl.col("removed_us") <= pl.col("served_us")).fill_null(False)
        open_rows = open_rows[known.select(gone | down).to_series().to_numpy()]
    return drawn
