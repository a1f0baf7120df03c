"""Does the table of places join what a dictionary joins?"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serving.candidates import Found
from serving.unions import union_of

HUGE = 2**62
videos = st.integers(-3, 30) | st.integers(-HUGE, HUGE) | st.integers(0, 9).map(lambda n: n << 40)
brought = st.lists(st.lists(videos, max_size=20), max_size=8)


@given(brought)
def test_a_union_is_every_video_once_in_the_order_it_was_first_found(lists: list[list[int]]) -> None:
    bits: dict[int, int] = {}
    for source, each in enumerate(lists):
        for video in each:
            bits[video] = bits.get(video, 0) | 1 << source

    union = union_of({str(n): a_find(each) for n, each in enumerate(lists)})

    assert union.ids.tolist() == list(bits)
    assert union["found_by"].tolist() == list(bits.values())
    assert union["source"].tolist() == [(each & -each).bit_length() - 1 for each in bits.values()]


def a_find(ids: list[int]) -> Found:
    return Found(np.array(ids, np.int64), np.zeros(len(ids), np.float32))
