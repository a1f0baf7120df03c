"""Who is promised a share of every slot: new uploads, and creators who are little shown.

A pool owns a part of each slot's probability while any of its candidates is left, and the softmax within it
is over its own members. So in expectation it fills at least that share of the slots, whatever the heads
think of it, and the promise is one term of a propensity: it stays exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.clock import HOUR_US
from serving.candidates import Candidates, Mask, Query
from serving.policies import Policy


@dataclass(frozen=True)
class Pool:
    """Rows that share a promised part of every slot."""

    name: str
    share: float
    members: Mask


def pools(query: Query, table: Candidates, policy: Policy) -> list[Pool]:
    """The promises of a policy that are not empty; what is unknown of a video makes it no member."""
    found = []
    if policy.cold_start_share > 0:
        found.append(Pool("new", policy.cold_start_share, _new(query, table, policy)))
    if policy.creator_floor > 0:
        little_shown = table["creator_impressions_7d"] < policy.creator_floor_impressions
        found.append(Pool("little_shown_creator", policy.creator_floor, np.asarray(little_shown)))
    return found


def _new(query: Query, table: Candidates, policy: Policy) -> Mask:
    """Fresh uploads with too few impressions to be judged by what happened to them."""
    young = query.now_us - table["uploaded_us"] < policy.fresh_hours * HOUR_US
    return np.asarray(young & (table["video_impressions_7d"] < policy.cold_start_impressions))
