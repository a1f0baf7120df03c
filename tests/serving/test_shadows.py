"""What a challenger would have shown: compared off the path, and without a trace in log or memory."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from feature_repo.places import Places
from serving import registry
from serving.live import Live
from serving.shadows import WAITING, Asked, Shadow, _rank_correlation, comparison
from tests.serving.builders import Fails, Finds, Says, Scores, a_feed, a_query
from tests.serving.test_trials import spoil


class Busy(Shadow):
    """A shadow whose thread never gets a turn; `drain` is its turn."""

    def _start(self) -> None:
        pass


def shadowed(live: Live, places: Places) -> Busy:
    """A server with a challenger, version 2, which ranks when the test says so."""
    registry.set_challenger(places, 2)
    live.follow()
    shadow = Busy(lambda: live.trials.challenger.now, type(live.meters)().registry)
    live.trials.shadowing = shadow
    return shadow


def a_comparison(ours: str, theirs: str) -> dict[str, float]:
    """Ten videos, better the larger (`up`) or the smaller (`down`) their id, as each of the two sees it."""
    scores = {"up": lambda ids: ids * 1.0, "down": lambda ids: -1.0 * ids}
    feeds = [
        a_feed(
            hydrators=[Says("liking", scores[way])], scorers=[Scores("liking")], sources=[Finds(*range(10))]
        )
        for way in (ours, theirs)
    ]
    champion, challenger = (feed.rank(a_query(), np.random.default_rng(0)) for feed in feeds)
    asked = Asked(a_query(), lambda: np.random.default_rng(0), champion, 1.0)
    return vars(comparison(asked, challenger, 2.0))


def test_a_challenger_that_ranks_alike_shows_the_same() -> None:
    found = a_comparison("up", "up")

    assert (found["overlap"], found["same_first"]) == (1.0, True)
    assert found["rank_correlation"] == pytest.approx(1.0)
    assert found["value"] == found["challenger_value"]


def test_a_challenger_that_ranks_backwards_shows_what_the_champion_likes_least() -> None:
    found = a_comparison("up", "down")

    assert (found["overlap"], found["same_first"]) == (0.0, False)
    assert found["rank_correlation"] == pytest.approx(-1.0)
    assert (found["value"], found["challenger_value"]) == (8.0, 1.0)


def test_the_rank_correlation_is_spearmans() -> None:
    ours, theirs = np.random.default_rng(0).normal(size=(2, 200))

    assert _rank_correlation(ours, theirs) == pytest.approx(spearmanr(ours, theirs).statistic)


def test_what_waits_is_compared_with_the_same_luck(places: Places, live: Live) -> None:
    shadow = shadowed(live, places)
    for person in range(5):
        live.feed(person)

    shadow.drain()

    told = shadow.figures()
    assert told is not None
    assert (told["version"], told["compared"], told["skipped"], told["failed"]) == (2, 5, 0, 0)
    assert 0 <= float(str(told["overlap"])) <= 1


def test_a_full_queue_skips_and_counts_and_delays_nobody(places: Places, live: Live) -> None:
    shadow = shadowed(live, places)

    slates = [live.feed(3).funnel.slate for _ in range(WAITING + 4)]
    shadow.drain()

    told = shadow.figures()
    assert told is not None
    assert (told["compared"], told["skipped"]) == (WAITING, 4)
    assert all(len(slate) == 10 for slate in slates)


def test_a_shadow_leaves_no_trace_in_journal_and_memory(places: Places, live: Live) -> None:
    shadow = shadowed(live, places)
    live.feed(3)
    before = live._journal.events(), live.state.query(3, 1, live.clock()).seen.tolist()

    shadow.drain()

    assert (live._journal.events(), live.state.query(3, 1, live.clock()).seen.tolist()) == before


def test_a_challenger_that_fails_in_the_shadow_is_counted(places: Places, live: Live) -> None:
    shadow = shadowed(live, places)
    spoil(live.trials.challenger, selector=Fails())
    live.feed(3)

    shadow.drain()

    told = shadow.figures()
    assert told is not None
    assert (told["compared"], told["failed"]) == (0, 1)


def test_the_shadows_thread_ranks_by_itself_and_ends_with_the_server(places: Places, live: Live) -> None:
    registry.set_challenger(places, 2)
    live.follow()
    live.feed(3)
    thread = live.trials.shadowing._thread

    live.trials.close()

    assert thread is not None
    assert not thread.is_alive()
