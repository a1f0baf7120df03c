"""Two towers that meet in a dot product: who is watching, and what could be shown.

The user tower reads the profile and the watch history, the video tower the id *and* the content, so that a
video uploaded a minute ago has a vector too. Forward functions are written once for numpy and jax.numpy
(argument `xp`); training lives in pipelines/train_towers.py. Row 0 of an id table is "never trained on".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from feature_repo.compiling import compiled_for
from feature_repo.events import CONTENT_SIZE, TOPICS
from feature_repo.videos import VideoCatalog

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Params = Mapping[str, Any]

WIDTH = 32
"""Length of a user or video vector, and of a watched video inside the user tower."""
HIDDEN = 64
CREATOR_WIDTH = 16
TOPIC_WIDTH = 16
PROFILE = ("country", "device", "age_band", "activity_band", "fans_band", "follows_band")
PROFILE_CODES = 64
"""Codes per profile field: -1 (unknown) is row 0, code c is row c + 1, larger codes share the last row."""
PROFILE_WIDTH = 4
DENSE = CONTENT_SIZE + 3
"""Content, then log duration, headline and production score; 0 where unknown."""
TYPICAL_LOG_SECONDS = 4.3
CHUNK = 1_024
"""People at once: their gathered histories (2.6 MB) stay in a core's cache."""


class VideoInputs(NamedTuple):
    """What the towers read of each video; the last row is "no such video", so that row -1 finds it."""

    id_rows: Any
    creator_rows: Any
    topic_rows: Any
    dense: Any


def seen_vectors(params: Params, videos: VideoInputs) -> Any:
    """What having watched each video says about its watcher: [videos, WIDTH]."""
    return (
        params["video_id"][videos.id_rows]
        + params["seen_topic"][videos.topic_rows]
        + params["seen_creator"][videos.creator_rows]
        + videos.dense @ params["seen_dense"]
    )


def user_vectors(
    params: Params, profiles: Any, history_rows: Any, weights: Any, seen: Any, xp: ModuleType = np
) -> Any:
    """[n, WIDTH] of profiles [n, len(PROFILE)] and histories [n, HISTORY] given as rows of `seen`, weight 0 =
    none.
    """
    total = weights.sum(axis=1, keepdims=True)
    taste = (weights[:, None, :] @ seen[history_rows])[:, 0] / (1.0 + total)
    fields = xp.arange(len(PROFILE)) * PROFILE_CODES
    codes = xp.clip(profiles.astype("int32") + 1, 0, PROFILE_CODES - 1) + fields
    person = params["profile"][codes].reshape(profiles.shape[0], len(PROFILE) * PROFILE_WIDTH)
    hidden = (
        xp.concatenate([person, taste, xp.log1p(total)], axis=1) @ params["user_in"] + params["user_bias"]
    )
    return taste + xp.maximum(hidden, 0.0) @ params["user_out"] + params["user_mean"]


def video_vectors(params: Params, videos: VideoInputs, xp: ModuleType = np) -> Any:
    """[videos, WIDTH]; an id never trained on contributes row 0, its content speaks for it."""
    ids = params["video_id"][videos.id_rows]
    read = [ids, params["creator"][videos.creator_rows], params["topic"][videos.topic_rows], videos.dense]
    hidden = xp.concatenate(read, axis=1) @ params["video_in"] + params["video_bias"]
    return ids + xp.maximum(hidden, 0.0) @ params["video_out"]


def initial_params(videos: int, creators: int, rng: np.random.Generator) -> dict[str, Floats]:
    """Small random numbers in the shapes of the towers; row 0 of the id tables starts, and means, nothing
    known.
    """
    person = len(PROFILE) * PROFILE_WIDTH + WIDTH + 1
    video = WIDTH + CREATOR_WIDTH + TOPIC_WIDTH + DENSE
    shapes = {
        "video_id": (videos + 1, WIDTH),
        "seen_topic": (TOPICS + 1, WIDTH),
        "seen_creator": (creators + 1, WIDTH),
        "seen_dense": (DENSE, WIDTH),
        "creator": (creators + 1, CREATOR_WIDTH),
        "topic": (TOPICS + 1, TOPIC_WIDTH),
        "profile": (len(PROFILE) * PROFILE_CODES, PROFILE_WIDTH),
        "user_in": (person, HIDDEN),
        "user_out": (HIDDEN, WIDTH),
        "video_in": (video, HIDDEN),
        "video_out": (HIDDEN, WIDTH),
    }
    biases = {"user_bias": HIDDEN, "user_mean": WIDTH, "video_bias": HIDDEN}
    params = {name: _drawn(name, shape, rng) for name, shape in shapes.items()}
    return params | {name: np.zeros(size, np.float32) for name, size in biases.items()}


