"""Two towers: what a vector may depend on, and that numpy and jax compute the same."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from feature_repo.clock import NEVER_US
from feature_repo.videos import VideoCatalog
from serving.towers import (
    PROFILE,
    WIDTH,
    Towers,
    VideoInputs,
    initial_params,
    rows_known,
    scores,
    seen_vectors,
    user_vectors,
    video_vectors,
)

WATCHES = st.lists(
    st.tuples(st.sampled_from([-1, 10, 20, 30, 45, 60, 999]), st.floats(0, 1, width=32)), max_size=20
)
"""Videos of the catalogue and others, and how much of each was watched."""


def a_catalog(videos: int = 6, seed: int = 0) -> VideoCatalog:
    """Videos 10, 20, … by creators 1 and 2; the last has no topic, duration or content."""
    rng = np.random.default_rng(seed)
    topics = np.arange(videos, dtype=np.int16) % 3
    durations = np.full(videos, 30, np.float32)
    content = rng.normal(size=(videos, 16)).astype(np.float32)
    topics[-1], durations[-1], content[-1] = -1, np.nan, 0
    return VideoCatalog(
        video_ids=np.arange(1, videos + 1, dtype=np.int64) * 10,
        creator_ids=1 + np.arange(videos, dtype=np.int64) % 2,
        topics=topics,
        duration_s=durations,
        uploaded_us=np.zeros(videos, np.int64),
        content=content,
        headline=np.full(videos, np.nan, np.float32),
        production=np.full(videos, 0.5, np.float32),
        removed_us=np.full(videos, NEVER_US),
    )


def some_towers(known: list[int] | None = None) -> Towers:
    known = [10, 20, 30] if known is None else known
    rng = np.random.default_rng(1)
    return Towers(initial_params(len(known), 2, rng), np.array(known, np.int64), np.array([1, 2], np.int64))


def a_person(rows: list[int], weights: list[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One profile and a history of catalogue rows, padded to 20."""
    padded = rows + [-1] * (20 - len(rows)), weights + [0.0] * (20 - len(weights))
    profile = np.full((1, len(PROFILE)), 2, np.int16)
    return profile, np.array([padded[0]]), np.array([padded[1]], np.float32)


def test_numpy_and_jax_compute_the_same_vectors() -> None:
    towers, catalog = some_towers(), a_catalog()
    inputs, person = towers.inputs(catalog), a_person([0, 1], [1.0, 0.3])
    in_jax = VideoInputs(*(jnp.asarray(column) for column in inputs))

    profile, rows, weights = map(jnp.asarray, person)
    seen = seen_vectors(towers.params, in_jax)
    users = user_vectors(towers.params, profile, rows, weights, seen, jnp)

    np.testing.assert_allclose(towers.users(*person, towers.seen(inputs)), users, atol=1e-5)
    np.testing.assert_allclose(
        towers.videos(inputs), video_vectors(towers.params, in_jax, jnp)[:-1], atol=1e-5
    )


def test_a_video_never_trained_on_has_a_vector_of_its_content() -> None:
    towers, catalog = some_towers(known=[10]), a_catalog()

    vectors = towers.videos(towers.inputs(catalog))

    assert not np.allclose(vectors[1], vectors[3])  # 20 and 40: both unknown ids, other content


def test_a_video_of_which_nothing_is_known_has_a_finite_vector() -> None:
    towers = some_towers(known=[])

    vectors = towers.videos(towers.inputs(a_catalog()))

    assert np.isfinite(vectors).all()
    assert vectors.shape == (6, WIDTH)


def test_an_empty_history_is_like_a_history_of_unknown_videos() -> None:
    towers = some_towers()
    seen = towers.seen(towers.inputs(a_catalog()))

    stranger = towers.users(*a_person([], []), seen)

    np.testing.assert_array_equal(stranger, towers.users(*a_person([-1, -1], [0.0, 0.0]), seen))


def test_what_was_watched_longer_moves_the_user_more() -> None:
    towers = some_towers()
    seen = towers.seen(towers.inputs(a_catalog()))
    stranger = towers.users(*a_person([], []), seen)

    glance, whole = (towers.users(*a_person([0], [weight]), seen) for weight in (0.1, 1.0))

    assert np.linalg.norm(whole - stranger) > np.linalg.norm(glance - stranger)


@given(WATCHES, hnp.arrays(np.int16, len(PROFILE), elements=st.integers(-2, 99)))
def test_one_person_has_the_bits_of_one_among_many(
    watches: list[tuple[int, float]], profile: np.ndarray
) -> None:
    towers, catalog = some_towers(), a_catalog()
    seen = towers.seen(towers.inputs(catalog))
    history = np.array([video for video, _ in watches], np.int64)
    weights = np.array([weight for _, weight in watches], np.float32)

    alone = towers.user(profile, catalog.video_ids, history, weights, seen)

    rows = catalog.rows_of(history)
    kept = np.where(rows < 0, np.float32(0), weights)
    np.testing.assert_array_equal(alone, towers.users(profile[None], rows[None], kept[None], seen)[0])


@pytest.mark.parametrize("weights", [0, 3])
def test_a_history_without_its_weights_is_refused(weights: int) -> None:
    towers, catalog = some_towers(), a_catalog()
    seen = towers.seen(towers.inputs(catalog))
    watched = (np.array([10, 20]), np.ones(weights, np.float32))

    with pytest.raises(ValueError, match="cannot assign"):
        towers.user(np.zeros(len(PROFILE), np.int16), catalog.video_ids, *watched, seen)


def test_people_are_answered_alike_alone_and_in_a_crowd() -> None:
    towers = some_towers()
    seen = towers.seen(towers.inputs(a_catalog()))
    profile, rows, weights = a_person([0, 2], [1.0, 0.5])

    crowd = towers.users(
        np.repeat(profile, 9_000, 0), np.repeat(rows, 9_000, 0), np.repeat(weights, 9_000, 0), seen
    )

    np.testing.assert_allclose(
        crowd, np.repeat(towers.users(profile, rows, weights, seen), 9_000, 0), atol=1e-6
    )


def test_a_profile_code_beyond_the_table_is_an_answer_not_an_error() -> None:
    towers = some_towers()
    seen = towers.seen(towers.inputs(a_catalog()))
    profile, rows, weights = a_person([], [])

    assert np.isfinite(towers.users(profile * 10_000, rows, weights, seen)).all()


def test_towers_survive_being_written_as_arrays() -> None:
    towers, catalog = some_towers(), a_catalog()

    again = Towers.from_arrays(towers.arrays())

    np.testing.assert_array_equal(again.videos(again.inputs(catalog)), towers.videos(towers.inputs(catalog)))


@pytest.mark.parametrize(("wanted", "row"), [(10, 1), (30, 3), (5, 0), (99, 0), (20, 2)])
def test_row_0_belongs_to_ids_never_trained_on(wanted: int, row: int) -> None:
    assert rows_known(np.array([10, 20, 30]), np.array([wanted])).tolist() == [row]


def test_a_score_is_a_dot_product_row_by_row() -> None:
    users, videos = np.eye(2, 4, dtype=np.float32), np.full((2, 4), 3, np.float32)

    assert scores(users, videos).tolist() == [3.0, 3.0]
