"""What another release would have said about the same rows: its own towers, heads and weights, the same
features.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from feature_repo.histories import histories_before
from feature_repo.matrix import COLUMNS
from feature_repo.videos import VideoCatalog
from pipelines.build_training_set import tower_scores
from pipelines.plan import Plan
from pipelines.training_sets import Rows
from serving.heads import Heads
from serving.releases import Release
from serving.towers import Towers
from serving.values import Values

Doubles = npt.NDArray[np.float64]


def predicted(plan: Plan, release: Release, rows: Rows) -> dict[str, Doubles]:
    """Every head's calibrated predictions, with the tower score recomputed by the release's own towers."""
    matrix = rows.matrix.copy()
    matrix[:, COLUMNS.index("tower_score")] = own_tower_scores(plan, release, rows)
    return Heads.from_texts(release.heads, release.calibrators).predict(matrix)


def value_of(plan: Plan, release: Release, rows: Rows) -> Doubles:
    """The value a release gives these rows."""
    return Values.from_json(release.values).value(predicted(plan, release, rows))


def own_tower_scores(plan: Plan, release: Release, rows: Rows) -> npt.NDArray[np.float32]:
    """Tower scores as of each row."""
    times = rows.table["asked_time"].to_physical().to_numpy()
    watched = plan.log.read("watched", end_us=int(times.max()) + 1)
    histories = histories_before(watched, rows.users, times)
    towers = Towers.from_arrays(release.towers)
    return tower_scores(plan.log, VideoCatalog.from_log(plan.log), towers, histories, rows.table)
