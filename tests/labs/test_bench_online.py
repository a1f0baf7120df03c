"""Does the benchmark of online reads compare equals, and does its mirror follow the store?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from feature_repo.packed_rows import Rows, rows_of_columns
from feature_repo.packed_tables import open_packed
from labs.bench.online_reads import measure, mirror, read, refreshed, rows
from labs.bench.online_sources import USER, VIDEO, Size

SMALL = Size(users=40, videos=60, candidates=20, requests=40, feast_every=10, loads=1)


def video_rows(level: float, moment: int, n: int) -> Rows:
    return rows_of_columns(VIDEO, {name: np.full(n, level) for name in VIDEO.names}, np.full(n, moment))


def test_a_refreshed_mirror_equals_a_new_one_and_the_old_one_stays(tmp_path: Path) -> None:
    tables = open_packed(tmp_path / "packed.db", "p")
    tables.write(VIDEO, [5, 3, 9], video_rows(1.0, 10, 3))
    old = mirror(tables)
    tables.write(VIDEO, [9, 3], video_rows(2.0, 11, 2))

    new = refreshed(tables, old)

    assert (new.matrix == mirror(tables).matrix).all()
    assert new.matrix[:, 0].tolist() == [2.0, 1.0, 2.0]
    assert (old.matrix == 1.0).all()


def test_a_request_reads_the_person_from_the_store_and_videos_from_memory(tmp_path: Path) -> None:
    tables = open_packed(tmp_path / "packed.db", "p")
    tables.write(VIDEO, [5, 3], video_rows(1.0, 10, 2))
    person = {name: [float(place)] for place, name in enumerate(USER.names)}
    tables.write(USER, [7], rows_of_columns(USER, person, [10]))

    user, videos = read(tables, mirror(tables), 7, np.asarray([3, 5, 3]))

    assert user.tolist() == list(range(10))
    assert (videos.shape, videos.min()) == ((3, 20), 1.0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_both_stores_answer_the_same_and_every_figure_has_its_n(tmp_path: Path) -> None:
    figures = measure(7, tmp_path, SMALL)

    reads, loads = figures["reads"], figures["materialize"]
    assert (reads["differing_cells"], reads["compared_cells"]) == (0, 10 * (10 + 20 * 20))
    assert [reads[arm]["requests"] for arm in ("ours", "feast", "gather", "age")] == [40, 4, 40, 40]
    assert reads["times_faster_at_p50"]["n"] == 4
    assert loads["written"] == loads["entities"] == 60
    assert [len(line) for line in rows(figures)] == [5, 5, 5, 5]
