"""Which potential uploads appear: seen creators post more, starved ones fade, moderation takes away."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from feature_repo.clock import DAY_US, HOUR_US, NEVER_US
from simulator import supply, uploads
from simulator.births import FIRST_VIDEO
from simulator.coefficients import PUBLISHED
from simulator.scenarios import CALM, Dial
from simulator.uploads import MOST_ENERGY
from simulator.worlds import World

Floats = np.ndarray


@pytest.fixture(scope="module")
def laptop() -> World:
    return World("laptop", 7)


def energy(world: World, level: float = 1.0) -> Floats:
    return np.full(len(world.creators.fans), level)


def a_wave(times: float, days: tuple[float, float] = (10, 12), future_days: int = 0) -> World:
    start_us = World("tiny", 7).start_us
    first, last = (start_us + round(day * DAY_US) for day in days)
    dial = Dial("spam_wave", first, last, (("times", times),))
    scenario = replace(CALM, name="wave", dials=(dial,), start_us=start_us)
    return World("tiny", 7, scenario=scenario, future_days=future_days)


def everything_public(world: World) -> np.ndarray:
    days = [supply.published(world, day, energy(world)) for day in range(world.days)]
    return np.concatenate([supply.published_before(world), *days])


def same_base(one: World, other: World, count: int) -> bool:
    pairs = [(getattr(one.videos, f.name), getattr(other.videos, f.name)) for f in fields(one.videos)]
    return all(bool((left[:count] == right[:count]).all()) for left, right in pairs)


def test_a_neutral_world_brings_out_about_its_scales_videos(laptop: World) -> None:
    public = everything_public(laptop)

    assert len(public) == pytest.approx(laptop.size.videos, rel=0.05)
    assert len(np.unique(public)) == len(public)


def test_rows_appear_in_scheduled_order_on_their_day(laptop: World) -> None:
    found = laptop.videos.uploaded_us[supply.published(laptop, 3, energy(laptop))]

    assert (np.diff(found) >= 0).all()
    assert (laptop.day_of(found) == 3).all()


def test_more_energy_only_ever_adds_uploads(laptop: World) -> None:
    few, usual, most = (
        set(supply.published(laptop, 3, energy(laptop, at))) for at in (0.3, 1.0, MOST_ENERGY)
    )

    assert few < usual < most
    assert len(few) == pytest.approx(0.3 * len(usual), rel=0.35)


def test_at_most_energy_everything_appears_but_what_is_caught(laptop: World) -> None:
    of = laptop.videos
    today = laptop.day_of(of.uploaded_us) == 3
    today &= of.uploaded_us >= laptop.start_us

    found = supply.published(laptop, 3, energy(laptop, MOST_ENERGY))

    assert found.tolist() == np.flatnonzero(today & ~of.caught).tolist()


def test_energy_stays_at_neutral_reach_and_goes_where_reach_leads() -> None:
    c, reach = PUBLISHED, np.asarray([0.0, 10.0, 1e12])

    heart = supply.heart(c, reach, 10.0)
    after = supply.next_energy(c, np.ones(3), reach, 10.0)

    assert heart == pytest.approx([c.energy_fade, 1.0, c.energy_boost])
    assert after == pytest.approx(c.energy_memory + (1 - c.energy_memory) * heart)


def test_energy_rises_with_reach_and_never_beyond_the_most() -> None:
    found = supply.next_energy(PUBLISHED, np.full(50, MOST_ENERGY), np.linspace(0.0, 1e6, 50), 10.0)

    assert (np.diff(found) > 0).all()
    assert found.max() <= MOST_ENERGY


def test_moderation_catches_most_and_takes_down_the_rest_within_hours(laptop: World) -> None:
    of = laptop.videos
    violating = of.violation == 1.0
    late = violating & ~of.caught
    hours = (of.removed_us[late] - of.uploaded_us[late]) / HOUR_US

    assert of.caught[violating].mean() == pytest.approx(0.87, abs=0.05)
    assert not of.caught[~violating].any()
    assert (of.removed_us[~violating] == NEVER_US).all()
    assert hours.min() > 0.0
    assert 3.0 < np.median(hours) < 12.0


def test_half_of_spam_violates_and_little_else(laptop: World) -> None:
    spam = laptop.creators.spam[laptop.videos.creators]

    assert laptop.videos.violation[spam].mean() == pytest.approx(0.5, abs=0.06)
    assert laptop.videos.violation[~spam].mean() == pytest.approx(0.008, abs=0.003)
    assert laptop.videos.clickbait[spam].mean() > 1.5


def test_removed_are_the_public_rows_taken_down_that_day(laptop: World) -> None:
    public = everything_public(laptop)
    gone = np.concatenate([supply.removed(laptop, day, public) for day in range(-14, laptop.days)])

    of = laptop.videos.removed_us[public]

    assert sorted(gone) == sorted(public[of < laptop.end_us])
    assert set(laptop.videos.violation[gone]) == {1.0}


def test_what_was_public_before_the_log_was_uploaded_before_it(laptop: World) -> None:
    rows = supply.published_before(laptop)

    assert (laptop.videos.uploaded_us[rows] < laptop.start_us).all()
    assert len(rows) == pytest.approx(laptop.size.videos / 2, rel=0.05)


def test_a_spam_wave_appends_uploads_of_spammers_within_its_hours() -> None:
    calm, wave = World("tiny", 7), a_wave(20.0, (10.25, 11.5))
    more = slice(len(calm.videos.video_ids), None)

    moments = (wave.videos.uploaded_us[more] - wave.start_us) / DAY_US

    assert same_base(calm, wave, len(calm.videos.video_ids))
    assert len(moments) > 10
    assert moments.min() >= 10.25
    assert moments.max() < 11.5
    assert wave.creators.spam[wave.videos.creators[more]].all()
    assert (wave.videos.urge[more] == 0.0).all()


def test_a_spam_wave_multiplies_the_spammers_uploads() -> None:
    calm, wave = a_wave(1.0, (0, 14)), a_wave(11.0, (0, 14))

    usual, more = (int(w.creators.spam[w.videos.creators[everything_public(w)]].sum()) for w in (calm, wave))
    before = int(calm.creators.spam[calm.videos.creators[supply.published_before(calm)]].sum())

    assert (more - before) / (usual - before) == pytest.approx(11.0, rel=0.35)


def test_a_spam_dial_at_zero_silences_the_spammers_in_its_window() -> None:
    silent = a_wave(0.0)

    days = [supply.published(silent, day, energy(silent)) for day in range(silent.days)]
    spam = [int(silent.creators.spam[silent.videos.creators[rows]].sum()) for rows in days]

    assert spam[10:12] == [0, 0]
    assert sum(spam) > 0


def test_future_days_append_uploads_at_the_same_rate() -> None:
    calm, longer = World("laptop", 7), World("laptop", 7, future_days=7)
    count = len(calm.videos.video_ids)

    added = len(longer.videos.video_ids) - count

    assert same_base(calm, longer, count)
    assert added == pytest.approx(7 * MOST_ENERGY * 5_000 / 14, rel=0.08)
    assert longer.videos.uploaded_us[count:].min() >= calm.end_us
    assert longer.videos.uploaded_us.max() < longer.end_us


def test_a_longer_future_keeps_the_shorter_one_and_the_waves_rows() -> None:
    wave, short, long = a_wave(20.0), a_wave(20.0, future_days=2), a_wave(20.0, future_days=5)

    assert same_base(wave, short, len(wave.videos.video_ids))
    assert same_base(short, long, len(short.videos.video_ids))
    assert (long.videos.video_ids == FIRST_VIDEO + np.arange(len(long.videos.video_ids))).all()


def test_base_rows_are_in_scheduled_order(laptop: World) -> None:
    assert len(laptop.videos.video_ids) == uploads.base_count(laptop.size)
    assert (np.diff(laptop.videos.uploaded_us) >= 0).all()