def _drawn(name: str, shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Tables start near zero, layers with variance 1 / inputs (LeCun): every sum starts of order one."""
    layer = name.endswith(("_in", "_out", "_dense"))
    scale = shape[0] ** -0.5 if layer else 0.05
    return rng.normal(0.0, scale, shape).astype(np.float32)


@dataclass(frozen=True)
class Towers:
    """Trained parameters, and the ids (sorted) that own rows 1, 2, … of the id tables."""

    params: dict[str, Floats]
    video_ids: Ints
    creator_ids: Ints

    def inputs(self, catalog: VideoCatalog) -> VideoInputs:
        """The catalogue as the towers read it, one row per video of it and a last one for "no such video"."""
        durations = np.log1p(np.nan_to_num(catalog.duration_s, nan=0.0)) - TYPICAL_LOG_SECONDS
        durations = np.where(np.nan_to_num(catalog.duration_s) > 0, durations, 0.0)
        marks: list[Any] = [durations, np.nan_to_num(catalog.headline), np.nan_to_num(catalog.production)]
        dense = np.column_stack([np.nan_to_num(catalog.content), *marks]).astype(np.float32)
        return VideoInputs(
            id_rows=np.append(rows_known(self.video_ids, catalog.video_ids), 0),
            creator_rows=np.append(rows_known(self.creator_ids, catalog.creator_ids), 0),
            topic_rows=np.append(np.clip(catalog.topics.astype(np.int64) + 1, 0, TOPICS), 0),
            dense=np.vstack([dense, np.zeros((1, DENSE), np.float32)]),
        )

    def videos(self, inputs: VideoInputs) -> Floats:
        """Vectors of the catalogue behind `inputs`, without the row that stands for no video."""
        vectors: Floats = video_vectors(self.params, inputs)[:-1]
        return vectors.astype(np.float32)

    def seen(self, inputs: VideoInputs) -> Floats:
        """The table `users` looks watched videos up in; compute it once per catalogue."""
        vectors: Floats = seen_vectors(self.params, inputs)
        return vectors.astype(np.float32)

    def users(self, profiles: Any, history_rows: Any, weights: Any, seen: Floats) -> Floats:
        """Vectors of people in chunks, so that a million rows need no gigabytes."""
        starts = range(0, len(profiles), CHUNK)
        parts = [
            user_vectors(
                self.params,
                profiles[s : s + CHUNK],
                history_rows[s : s + CHUNK],
                weights[s : s + CHUNK],
                seen,
            )
            for s in starts
        ]
        return np.vstack([np.zeros((0, WIDTH), np.float32), *parts]).astype(np.float32)

    def user(self, profile: Any, video_ids: Ints, history: Ints, weights: Floats, seen: Floats) -> Floats:
        """[WIDTH] of one person, bit for bit what `users` answers of them alone, in a third of its steps.

        The history is of videos, not of rows: `seen` has a row for each of `video_ids`, which ascend.
        """
        kept, watched = np.empty(len(history), np.float32), np.empty((len(history), WIDTH), np.float32)
        read = np.empty(len(self.params["user_in"]), np.float32)
        _gather(video_ids, history, weights, seen, kept, watched)
        _look_up(profile, self.params["profile"], read)
        total = kept.sum(keepdims=True)
        taste = kept @ watched / (1.0 + total)
        read[-1 - WIDTH : -1], read[-1:] = taste, np.log1p(total)
        hidden = read @ self.params["user_in"] + self.params["user_bias"]
        vector: Floats = taste + np.maximum(hidden, 0.0) @ self.params["user_out"] + self.params["user_mean"]
        return vector

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Everything as plain arrays, ready for an npz file."""
        return {**self.params, "video_ids": self.video_ids, "creator_ids": self.creator_ids}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Towers:
        ids = {"video_ids", "creator_ids"}
        params = {name: np.asarray(arrays[name], np.float32) for name in arrays if name not in ids}
        return cls(params, np.asarray(arrays["video_ids"]), np.asarray(arrays["creator_ids"]))


_READ = "Array({}, {}, 'C', readonly=True)"
_IDS, _WEIGHTS, _TABLE = _READ.format("int64", 1), _READ.format("float32", 1), _READ.format("float32", 2)


@compiled_for(f"void({_IDS}, {_IDS}, {_WEIGHTS}, {_TABLE}, float32[::1], float32[:, ::1])")
def _gather(
    video_ids: Ints, history: Ints, weights: Floats, seen: Floats, kept: Floats, watched: Floats
) -> None:
    """What `seen` has of each watched video, and its weight; of an unknown one its last row, and weight 0."""
    kept[:] = weights
    for place, video_id in enumerate(history):
        row = np.searchsorted(video_ids, video_id)
        if row == len(video_ids) or video_ids[row] != video_id:
            row, kept[place] = len(seen) - 1, 0
        watched[place] = seen[row]


@compiled_for(f"void(Array(int16, 1, 'C', readonly=True), {_TABLE}, float32[::1])")
def _look_up(profile: Any, table: Floats, read: Floats) -> None:
    """A person's profile as `table` has it, field after field, at the beginning of `read`."""
    width = table.shape[1]
    for field, code in enumerate(profile):
        row = field * PROFILE_CODES + min(max(code + 1, 0), PROFILE_CODES - 1)
        read[field * width : (field + 1) * width] = table[row]


def rows_known(known: Ints, wanted: Ints) -> Ints:
    """Row of each wanted id in a table whose row k + 1 belongs to the k-th known id; 0 where it was never
    known.
    """
    if len(known) == 0:
        return np.zeros(len(wanted), np.int64)
    places = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[places] == wanted, places + 1, 0).astype(np.int64)


def scores(users: Floats, videos: Floats) -> Floats:
    """Dot product row by row: what a ranker reads as `tower_score`."""
    return np.asarray(np.einsum("nd,nd->n", users, videos), np.float32)
