"""Everything that exists and how it truly is, at every moment: a pure function of a scale and a seed.

Units: satisfaction S and pull x are logits (dimensionless): 0 is a random video to an average person, one
standard deviation over random pairs is about 1.2. The equations are those of behaviour.py, their numbers the
world's coefficients. What people then do is days.py's.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from feature_repo.clock import DAY_US, start_of
from feature_repo.scales import Scale, scale_named
from simulator import behaviour, births, friends, interests, uploads
from simulator.births import Floats, Ints, Stage, Vectors
from simulator.coefficients import PUBLISHED, REACTIONS, Coefficients
from simulator.scenarios import CALM, Scenario
from simulator.swipes import Encounters

END_US = start_of(dt.date(2026, 6, 15))
"""The log ends here, whatever the scale: 2026-06-15T00:00Z."""

MOMENTS_PAIRS = 200_000
KEPT_DAYS = 48
"""Days of tastes kept at hand over all worlds; at 100,000 people a day of them takes 6.4 MB."""

LIKE = REACTIONS.index("like")


@dataclass(frozen=True)
class World:
    """Drawn when first looked at. Scale may be given by name; `future_days` go on after the log's end.

    Another `luck_seed` is the same people, tastes and uploads with other luck from the first day on.
    """

    scale: Scale | str
    seed: int
    coefficients: Coefficients = PUBLISHED
    scenario: Scenario = CALM
    future_days: int = 0
    luck_seed: int | None = None

    def __post_init__(self) -> None:
        if self.future_days < 0:
            raise ValueError(f"future_days is {self.future_days}, must be 0 or more.")

    @cached_property
    def size(self) -> Scale:
        return scale_named(self.scale) if isinstance(self.scale, str) else self.scale

    @property
    def luck(self) -> int:
        """What the draws of behaviour are keyed by."""
        return self.seed if self.luck_seed is None else self.luck_seed

    @property
    def days(self) -> int:
        """Days lived, those after the log included."""
        return self.size.days + self.future_days

    @property
    def start_us(self) -> int:
        return END_US - self.size.days * DAY_US

    @property
    def end_us(self) -> int:
        return END_US + self.future_days * DAY_US

    @cached_property
    def people(self) -> births.People:
        """Base rows [size.users]; behind them who a scenario's new market brings until the log's end."""
        drawn = births.draw_people(self.size, self.start_us, self.centres, self._stage(Stage.PEOPLE))
        base = births.with_bots(drawn, self._stage(Stage.BOTS))
        parts = [base]
        for number, dial in enumerate(self.scenario.of_kind("new_market")):
            window = max(dial.from_us, self.start_us), min(dial.until_us, END_US)
            rng = self._stage(Stage.MARKET, number)
            parts.append(births.draw_market(self.size, base, dial["share"], window, self.centres, rng))
        return births.stacked_people(parts)

    @cached_property
    def creators(self) -> births.Creators:
        drawn = births.draw_creators(self.size, self._stage(Stage.CREATORS))
        return births.with_spam(drawn, self._stage(Stage.SPAMMERS))

    @cached_property
    def videos(self) -> uploads.Videos:
        """Potential uploads; supply.py says which appear."""
        studio = uploads.Studio(self.seed, self.size, self.start_us, self.centres, self.creators)
        return uploads.draw_videos(studio, self.scenario.of_kind("spam_wave"), self.future_days)

    @cached_property
    def friends(self) -> friends.Friends:
        """Who a new market brings has friends there only."""
        base = friends.draw_friends(self.size.users, self._stage(Stage.FRIENDS))
        new = len(self.people.user_ids) - self.size.users
        return friends.side_by_side(base, friends.draw_friends(new, self._stage(Stage.MARKET_FRIENDS)))

    @cached_property
    def centres(self) -> Floats:
        """Where each topic lies, unit vectors [24, 16]."""
        return births.topic_centres(self._stage(Stage.CENTRES))

    @property
    def home_centres(self) -> Floats:
        """The centre of each creator's home topic, [creators, 16]."""
        return self.centres[self.creators.home_topic]

    def day_of(self, now_us: ArrayLike) -> Ints:
        """The lived day of each moment; the first or the last day for moments outside the world."""
        day = (np.asarray(now_us, dtype=np.int64) - self.start_us) // DAY_US
        return np.asarray(np.clip(day, 0, self.days - 1))

    def mix(self, day: int) -> Vectors:
        """Everybody's shares of topics on this day, [n, 24]."""
        start_us = self.start_us + day * DAY_US
        shifts = self.scenario.of_kind("interest_shift")
        gain = interests.tilt(self.coefficients, self.seed, day, shifts, start_us)
        return interests.mixes(_walk(self, day), gain)

    def taste(self, day: int) -> Vectors:
        """Everybody's taste on this day, unit vectors [n, 16]; not to be written to."""
        return _taste(self, day)

    @cached_property
    def relevance_moments(self) -> tuple[float, float]:
        """Mean and standard deviation of <taste, embedding> over random base pairs on day 0."""
        rng = self._stage(Stage.MOMENTS)
        people = rng.integers(0, self.size.users, MOMENTS_PAIRS)
        videos = rng.integers(0, uploads.base_count(self.size), MOMENTS_PAIRS)
        found = _dots(self.taste(0)[people], self.videos.embedding[videos])
        return float(found.mean()), float(found.std())

    def relevance(self, people: ArrayLike, videos: ArrayLike, day: ArrayLike) -> Floats:
        """Standardised <taste, embedding> of rows of people and videos on these days, after broadcasting."""
        rows, of, on = np.broadcast_arrays(np.asarray(people), np.asarray(videos), np.asarray(day))
        found = np.empty(rows.shape)
        for each in np.unique(on):
            at = on == each
            found[at] = _dots(self.taste(int(each))[rows[at]], self.videos.embedding[of[at]])
        mean, deviation = self.relevance_moments
        return np.asarray((found - mean) / deviation)

    def satisfaction(self, user_ids: ArrayLike, video_ids: ArrayLike, now_us: ArrayLike = END_US) -> Floats:
        """S of each (user, video) after broadcasting, at that moment."""
        return self.encounters(
            self.rows_of_people(user_ids), self.rows_of_videos(video_ids), now_us
        ).satisfaction

    def pull(
        self, user_ids: ArrayLike, video_ids: ArrayLike, now_us: ArrayLike, weariness: ArrayLike = 0.0
    ) -> Floats:
        """x of each (user, video) after broadcasting, at that moment; weariness as behaviour.py has it."""
        return self.encounters(
            self.rows_of_people(user_ids), self.rows_of_videos(video_ids), now_us, weariness
        ).pull

    def label_probabilities(
        self, user_ids: ArrayLike, video_ids: ArrayLike, now_us: ArrayLike, weariness: ArrayLike = 0.0
    ) -> dict[str, Floats]:
        """Bayes probability, given the pair is watched, of click, long_view and every reaction."""
        people, videos = self.rows_of_people(user_ids), self.rows_of_videos(video_ids)
        meeting = self.encounters(people, videos, now_us, weariness)
        c, seconds = self.coefficients, meeting.duration_ms / 1000.0
        long_view = behaviour.reach_probability(c, meeting.pull, seconds, behaviour.LONG_VIEW_S)
        chances = {
            "click": behaviour.reach_probability(c, meeting.pull, seconds, behaviour.CLICK_S),
            "long_view": long_view,
        }
        for number, reaction in enumerate(REACTIONS):
            without, along = (self.reacting(number, meeting, happened, now_us) for happened in (0.0, 1.0))
            chances[reaction] = (1.0 - long_view) * without + long_view * along
        return chances

    def encounters(
        self, people: ArrayLike, videos: ArrayLike, now_us: ArrayLike, weariness: ArrayLike = 0.0
    ) -> Encounters:
        """The latent meeting of people and videos (rows, not ids) after broadcasting."""
        rows, of, now, weary = np.broadcast_arrays(
            np.asarray(people), np.asarray(videos), np.asarray(now_us), np.asarray(weariness)
        )
        c, relevance = self.coefficients, self.relevance(rows, of, self.day_of(now))
        quality, clickbait = self.videos.quality[of], self.videos.clickbait[of]
        fresh = behaviour.freshness((now - self.videos.uploaded_us[of]) / DAY_US, self.videos.evergreen[of])
        pull = behaviour.pull(c, relevance, quality, self.people.leniency[rows], clickbait, fresh, weary)
        return Encounters(
            pull=np.asarray(pull + self._viral(self.videos.topics[of], now)),
            satisfaction=np.asarray(behaviour.satisfaction(c, relevance, quality, clickbait)),
            clickbait=clickbait,
            duration_ms=self.videos.duration_ms[of],
            topics=self.videos.topics[of],
            warmth=self.people.warmth[rows],
            violation=self.videos.violation[of],
            patience=self.people.patience[rows],
        )

    def rows_of_people(self, user_ids: ArrayLike) -> Ints:
        return _rows(user_ids, births.FIRST_USER, len(self.people.user_ids), "user")

    def rows_of_videos(self, video_ids: ArrayLike) -> Ints:
        return _rows(video_ids, births.FIRST_VIDEO, len(self.videos.video_ids), "video")

    def _viral(self, topics: Ints, now_us: Ints) -> Floats:
        """What a scenario's viral topics pull more at these moments."""
        more = np.zeros(topics.shape)
        for dial in self.scenario.of_kind("viral"):
            more += dial["logits"] * ((topics == int(dial["topic"])) & dial.holds_at(now_us))
        return more

    def reacting(self, number: int, meeting: Encounters, long_view: float, now_us: ArrayLike) -> Floats:
        """P(reaction | long view or not), a scenario's odds of a like included."""
        p: Floats = behaviour.reaction_probability(
            self.coefficients, number, meeting.satisfaction, long_view, meeting.warmth, meeting.violation
        )
        if number != LIKE:
            return p
        odds = np.ones(p.shape)
        for dial in self.scenario.of_kind("like_times"):
            odds = np.where(dial.holds_at(np.asarray(now_us)), dial["times"], odds)
        return np.asarray(behaviour.at_odds(p, odds))

    def _stage(self, stage: Stage, *parts: int) -> np.random.Generator:
        return births.stage_of(self.seed, stage, *parts)


@lru_cache(maxsize=4)
def _walk(world: World, day: int) -> Vectors:
    """Log interests [n, 24] of a day, from those of the day before."""
    if day == 0:
        return world.people.mix
    before = _walk(world, day - 1)
    return interests.walked(world.coefficients, before, world.seed, world.people.user_ids, day - 1)


@lru_cache(maxsize=KEPT_DAYS)
def _taste(world: World, day: int) -> Vectors:
    return interests.tastes(world.mix(day), world.centres, world.people.own_taste)


def _rows(ids: ArrayLike, first: int, count: int, kind: str) -> Ints:
    rows = np.asarray(ids, dtype=np.int64) - first
    if rows.size and (rows.min() < 0 or rows.max() >= count):
        raise KeyError(f"{kind} ids run from {first} to {first + count - 1} in this world; found another.")
    return rows


def _dots(left: NDArray[np.float32], right: NDArray[np.float32]) -> Floats:
    return np.asarray(np.einsum("...k,...k->...", left, right, dtype=np.float64))
