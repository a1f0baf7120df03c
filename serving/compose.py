"""Our feed on one screen: which components there are, in which order. Nothing else puts them together."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Protocol

from feature_repo.guarded_rows import nothing_stored
from feature_repo.log import EventLog
from feature_repo.materialization import read_loaded
from feature_repo.online import MirrorReader, OnlineUsers, VideoMirror
from feature_repo.places import Places
from feature_repo.store import open_guarded_tables
from feature_repo.streams import FeatureStream
from feature_repo.videos import VideoCatalog
from serving import filters, hydrators, readers, scorers, selectors, sources, visibility
from serving.feed import Feed
from serving.looks import Looks
from serving.models import Models, models_of
from serving.policies import Policy
from serving.releases import Release
from serving.state import PeopleState

log = logging.getLogger("serving.compose")


class Mirrors(Protocol):
    """Makes the next mirror of the videos' features: `feature_repo.online.MirrorReader`, or a spoilt one."""

    def read(self, now_us: int) -> VideoMirror: ...


@dataclass(frozen=True)
class World:
    """What the feed reads of the world around it: videos, their features, people's features."""

    catalog: VideoCatalog
    mirror: VideoMirror
    users: readers.Users
    mirrors: Mirrors | None = None
    """Where the next mirror comes from; None where the world stands still."""
    known_us: int | None = None
    """The videos known are those known before it; None where that cannot be said."""
    loaded_us: int | None = None
    """Profiles are those known before it, when the online store was last loaded; None if it never was."""
    spare: readers.Users | None = None
    """Who answers for `users` while they do not; None: they are asked once more."""

    def at(self, now_us: int) -> World:
        """The same world with the videos' features of a later moment."""
        return self if self.mirrors is None else replace(self, mirror=self.mirrors.read(now_us))


def compose(release: Release, world: World) -> Feed:
    """The feed of a release over the world as it is."""
    return assembled(models_of(release, world.catalog), release.policy, world)


def assembled(models: Models, policy: Policy, world: World) -> Feed:
    """The components, as literals, in order."""
    catalog, quotas, topics = world.catalog, policy.quotas, world.catalog.known_topics
    looks = Looks(models.index)
    return Feed(
        readers=[
            readers.OnlineFeatures(world.users, topics),
            readers.SpareFeatures(world.spare or world.users, topics),
            readers.TowerVector(models, catalog),
        ],
        sources=[
            sources.FollowedCreators(catalog, quotas["followed"]),
            sources.FreshUploads(catalog, looks, quotas["fresh"], policy.fresh_hours),
            sources.SimilarToLastWatched(looks, quotas["similar"]),
            sources.Trending(
                world.mirror.video_ids, world.mirror.columns["video_long_watches_3d"], quotas["trending"]
            ),
            sources.TwoTower(looks, quotas["two_tower"]),
        ],
        basics=hydrators.Catalogued(catalog),
        filters=[filters.Eligible(), filters.NotSeen(), filters.NotBlocked()],
        hydrators=[
            hydrators.VideoFeatures(world.mirror),
            visibility.Limits(visibility.Visibility(policy, world.mirror)),
            hydrators.UserFeatures(),
            hydrators.UserTopicFeatures(),
            hydrators.Context(),
            hydrators.History(catalog),
            hydrators.TowerScore(models.index),
            hydrators.Matrix(),
            hydrators.Predictions(models.heads),
        ],
        scorers=[scorers.Value(models.values), scorers.Fit()],
        selector=selectors.selector_of(policy, models.index),
        quotas=quotas,
        most_candidates=policy.most_candidates,
    )


def world_at(
    places: Places, now_us: int, stream: FeatureStream | None = None, videos: EventLog | None = None
) -> World:
    """The world as log and online store have it at a moment, and the stream knows it after; `videos` is the
    log, if what it says of them was read already.
    """
    catalog = VideoCatalog.from_log(videos or EventLog(places.log), known_before_us=now_us)
    tables, spare = open_guarded_tables(places), nothing_stored()
    mirrors, loaded = MirrorReader(tables, catalog.video_ids, catalog.creator_ids), read_loaded(places)
    loaded_us = loaded.until_us if loaded else None
    try:
        mirror = mirrors.read(now_us)
    except Exception:  # a store that is gone: serve defaults until it can be read
        log.exception("the online store could not be read; videos have default features meanwhile")
        mirror = MirrorReader(spare, catalog.video_ids, catalog.creator_ids).read(now_us)
    users, without = OnlineUsers(tables, stream), OnlineUsers(spare, stream)
    return World(catalog, mirror, users, mirrors, now_us, loaded_us, without)


def offline(places: Places, release: Release, now_us: int) -> tuple[Feed, PeopleState]:
    """Feed and memory without a server, as gates and labs use them: `feed.rank(state.query(...), rng)`."""
    world = world_at(places, now_us)
    return compose(release, world), PeopleState.from_log(EventLog(places.log), world.catalog, now_us)
