"""Which candidates may be shown. A filter answers for every row and changes none; failing, it refuses all.

Visibility is not ranking: a blocked creator is not a bad score, since a score can be bought back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.videos import among
from serving.candidates import Candidates, Mask, Query


@dataclass(frozen=True)
class Eligible:
    """Known to the catalogue, uploaded before now, and not known before now to have been removed."""

    name: str = "eligible"

    def keep(self, query: Query, table: Candidates) -> Mask:
        exists = (table["catalog_row"] >= 0) & (table["uploaded_us"] < query.now_us)
        return np.asarray(exists & (table["removed_us"] >= query.now_us))


@dataclass(frozen=True)
class NotSeen:
    """Not watched by this person yet. Served without watched is unseen."""

    name: str = "not_seen"

    def keep(self, query: Query, table: Candidates) -> Mask:
        return ~among(table.ids, query.seen)


@dataclass(frozen=True)
class NotBlocked:
    """Neither a video the person hid or reported, nor one of a creator they want no more of."""

    name: str = "not_blocked"

    def keep(self, query: Query, table: Candidates) -> Mask:
        keep = np.ones(len(table), np.bool_)
        if len(query.hidden):
            keep &= ~among(table.ids, query.hidden)
        if len(query.blocked):
            keep &= ~among(table["creator_id"], query.blocked)
        return keep
