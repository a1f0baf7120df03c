"""What all sources found, every video once: in the order of the sources and of their own ranks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from feature_repo.compiling import compiled_for
from serving.candidates import NO_IDS, Candidates, Found, Ids, candidates

SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: multiples of it lie far apart (Knuth, volume 3, section 6.4)."""


def union_of(found: Mapping[str, Found]) -> Candidates:
    """`source` is the first source that found a video, `found_by` a bit per source."""
    sizes = [len(each.video_ids) for each in found.values()]
    ids = np.concatenate([each.video_ids for each in found.values()] or [NO_IDS])
    union, sources = np.empty(len(ids), np.int64), np.empty(len(ids), np.int8)
    found_by = np.empty(len(ids), np.int64)
    n = _join(ids, np.array(sizes, np.int64), union, sources, found_by)
    return candidates(union[:n], source=sources[:n], found_by=found_by[:n])


@compiled_for("int64(int64[::1], int64[::1], int64[::1], int8[::1], int64[::1])")
def _join(ids: Ids, sizes: Ids, union: Ids, sources: npt.NDArray[np.int8], found_by: Ids) -> int:
    """How many distinct ids there are, in the order of their first; a table remembers the place of each.

    `sizes`: how many ids are the first source's, the next one's, and so on.
    """
    bits = 4
    while 1 << bits < 2 * len(ids):
        bits += 1
    places, known, source, left = np.full(1 << bits, -1, np.int64), 0, -1, 0
    for at in range(len(ids)):
        while left == 0:
            source += 1
            left = sizes[source]
        left -= 1
        slot = np.int64((np.uint64(ids[at]) * SPREAD) >> np.uint64(64 - bits))
        while places[slot] >= 0 and union[places[slot]] != ids[at]:
            slot = (slot + 1) & ((1 << bits) - 1)
        if places[slot] < 0:
            places[slot], union[known], sources[known], found_by[known] = known, ids[at], source, 0
            known += 1
        found_by[places[slot]] |= np.int64(1) << source
    return known
