"""Heads, calibrators and values: probabilities in, one number per row out."""

from __future__ import annotations

from functools import cache

import lightgbm
import numpy as np
import pytest

from evaluation.ranking import auc
from serving.calibrators import IDENTITY, Calibrator
from serving.heads import Heads, Ranked
from serving.values import Values, Weight


@cache
def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(400, 3)).astype(np.float32)
    return matrix, (matrix[:, 0] + rng.normal(size=400) > 0).astype(np.float64)


@cache
def a_booster(leaves: int = 4) -> str:
    matrix, labels = rows()
    params = {"objective": "binary", "num_leaves": leaves, "verbosity": -1, "num_threads": 1}
    return str(lightgbm.train(params, lightgbm.Dataset(matrix, labels), 5).model_to_string())


def some_heads(calibrator: Calibrator = IDENTITY) -> Heads:
    return Heads.from_texts({"like": a_booster()}, {"like": calibrator.as_json()})


def test_a_head_read_from_text_predicts_what_lightgbm_predicts() -> None:
    matrix, _ = rows()

    predicted = some_heads().predict(matrix)["like"]

    np.testing.assert_array_equal(predicted, lightgbm.Booster(model_str=a_booster()).predict(matrix))


def test_heads_of_a_release_share_one_ranking_of_a_matrix() -> None:
    texts, curve = {"like": a_booster(), "watch": a_booster(leaves=7)}, IDENTITY.as_json()
    heads, ranked = Heads.from_texts(texts, {"like": curve, "watch": curve}), Ranked(rows()[0])
    assert heads.by_name["like"].trees is not None
    scale = heads.by_name["like"].trees.scale

    assert ranked.on(scale) is ranked.on(scale)
    for name, head in heads.by_name.items():
        assert head.trees is not None
        assert head.trees.scale is scale
        alone = Heads.from_texts({name: texts[name]}, {name: curve})
        assert head.predict(ranked).tolist() == alone.predict(ranked.matrix)[name].tolist()


def test_unknown_features_are_answered() -> None:
    unknown = np.full((2, 3), np.nan, np.float32)

    assert np.isfinite(some_heads().predict(unknown)["like"]).all()


def test_calibration_changes_probabilities_and_no_order() -> None:
    matrix, labels = rows()
    curve = Calibrator((0.0, 0.5, 1.0), (0.0, 0.1, 1.0))

    plain, curved = some_heads().predict(matrix)["like"], some_heads(curve).predict(matrix)["like"]

    assert curved.mean() < plain.mean()
    assert auc(labels, curved) == auc(labels, plain)


def test_a_head_without_its_calibrator_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\['like'\] lack a booster or a calibrator"):
        Heads.from_texts({"like": a_booster()}, {})


def test_heads_survive_being_written() -> None:
    heads = some_heads()

    again = Heads.from_texts(heads.texts(), heads.calibrators())

    np.testing.assert_array_equal(again.predict(rows()[0])["like"], heads.predict(rows()[0])["like"])


def test_knots_that_fall_are_refused() -> None:
    with pytest.raises(ValueError, match="must rise"):
        Calibrator((0.0, 0.5, 1.0), (0.0, 0.6, 0.5))


def test_a_calibrator_is_flat_beyond_its_knots() -> None:
    curve = Calibrator((0.2, 0.4), (0.1, 0.3))

    assert curve(np.array([0.0, 0.3, 9.0])).tolist() == pytest.approx([0.1, 0.2, 0.3])


def some_values() -> Values:
    return Values((Weight("like", 20.0, "liked", 0.02), Weight("negative", -100.0, "hidden", 0.001)))


def test_value_is_the_weighted_sum_of_predictions() -> None:
    value = some_values().value({"like": np.array([0.1, 0.0]), "negative": np.array([0.0, 0.01])})

    assert value.tolist() == pytest.approx([2.0, -1.0])


def test_an_act_nobody_predicted_is_an_error_not_a_zero() -> None:
    with pytest.raises(KeyError, match="negative"):
        some_values().value({"like": np.array([0.1])})


def test_a_weight_is_judged_at_its_base_rate() -> None:
    like, negative = some_values().weights

    assert like.contribution == pytest.approx(0.4)
    assert negative.contribution == pytest.approx(-0.1)


def test_values_survive_being_written() -> None:
    assert Values.from_json(some_values().as_json()) == some_values()
