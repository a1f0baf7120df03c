"""Training the towers: what logQ corrects, what is masked, what a hidden id leaves."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from feature_repo.clock import NEVER_US
from feature_repo.videos import VideoCatalog
from pipelines.train_towers import (
    Examples,
    Settings,
    batches,
    in_batch_loss,
    log_frequencies,
    trained,
    untrained,
    with_hidden_ids,
)
from pipelines.watches import People
from serving.towers import PROFILE, Towers, VideoInputs


def a_catalog(videos: int) -> VideoCatalog:
    """Videos of two topics, told apart by topic and content."""
    topics = (np.arange(videos) % 2).astype(np.int16)
    content = np.zeros((videos, 16), np.float32)
    content[:, 0] = np.where(topics == 0, 1.0, -1.0)
    unknown = np.full(videos, np.nan, np.float32)
    ids = np.arange(videos, dtype=np.int64)
    stands = np.full(videos, NEVER_US)
    return VideoCatalog(ids, ids // 4, topics, unknown + 30, ids * 0, content, unknown, unknown, stands)


def examples_of(n: int, videos: int, seed: int = 0) -> Examples:
    """People whose country is the topic they love, saying yes to some of the first `videos` videos of it."""
    rng = np.random.default_rng(seed)
    loved = rng.integers(0, 2, n)
    chosen = rng.integers(0, videos // 2, n) * 2 + loved
    profiles = np.full((n, len(PROFILE)), -1, np.int16)
    profiles[:, 0] = loved
    people = People(np.arange(n), profiles, np.full((n, 20), -1, np.int64), np.zeros((n, 20), np.float32))
    return Examples(people, chosen.astype(np.int64))


def some_trained(catalog: VideoCatalog, found: Examples) -> Towers:
    settings = Settings(epochs=4, batch=128)
    start = untrained(catalog, found, np.random.default_rng(1))
    return trained(start, found, start.inputs(catalog), settings, 0, lambda: None)


@pytest.fixture(scope="module")
def learned() -> tuple[Towers, VideoCatalog]:
    """Towers that saw only the first 20 of 40 videos."""
    catalog = a_catalog(40)
    return some_trained(catalog, examples_of(2_000, 20)), catalog


def topic_scores(towers: Towers, catalog: VideoCatalog, country: int, rows: slice) -> np.ndarray:
    inputs = towers.inputs(catalog)
    profile = np.full((1, len(PROFILE)), -1, np.int16)
    profile[0, 0] = country
    user = towers.users(profile, np.full((1, 20), -1), np.zeros((1, 20), np.float32), towers.seen(inputs))
    scores = towers.videos(inputs)[rows] @ user[0]
    topics = catalog.topics[rows]
    return np.array([scores[topics == topic].mean() for topic in (0, 1)])


@pytest.mark.parametrize("country", [0, 1])
def test_people_are_shown_what_people_like_them_loved(
    learned: tuple[Towers, VideoCatalog], country: int
) -> None:
    scores = topic_scores(*learned, country, slice(0, 20))

    assert scores.argmax() == country


@pytest.mark.parametrize("country", [0, 1])
def test_a_new_upload_is_found_by_its_content(learned: tuple[Towers, VideoCatalog], country: int) -> None:
    scores = topic_scores(*learned, country, slice(20, 40))

    assert scores.argmax() == country


def test_the_same_seed_gives_the_same_towers() -> None:
    catalog = a_catalog(20)
    found = examples_of(500, 20)

    first, second = some_trained(catalog, found), some_trained(catalog, found)

    assert all(np.array_equal(first.params[name], second.params[name]) for name in first.params)


def test_log_q_is_how_often_a_video_is_drawn() -> None:
    drawn = np.exp(log_frequencies(np.array([0, 0, 2, 0]), 3))

    assert drawn[[0, 2]].tolist() == pytest.approx([0.75, 0.25])


def test_a_batch_of_one_video_has_no_negatives() -> None:
    """All others of the batch are accidental hits: the softmax has one term, the loss is 0."""
    catalog = a_catalog(4)
    found = examples_of(8, 2)
    start = untrained(catalog, found, np.random.default_rng(0))
    batch = {
        "profiles": found.people.profiles,
        "history_rows": found.people.history_rows,
        "weights": found.people.weights,
        "videos": np.zeros(8, np.int32),
        "log_q": np.zeros(8, np.float32),
    }

    loss = in_batch_loss(start.params, batch, VideoInputs(*map(jnp.asarray, start.inputs(catalog))), 0.0)

    assert float(loss) == pytest.approx(0.0, abs=1e-6)


def test_a_hidden_id_is_row_0_and_content_stays() -> None:
    catalog = a_catalog(1_000)
    start = untrained(catalog, examples_of(5_000, 1_000), np.random.default_rng(0))
    inputs = start.inputs(catalog)

    hidden = with_hidden_ids(VideoInputs(*map(jnp.asarray, inputs)), jax.random.key(0), 0.2)

    assert float((np.asarray(hidden.id_rows) == 0).mean()) == pytest.approx(0.2, abs=0.05)
    np.testing.assert_array_equal(hidden.dense, inputs.dense)


def test_every_epoch_sees_every_example_of_its_whole_batches_once() -> None:
    found = batches(10, Settings(epochs=2, batch=3), np.random.default_rng(0))

    assert [len(rows) for rows in found] == [3] * 6
    assert len(set(np.concatenate(found[:3]).tolist())) == 9


def test_subtracting_log_q_recovers_taste_from_popularity() -> None:
    """Yi et al. (2019): uncorrected, the optimum is log p(v|u) - log q(v); corrected, log p(v|u).

    Everybody draws video 0 nine times of ten: corrected towers score it first, uncorrected ones need not.
    """
    catalog = a_catalog(2)
    found = examples_of(1_000, 2)
    popular = (np.random.default_rng(0).random(1_000) < 0.9).astype(np.int64)
    found = Examples(found.people.rows(np.zeros(1_000, np.int64)), 1 - popular)

    scores = topic_scores(some_trained(catalog, found), catalog, 0, slice(0, 2))

    assert scores[0] > scores[1]
