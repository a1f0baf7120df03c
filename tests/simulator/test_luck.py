"""Luck is looked up, not drawn: it depends on who and when, never on order or company."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.luck import Purpose, exponential, gumbel, key, keys, normal, uniform, uniforms


def test_the_mixing_is_splitmix64() -> None:
    """The first outputs of the reference implementation from state 0."""
    reference = np.asarray([0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4], dtype=np.uint64)

    found = uniforms(np.zeros(1, dtype=np.uint64), purpose=0, steps=np.arange(2))

    assert found.tolist() == (((reference >> np.uint64(11)).astype(float) + 0.5) * 2.0**-53).tolist()


def test_a_person_has_the_same_luck_in_any_company() -> None:
    together = uniforms(keys(7, np.arange(100), 3), Purpose.SKIP)

    alone = uniforms(keys(7, 42, 3), Purpose.SKIP)

    assert together[42] == alone[0]


@pytest.mark.parametrize("other", [(8, 1, 2), (7, 2, 2), (7, 1, 3), (7, 2, 1)])
def test_another_seed_person_or_session_has_other_luck(other: tuple[int, int, int]) -> None:
    assert uniforms(keys(7, 1, 2), Purpose.SKIP) != uniforms(keys(*other), Purpose.SKIP)


def test_no_two_purposes_share_a_draw() -> None:
    purposes = list(Purpose)

    draws = np.concatenate([uniforms(keys(7, 1), purpose, np.arange(50)) for purpose in purposes])

    assert len(np.unique(draws)) == 50 * len(purposes)


def test_draws_are_uniform_and_uncorrelated_between_neighbours() -> None:
    draws = uniforms(keys(7, np.arange(2000))[:, None], Purpose.LEAVE, np.arange(50))

    expected, spread = draws.size / 20, np.sqrt(draws.size / 20)
    counts = np.histogram(draws, bins=20, range=(0, 1))[0]

    assert np.abs(counts - expected).max() < 4.5 * spread
    assert abs(np.corrcoef(draws[:, 0], draws[:, 1])[0, 1]) < 4.5 / np.sqrt(2000)
    assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 4.5 / np.sqrt(2000)


def test_one_person_alone_has_the_luck_of_the_arrays() -> None:
    of = key(key(keys(7)[0], 42), 3)

    assert np.uint64(of) == keys(7, 42, 3)[0]
    for step in range(50):
        assert uniform(np.uint64(of), Purpose.SKIP, step) == uniforms(keys(7, 42, 3), Purpose.SKIP, step)[0]


def test_transformed_draws_have_their_textbook_moments() -> None:
    draws, angles = (
        uniforms(keys(7, np.arange(200_000)), purpose) for purpose in (Purpose.INTENT, Purpose.INTENT_ANGLE)
    )

    assert normal(draws, angles).mean() == pytest.approx(0.0, abs=0.01)
    assert normal(draws, angles).std() == pytest.approx(1.0, abs=0.01)
    assert exponential(draws, 3.0).mean() == pytest.approx(3.0, abs=0.04)
    assert gumbel(draws).mean() == pytest.approx(np.euler_gamma, abs=0.02)
