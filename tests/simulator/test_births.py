"""People and creators are drawn once; bots, spam and a new market never change anybody else."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from feature_repo.clock import DAY_US
from feature_repo.scales import scale_named
from simulator import births
from simulator.births import COUNTRIES, NEW_COUNTRY, Stage, stage_of
from simulator.friends import MOST_FRIENDS, draw_friends, side_by_side
from simulator.scenarios import CALM, Dial
from simulator.worlds import World


def a_market(share: float, first_day: int = 8) -> World:
    calm = World("tiny", 7)
    dial = Dial("new_market", calm.start_us + first_day * DAY_US, values=(("share", share),))
    return World("tiny", 7, scenario=replace(CALM, name="market", dials=(dial,), start_us=calm.start_us))


def test_one_account_in_a_hundred_is_a_bot_and_nobody_else_changes() -> None:
    scale = scale_named("laptop")
    people = births.draw_people(
        scale, 0, births.topic_centres(stage_of(7, Stage.CENTRES)), stage_of(7, Stage.PEOPLE)
    )

    marked = births.with_bots(people, stage_of(7, Stage.BOTS))

    assert marked.bot.sum() == 50
    assert (replace(marked, bot=people.bot).leniency == people.leniency).all()


def test_spammers_are_few_and_upload_ten_times_the_mean_creators_share() -> None:
    creators = World("laptop", 7).creators

    usual = births.PRODUCTIVITY_TAIL / (births.PRODUCTIVITY_TAIL - 1)

    assert creators.spam.sum() == 6
    assert (creators.productivity[creators.spam] == 10 * usual).all()


def test_every_scale_has_a_bot_and_a_spammer() -> None:
    world = World("tiny", 8)

    assert world.people.bot.any()
    assert world.creators.spam.any()


def test_famous_creators_are_better_on_the_whole() -> None:
    creators = World("laptop", 7).creators

    found = np.corrcoef(np.log(creators.fans), creators.quality)[0, 1]

    assert found == pytest.approx(births.FAME_QUALITY, abs=0.09)


def test_a_mix_of_topics_sums_to_one_and_misses_none() -> None:
    shares = np.exp(World("tiny", 7).people.mix)

    assert np.abs(shares.sum(axis=1) - 1.0).max() < 0.003
    assert shares.min() > 0.99 * births.LEAST_SHARE


def test_a_new_market_appends_people_and_leaves_the_others_as_they_were() -> None:
    calm, market = World("tiny", 7).people, a_market(0.4).people

    for field in fields(calm):
        column = getattr(market, field.name)
        assert (column[:400] == getattr(calm, field.name)).all(), field.name
    assert (market.user_ids == np.arange(1, len(column) + 1)).all()


def test_a_new_market_is_its_share_of_those_who_join_from_then_on() -> None:
    market = a_market(0.4)
    later = market.people.joined_us >= market.start_us + 8 * DAY_US
    new = market.people.country == NEW_COUNTRY

    assert new[later].mean() == pytest.approx(0.4, abs=0.02)
    assert not new[~later].any()
    assert market.people.joined_us.max() < market.end_us
    assert (World("tiny", 7).people.country < COUNTRIES).all()


def test_a_new_market_likes_other_topics() -> None:
    people = a_market(0.9, first_day=0).people
    new = people.country == NEW_COUNTRY

    ours, theirs = (np.exp(people.mix[rows]).mean(axis=0) for rows in (~new, new))

    assert np.corrcoef(ours, theirs)[0, 1] < 0.0


def test_a_market_of_everybody_or_nobody_is_still_a_number_of_people() -> None:
    joining = (World("tiny", 7).people.joined_us >= World("tiny", 7).start_us).sum()

    assert len(a_market(1.0, first_day=0).people.user_ids) == 400 + 9 * joining
    assert len(a_market(0.0).people.user_ids) == 400


def test_friendship_is_mutual_and_nobody_befriends_themselves() -> None:
    friends = draw_friends(500, np.random.default_rng(7))

    pairs = {(person, int(friend)) for person in range(500) for friend in friends.of(person)}

    assert pairs == {(friend, person) for person, friend in pairs}
    assert all(person != friend for person, friend in pairs)
    assert len(pairs) == len(friends.rows)


def test_people_have_about_four_friends_and_at_most_fifty() -> None:
    friends = draw_friends(20_000, np.random.default_rng(7))

    degrees = np.diff(friends.starts)

    assert np.median(degrees) == 4
    assert degrees.max() <= MOST_FRIENDS
    assert np.log(degrees[degrees > 0]).std() == pytest.approx(1.0, abs=0.12)


@pytest.mark.parametrize("people", [0, 1, 2])
def test_the_smallest_graphs_are_graphs(people: int) -> None:
    friends = draw_friends(people, np.random.default_rng(7))

    assert len(friends.starts) == people + 1


def test_two_graphs_side_by_side_share_no_edge() -> None:
    here, there = (draw_friends(100, np.random.default_rng(seed)) for seed in (7, 8))

    both = side_by_side(here, there)

    assert (both.of(42) == here.of(42)).all()
    assert (both.of(142) == 100 + there.of(42)).all()
