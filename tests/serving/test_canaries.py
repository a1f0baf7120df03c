"""Who is served by a challenger: the same people all along, other people the next time, nobody after it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.places import Places
from serving import canaries, registry
from serving.canaries import NO_CANARY, Canary, place_of

people = st.integers(0, 2**62)
shares = st.floats(0, 1)


@given(person=people, version=st.integers(1, 1000), small=shares, large=shares)
def test_a_larger_share_only_adds_people(person: int, version: int, small: float, large: float) -> None:
    small, large = sorted((small, large))

    assert Canary(version, small).holds(person) <= Canary(version, large).holds(person)


@given(person=people, version=st.integers(1, 1000))
def test_a_share_of_one_is_everybody_and_a_share_of_zero_nobody(person: int, version: int) -> None:
    assert Canary(version, 1.0).holds(person)
    assert not Canary(version, 0.0).holds(person)


def test_a_share_of_the_people_is_that_share() -> None:
    held = [Canary(2, 0.05).holds(person) for person in range(40_000)]

    assert np.mean(held) == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 40_000))


def test_the_people_of_two_canaries_are_independent() -> None:
    first, second = ([place_of(person, version) for person in range(40_000)] for version in (1, 2))

    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(40_000)


def test_a_canary_is_read_as_it_was_started_and_told_in_the_log(places: Places) -> None:
    registry.set_challenger(places, 2)

    assert canaries.running(places) == NO_CANARY
    assert canaries.start(places, 0.05) == canaries.running(places) == Canary(2, 0.05)
    told = registry.promotions(places)[-1]
    assert (told["canary"], told["share"], told["why"]) == (2, 0.05, "asked for")


def test_a_share_of_zero_stops_it(places: Places) -> None:
    registry.set_challenger(places, 2)
    canaries.start(places, 0.05)

    canaries.start(places, 0)

    assert canaries.running(places) == NO_CANARY


def test_a_canary_ends_with_its_challenger(places: Places) -> None:
    registry.set_challenger(places, 2)
    canaries.start(places, 0.5)

    registry.set_challenger(places, 1)

    assert canaries.running(places) == NO_CANARY


def test_a_canary_is_stopped_once_and_only_the_one_that_was_meant(places: Places) -> None:
    registry.set_challenger(places, 2)
    canaries.start(places, 0.5)

    stopped = [canaries.stop(places, version, "p99") for version in (1, 2, 2)]

    assert stopped == [False, True, False]
    assert registry.promotions(places)[-1]["why"] == "p99"


def test_without_a_challenger_there_is_nothing_to_try(places: Places) -> None:
    with pytest.raises(canaries.NoChallenger, match="there is no challenger"):
        canaries.start(places, 0.05)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(places: Places, share: float) -> None:
    with pytest.raises(ValueError, match="must be within 0 and 1"):
        canaries.start(places, share)
