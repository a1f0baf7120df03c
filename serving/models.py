"""The objects that predict, made out of the plain parts of a release and the videos there are now.

A video uploaded after the release was made is not in its index; the video tower gives it a vector from its
content, so it can be found and ranked before anybody has watched it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feature_repo.videos import VideoCatalog
from serving.heads import Heads
from serving.index import VideoIndex, indexed
from serving.releases import Release
from serving.towers import Towers
from serving.values import Values


@dataclass(frozen=True)
class Models:
    """Everything of a release that computes."""

    towers: Towers
    watched_vectors: npt.NDArray[np.float32]
    """What the user tower looks watched videos up in, by catalogue row."""
    index: VideoIndex
    """Every video of the catalogue, row by row."""
    heads: Heads
    values: Values
    new_videos: int
    """Videos of the catalogue that the release had never seen."""


def heads_of(release: Release) -> Heads:
    """The part of the models that needs no catalogue."""
    return Heads.from_texts(release.heads, release.calibrators)


def models_of(release: Release, catalog: VideoCatalog, heads: Heads | None = None) -> Models:
    """The models of a release over the videos of a catalogue; `heads` are the release's, if made already."""
    towers = Towers.from_arrays(release.towers)
    inputs = towers.inputs(catalog)
    vectors = towers.videos(inputs)
    rows = catalog.rows_of(release.video_ids)
    known = rows >= 0
    vectors[rows[known]] = release.video_vectors[known]
    return Models(
        towers=towers,
        watched_vectors=towers.seen(inputs),
        index=indexed(catalog.video_ids, vectors),
        heads=heads or heads_of(release),
        values=Values.from_json(release.values),
        new_videos=len(catalog) - int(known.sum()),
    )
