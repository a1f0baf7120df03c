"""A release on trial: who is answered by it, what is counted of it, and how a trial ends by itself."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from feature_repo.places import Places
from serving import canaries, registry
from serving.canaries import Canary
from serving.challengers import Challenger
from serving.live import UNLOGGED, Answer, Live
from serving.registry import promotions
from tests.serving.builders import Fails, a_watch

PEOPLE = range(200)


def on_trial(live: Live, places: Places, share: float = 0.5) -> Canary:
    """Version 2 serves a share of the people of a server whose champion is version 1."""
    registry.set_challenger(places, 2)
    canary = canaries.start(places, share)
    live.follow()
    return canary


def spoil(challenger: Challenger, **components: object) -> None:
    """Let parts of the challenger break."""
    assert challenger.now is not None
    challenger.now = replace(challenger.now, feed=replace(challenger.now.feed, **components))  # type: ignore[arg-type]


def ask_and_watch(live: Live, yes: Callable[[int], bool], people: range = PEOPLE) -> None:
    """Everybody asks and watches the first item of the slate, long if who answered deserves it."""
    for person in people:
        answer = live.feed(person, limit=1)
        request = answer.funnel.query.request_id
        watched_ms = 60_000 if yes(answer.serving.version) else 1
        video = int(answer.funnel.slate.ids[0])
        event = a_watch(person, video, live.clock(), watched_ms, impression_id=request * 64)
        live.acknowledge([{**event, "event_id": f"w-{request}"}])


def test_the_canary_answers_its_people_and_nobody_else(places: Places, live: Live) -> None:
    canary = on_trial(live, places)

    answered = {person: live.feed(person, limit=1).serving.version for person in PEOPLE}

    assert answered == {person: 2 if canary.holds(person) else 1 for person in PEOPLE}


def test_who_served_is_in_every_served_event(places: Places, live: Live) -> None:
    on_trial(live, places, share=1)

    answer = live.feed(3, limit=2)

    served = [entry.event for entry in live._journal.events() if entry.event["kind"] == "served"]
    assert {event["release_id"] for event in served} == {answer.serving.release.release_id}
    assert answer.serving.version == 2


def test_a_stopped_canary_answers_nobody(places: Places, live: Live) -> None:
    on_trial(live, places)
    canaries.start(places, 0)

    live.follow()

    assert {live.feed(person, limit=1).serving.version for person in PEOPLE} == {1}


def test_a_request_the_challenger_fails_is_answered_by_the_champion(places: Places, live: Live) -> None:
    on_trial(live, places, share=1)
    spoil(live.trials.challenger, selector=Fails())

    answer = live.feed(3, limit=4)

    assert (answer.serving.version, len(answer.funnel.slate)) == (1, 4)


def test_a_canary_that_fails_is_stopped_with_its_reason_and_stays_stopped(places: Places, live: Live) -> None:
    on_trial(live, places)
    live.feed(0)
    spoil(live.trials.challenger, scorers=[Fails()])
    for person in PEOPLE:
        live.feed(person, limit=1)

    live.trials.follow()
    live.follow()

    assert canaries.running(places) == canaries.NO_CANARY
    assert "% of its requests failed or were degraded" in promotions(places)[-1]["why"]
    assert "canary of version 2" in str(live.health()["trial_stopped"])
    assert {live.feed(person, limit=1).serving.version for person in PEOPLE} == {1}


def test_a_canary_whose_slates_nobody_likes_is_stopped(places: Places, live: Live) -> None:
    on_trial(live, places)
    ask_and_watch(live, lambda version: version == 1)

    live.trials.follow()

    assert "of what it showed was watched long" in promotions(places)[-1]["why"]


def test_a_canary_that_is_as_good_goes_on(places: Places, live: Live) -> None:
    canary = on_trial(live, places)
    turns = itertools.count()
    ask_and_watch(live, lambda _: next(turns) % 3 == 0)

    live.follow()

    assert canaries.running(places) == canary
    assert live.health()["trial_stopped"] is None


def test_a_new_champion_that_does_worse_than_the_one_before_is_rolled_back(
    places: Places, live: Live
) -> None:
    live.follow()
    ask_and_watch(live, lambda _: True)
    registry.set_champion(places, 2)
    live.follow()
    ask_and_watch(live, lambda _: False)

    live.follow()
    live.follow()

    assert live.champion.now.version == 1
    moved = promotions(places)[-1]
    assert (moved["from"], moved["to"], moved["reason"]) == (2, 1, registry.ROLLBACK)
    assert moved["why"].startswith("guardrail: 0.0% of what it showed was watched long")
    assert registry.was_rolled_back(places, 2)


def test_a_lost_store_is_no_fault_of_the_release_on_trial(places: Places, live: Live) -> None:
    on_trial(live, places)
    spoil(live.trials.challenger, readers=[Fails("online_features")])
    degraded = [live.feed(person, limit=1).funnel.degraded for person in PEOPLE]

    live.trials.follow()

    assert any("reader:online_features" in each for each in degraded)
    assert live.health()["trial_stopped"] is None


def test_a_champion_that_was_rolled_back_to_is_on_no_trial(places: Places, live: Live) -> None:
    live.follow()
    registry.set_champion(places, 2)
    live.follow()
    ask_and_watch(live, lambda _: True)
    registry.rollback(places)
    live.follow()
    ask_and_watch(live, lambda _: False)

    live.follow()

    assert live.champion.now.version == 1
    assert live.health()["trial"] is None


def test_two_servers_that_see_the_same_breach_move_the_alias_once(places: Places) -> None:
    registry.set_champion(places, 2)
    registry.rollback(places, "guardrail", version=2)

    with pytest.raises(registry.MovedMeanwhile, match="no longer version 2"):
        registry.rollback(places, "guardrail", version=2)
    assert registry.champion(places)[0] == 1  # type: ignore[index]


def test_a_damaged_challenger_is_refused_and_troubles_nobody(
    places: Places, live: Live, break_release: Callable[[int], str]
) -> None:
    break_release(2)
    on_trial(live, places, share=1)

    assert live.feed(3).serving.version == 1
    assert "challenger version 2" in str(live.health()["refused_challenger"])


def test_a_challenger_that_became_champion_challenges_nobody(places: Places, live: Live) -> None:
    on_trial(live, places, share=1)
    registry.set_champion(places, 2)

    live.follow()

    assert live.trials.challenger.now is None
    assert live.feed(3).serving.version == 2


def test_no_request_fails_while_champion_and_canary_move_back_and_forth(places: Places, live: Live) -> None:
    """Every answer is whole, and of the release that ranked it, whichever moment it was asked."""
    done = threading.Event()

    def ask(person: int) -> list[Answer]:
        answers = []
        while not done.is_set():
            answers.append(live.feed(person, limit=3))
        return answers

    registry.set_challenger(places, 2)
    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, person) for person in range(4)]
        for version, share in [(2, 0.0), (1, 0.5)] * 15:
            registry.set_champion(places, version)
            canaries.start(places, share)
            live.follow()
            live.freshen()
        done.set()
        answers = [answer for each in asking for answer in each.result()]

    assert {answer.serving.version for answer in answers} == {1, 2}
    assert {len(answer.funnel.slate) for answer in answers} == {3}
    lost = {component for answer in answers for component in answer.funnel.degraded}
    assert lost <= {UNLOGGED}  # a busy disk is no matter of the swap
    assert live.champion.swaps == 31
