"""The best that nobody saw yet: rows by their exact scores, without what was seen, and no more than asked.

Law: falling score, ties in the order of the rows given; a score is a sum in the order of the dimensions, the
same bits on any machine. Whoever asks for more than there is gets all there is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import types

from feature_repo.compiling import compiled_for
from feature_repo.videos import row_of

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

IDS, KEYS = types.Array(types.int64, 1, "A", readonly=True), types.int64[::1]
FLOATS, TABLE = types.float32[::1], types.Array(types.float32, 2, "C", readonly=True)
POINT = types.Array(types.float32, 1, "A", readonly=True)


def best_unseen(
    vectors: Floats, video_ids: Ids, rows: Ids, point: Floats, seen: Ids, most: int
) -> tuple[Ids, Floats]:
    """Ids and exact scores of the best of these rows of an index."""
    scores, keys = np.empty(len(rows), np.float32), np.empty(len(rows), np.int64)
    _score(vectors, rows, point, scores, keys)
    keys.sort()
    upto = min(most, len(rows))
    ids, best = np.empty(upto, np.int64), np.empty(upto, np.float32)
    found = _pick(keys, rows, scores, video_ids, seen, ids, best)
    return ids[:found], best[:found]


@compiled_for(types.void(TABLE, IDS, POINT, FLOATS, KEYS))
def _score(vectors: Floats, rows: Ids, point: Floats, scores: Floats, keys: Ids) -> None:
    """Of each row its score, and a key: it rises where scores fall, then with the place; no two are the same.

    The bits of a float rise with it, those of a negative one fall. A sum that starts at 0 is never -0.
    """
    for place in range(len(rows)):
        total = np.float32(0)
        for dimension in range(len(point)):
            total += vectors[rows[place], dimension] * point[dimension]
        scores[place] = total
    bits = scores.view(np.int32)
    for place in range(len(rows)):
        rising = bits[place] if bits[place] >= 0 else bits[place] ^ np.int32(0x7FFFFFFF)
        keys[place] = (~np.int64(rising) << 32) | place


@compiled_for(types.int64(KEYS, IDS, FLOATS, IDS, IDS, KEYS, FLOATS))
def _pick(keys: Ids, rows: Ids, scores: Floats, video_ids: Ids, seen: Ids, ids: Ids, best: Floats) -> int:
    """Into `ids` and `best` what comes first by its key and was not seen; how many there were."""
    found = 0
    for key in keys:
        if found == len(ids):
            break
        place = key & 0xFFFFFFFF
        video_id = video_ids[rows[place]]
        if row_of(seen, video_id) < 0:
            ids[found], best[found] = video_id, scores[place]
            found += 1
    return found


@compiled_for(types.int64[::1](IDS, IDS, types.int64))
def first_unseen(ids: Ids, seen: Ids, most: int) -> Ids:
    """Places of the first of these ids that were not seen."""
    places = np.empty(min(most, len(ids)), np.int64)
    found = 0
    for place in range(len(ids)):
        if found == len(places):
            break
        if row_of(seen, ids[place]) < 0:
            places[found] = place
            found += 1
    return places[:found]


@compiled_for(types.int64[::1](IDS, IDS, IDS))
def rows_made_by(creators: Ids, creator_ids: Ids, rows: Ids) -> Ids:
    """The rows of these creators, one after the other; `creator_ids` are those of `rows`, ascending."""
    first = np.searchsorted(creator_ids, creators, side="left")
    end = np.searchsorted(creator_ids, creators, side="right")
    found = np.empty((end - first).sum(), np.int64)
    upto = 0
    for creator in range(len(creators)):
        mine = rows[first[creator] : end[creator]]
        found[upto : upto + len(mine)] = mine
        upto += len(mine)
    return found
