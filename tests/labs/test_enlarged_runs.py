"""Is an enlarged run the same world, only more of it?"""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest

from feature_repo.log import EventLog
from feature_repo.places import Run
from labs.bench.enlarged_runs import look_alikes, with_trees
from serving import registry
from serving.releases import read_release
from serving.tree_scorers import TreeScorer


def the_heads(trained: Run) -> dict[str, str]:
    found = registry.champion(trained.places)
    assert found is not None
    return dict(read_release(found[1]).heads)


def test_repeated_trees_say_what_the_first_said(trained: Run) -> None:
    heads, matrix = the_heads(trained), np.random.default_rng(0).random((50, 56), np.float32)

    for name, text in with_trees(heads, 150).items():
        booster = lightgbm.Booster(model_str=text)
        assert booster.num_trees() == 150
        scores = TreeScorer.of(text).raw(matrix)
        np.testing.assert_allclose(scores, TreeScorer.of(heads[name]).raw(matrix), rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(scores, booster.predict(matrix, raw_score=True))


def test_fewer_trees_than_there_are_are_refused(trained: Run) -> None:
    with pytest.raises(ValueError, match="cannot have 1; ask for more"):
        with_trees(the_heads(trained), 1)


def test_look_alikes_fill_a_catalogue_up_under_new_ids(trained: Run) -> None:
    uploaded = EventLog(trained.places.log).read("uploaded")

    born = look_alikes(uploaded, len(uploaded) + 100, np.random.default_rng(1))

    assert len(born) == 100
    assert not set(born["video_id"]) & set(uploaded["video_id"])
    assert set(born["like"]) <= set(uploaded["video_id"])
    assert born["event_id"].n_unique() == 100
