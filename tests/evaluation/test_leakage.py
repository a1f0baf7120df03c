"""Every planted leak is found and named; columns that only know the odds are not accused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import ks_2samp, pearsonr, spearmanr

from evaluation import ranking
from evaluation.leakage import (
    COPY,
    FEWEST,
    Finding,
    Ranked,
    area_under,
    beyond,
    copies,
    implausible,
    leaks,
    named,
    nearest,
    recomputed,
    separation,
    standard_error,
)

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]
N = 20_000

tables = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([-1.0, 0.0, 2.0, np.nan])), min_size=4, max_size=40
).filter(lambda rows: 0 < sum(label for label, _ in rows) < len(rows))


def odds(rate: float = 0.15, seed: int = 1) -> F64:
    """True probabilities of a label: what the best honest column would hold."""
    rng = np.random.default_rng(seed)
    return np.asarray(1 / (1 + np.exp(-rng.normal(np.log(rate / (1 - rate)), 1.2, N))))


def labels_of(p: F64, seed: int = 2) -> F64:
    return np.asarray(np.random.default_rng(seed).random(len(p)) < p, np.float64)


def flipped(labels: F64, share: float, seed: int = 3) -> F64:
    """The label again, with a few rows the other way round."""
    return np.abs(labels - (np.random.default_rng(seed).random(len(labels)) < share))


def matrix(*columns: F64) -> F32:
    return np.column_stack(columns).astype(np.float32)


def accused(findings: list[Finding]) -> list[str]:
    return [finding.column for finding in leaks(findings)]


def split(labels: F64, column: F64) -> tuple[F64, F64]:
    return Ranked.of(column.astype(np.float32)).split(labels, np.ones(len(labels), np.bool_))


def numbers(rows: list[tuple[int, float]]) -> tuple[F64, F64]:
    labels, column = (np.array(each, np.float64) for each in zip(*rows, strict=True))
    return labels, column


@given(rows=tables)
def test_the_area_is_the_auc_of_evaluation_with_unknowns_above_the_rest(
    rows: list[tuple[int, float]],
) -> None:
    labels, column = numbers(rows)

    expected = ranking.auc(labels, np.where(np.isnan(column), 9.0, column))

    assert area_under(*split(labels, column)) == pytest.approx(expected)


@given(rows=tables)
def test_separation_is_the_distance_of_kolmogorov_and_smirnov(rows: list[tuple[int, float]]) -> None:
    labels, column = numbers(rows)
    known = np.where(np.isnan(column), 9.0, column)

    expected = ks_2samp(known[labels == 1], known[labels == 0], method="asymp").statistic

    assert separation(*split(labels, column)) == pytest.approx(expected)


def test_closeness_to_a_quantity_is_the_larger_of_two_correlations() -> None:
    watched = np.random.default_rng(0).exponential(9_000, N)
    column = np.sqrt(watched) + np.random.default_rng(1).normal(0, 30, N)

    (found,) = copies(["seconds"], matrix(column), {"watched_ms": watched})

    theirs = max(pearsonr(column, watched).statistic, spearmanr(column, watched).statistic)
    assert found.found == pytest.approx(theirs, abs=1e-4)


def test_the_standard_error_is_the_spread_of_aucs_over_drawn_labels() -> None:
    rng = np.random.default_rng(4)
    drawn = [
        split(np.repeat([1.0, 0.0], 200), rng.exponential(np.repeat([4.0, 1.0], 200))) for _ in range(400)
    ]
    areas = [area_under(*groups) for groups in drawn]

    assert standard_error(float(np.mean(areas)), 200, 200) == pytest.approx(np.std(areas), rel=0.15)


@pytest.mark.parametrize("rate", [0.15, 0.01])
def test_a_label_with_a_thousandth_of_its_rows_flipped_is_named(rate: float) -> None:
    p = odds(rate)
    labels = labels_of(p)

    found = copies(["honest", "leaky"], matrix(p, flipped(labels, 0.001)), {"like": labels})

    assert accused(found) == ["leaky ~ like"]


@pytest.mark.parametrize("stretch", [lambda y: -y, lambda y: 3 - 7 * y, lambda y: np.where(y > 0, np.nan, 1)])
def test_a_mirrored_stretched_or_hidden_label_is_still_a_copy(stretch: object) -> None:
    labels = labels_of(odds())

    found = copies(["leaky"], matrix(stretch(labels)), {"like": labels})  # type: ignore[operator]

    assert accused(found) == ["leaky ~ like"]


def test_watch_time_on_any_scale_is_a_copy_of_watch_time() -> None:
    watched = np.round(np.random.default_rng(0).exponential(9_000, N))

    found = copies(["log_watched"], matrix(np.log1p(watched)), {"watched_ms": watched})

    assert accused(found) == ["log_watched ~ watched_ms"]


def test_watch_time_tells_a_long_watch_better_than_any_honest_column() -> None:
    p = odds()
    labels = labels_of(p)
    watched = np.where(labels > 0, 18.0, 4.0) + np.random.default_rng(5).normal(0, 6, N)

    found = implausible("alone", ["odds", "watched"], matrix(p, watched), {"long_watch": labels})

    assert accused(found) == ["watched ~ long_watch"]


def test_a_mean_over_all_days_that_holds_the_rows_own_label_is_better_than_honest() -> None:
    rng, p = np.random.default_rng(6), odds()
    labels, videos = labels_of(p), rng.integers(0, N // 2, N)
    own = np.bincount(videos, labels, N)[videos] / np.bincount(videos, minlength=N)[videos]
    others = np.bincount(videos, labels_of(p, 7), N)[videos] / np.bincount(videos, minlength=N)[videos]

    found = implausible("alone", ["own", "others"], matrix(own, others), {"like": labels})

    assert accused(found) == ["own ~ like"]


def test_being_unknown_only_where_the_label_is_one_gives_it_away() -> None:
    labels = labels_of(odds())
    column = np.where(labels > 0, np.nan, np.random.default_rng(8).normal(size=N))

    assert accused(implausible("alone", ["gap"], matrix(column), {"like": labels})) == ["gap ~ like"]


def test_who_knows_the_odds_is_not_accused() -> None:
    p = odds()
    labels = {"like": labels_of(p)}

    assert accused(copies(["odds"], matrix(p), labels)) == []
    assert accused(implausible("alone", ["odds"], matrix(p), labels)) == []


def test_a_label_of_too_few_positives_is_not_judged() -> None:
    labels = np.zeros(N)
    labels[: FEWEST - 1] = 1

    found = copies(["leaky"], matrix(labels), {"negative": labels})

    assert [finding.verdict for finding in found] == ["not judged"]


def test_rows_without_a_label_are_left_out() -> None:
    labels = labels_of(odds())
    column = labels.copy()
    labels[: N // 2], column[: N // 2] = np.nan, 0.5

    (found,) = copies(["leaky"], matrix(column), {"like": labels})

    assert (found.n, found.found, found.bound) == (N // 2, 1.0, COPY)


def test_a_column_named_like_an_outcome_is_named() -> None:
    assert accused(named(["user_like_rate_7d", "Watched_MS"], ["like", "watched_ms"])) == ["Watched_MS"]


def test_one_cell_that_is_not_what_was_known_is_found() -> None:
    was = matrix(np.zeros(5), np.array([1, 2, np.nan, 4, 5]))
    again = was.copy()
    again[3, 1] = np.nextafter(np.float32(4), np.float32(5))

    assert accused(recomputed("anew", ["a", "b"], was, was, {})) == []
    assert accused(recomputed("anew", ["a", "b"], was, again, {})) == ["b"]
    assert accused(recomputed("anew", ["a", "b"], was, again, {"b": 1e-3})) == []


def test_a_value_that_should_be_unknown_is_a_difference() -> None:
    was, again = matrix(np.array([1.0, 2.0])), matrix(np.array([1.0, np.nan]))

    assert recomputed("anew", ["a"], was, again, {"a": 1.0})[0].found == 1


def test_rows_of_another_table_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 1\) and \(3, 1\)"):
        recomputed("anew", ["a"], matrix(np.zeros(2)), matrix(np.zeros(3)), {})


def test_rows_split_at_random_are_not_split_by_time() -> None:
    times, train = np.arange(1_000), np.random.default_rng(9).random(1_000) < 0.7
    cut = 700

    assert beyond("order", "train", times[times < cut], cut - 1).verdict == "clean"
    assert beyond("order", "train", times[train], int(times[~train].min()) - 1).verdict == "LEAKS"


def test_people_read_what_leaks_or_what_comes_nearest() -> None:
    found = [
        Finding("a", "x", 0.1, 0.9, 5),
        Finding("a", "y", 0.2, 0.9, 5),
        Finding("b", "z", 13_290.0, 0.0, 5),
    ]

    assert [finding.column for finding in nearest(found)] == ["y", "z"]
    assert str(found[2]) == "b: z has 13,290 on 5 rows, must be at most 0"
    assert found[0].as_figure()["verdict"] == "clean"
