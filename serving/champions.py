"""The release being served: it follows the champion alias, and swaps whole or not at all.

A release that cannot be read is refused once, with the two hashes that differ, and the one before it keeps
serving. When the online store was written anew, the world behind the same release is read again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from feature_repo.materialization import read_loaded
from feature_repo.places import Places
from serving import registry
from serving.clocks import Clock
from serving.compose import World, assembled
from serving.feed import Feed
from serving.heads import Heads
from serving.models import Models, heads_of, models_of
from serving.releases import DamagedRelease, Release, read_release
from serving.state import PeopleState

log = logging.getLogger("serving.champions")

ReadWorld = Callable[[], World]
"""The world as log and online store have it now."""

NO_RELEASE = "There is no champion release yet. Run `make train`; the server takes it up by itself."


class NoRelease(Exception):
    """Nothing can be ranked yet."""


@dataclass(frozen=True)
class Serving:
    """One release in service, with the world it ranks; replaced as a whole."""

    version: int
    release: Release
    world: World
    models: Models
    feed: Feed
    loads: int
    """How often the online store had been loaded when `world` was read."""


@dataclass(frozen=True)
class Refusal:
    """A champion that must not be served, and why."""

    version: int
    reason: str
    retry_s: float
    """Monotonic moment of the next look: a damaged release may be repaired, a store may be materialized."""


RETRY_S = 10


class Champion:
    """Holds what is served now. `follow` is called by one thread; reading `now` is a single reference."""

    def __init__(self, places: Places, read_world: ReadWorld, state: PeopleState, clock: Clock) -> None:
        self._places, self._read_world, self._state, self._clock = places, read_world, state, clock
        self._lock = threading.Lock()
        self._alias = registry.Alias(places, registry.CHAMPION)
        self._serving: Serving | None = None
        self._prepared: dict[str, Heads] = {}
        """Heads that are made and not served yet, by release."""
        self.refusal: Refusal | None = None
        self.swaps = 0
        self.refusals = 0

    @property
    def now(self) -> Serving:
        """What is served at this moment; `NoRelease` while there is nothing."""
        serving = self._serving
        if serving is None:
            raise NoRelease(self.refusal.reason if self.refusal else NO_RELEASE)
        return serving

    @property
    def is_ready(self) -> bool:
        return self._serving is not None

    def renew(self, now_us: int) -> None:
        """Serve the videos' features as the online store has them now; a request keeps what it began with."""
        with self._lock:
            serving = self._serving
            if serving is None:
                return
            world = serving.world.at(now_us)
            feed = assembled(serving.models, serving.release.policy, world)
            self._serving = replace(serving, world=world, feed=feed)

    def follow(self) -> bool:
        """Look at the alias once; True if something else is served since. Cheap when nothing moved."""
        with self._lock:
            found = self._alias.now()
            if found is None:
                return False
            version, directory = found
            if self._is_refused(version):
                return False
            if self._serving is not None and self._serving.version == version:
                self.refusal = None
                return self._refreshed(self._serving)
            return self._swapped(version, directory)

    def prepare(self) -> None:
        """Make the champion's heads before there is a world to serve; what is wrong with it `follow` says."""
        found = self._alias.now()
        if found is None:
            return
        try:
            release = read_release(found[1])
            self._prepared = {release.release_id: heads_of(release)}
        except Exception:  # whatever it is, `follow` meets it again
            log.info("version %d could not be prepared", found[0], exc_info=True)

    def _heads_of(self, release: Release) -> Heads:
        prepared, self._prepared = self._prepared, {}
        return prepared.get(release.release_id) or heads_of(release)

    def _is_refused(self, version: int) -> bool:
        refusal = self.refusal
        return refusal is not None and refusal.version == version and time.monotonic() < refusal.retry_s

    def _swapped(self, version: int, directory: Path) -> bool:
        started = time.perf_counter()
        try:
            release = read_release(directory)
            self._take(self._served(version, release))
        except DamagedRelease as damage:
            self._refuse(version, str(damage))
            return False
        except Exception as error:  # whatever is wrong with the new one, the old one must go on
            log.exception("could not take up version %d", version)
            self._refuse(version, f"version {version} could not be taken up: {error}")
            return False
        log.info(
            "serving %s (version %d) after %.1f s", release.release_id, version, time.perf_counter() - started
        )
        return True

    def _refreshed(self, serving: Serving) -> bool:
        """Read the world again if the online store was loaded anew since."""
        if self._loads() == serving.loads:
            return False
        self._take(self._served(serving.version, serving.release))
        log.info("read the world again: the online store was loaded anew")
        return True

    def _served(self, version: int, release: Release) -> Serving:
        loads = self._loads()
        with ThreadPoolExecutor(1) as other:
            heads = other.submit(self._heads_of, release)
            world = self._read_world()
        models = models_of(release, world.catalog, heads.result())
        return Serving(version, release, world, models, assembled(models, release.policy, world), loads)

    def _take(self, serving: Serving) -> None:
        """Rank once for nobody, so that no real request pays for what only the first one pays; then swap."""
        self._state.over(serving.world.catalog)
        serving.feed.rank(self._state.query(0, 0, self._clock()), np.random.default_rng(0))
        self._serving, self.refusal = serving, None
        self.swaps += 1

    def _refuse(self, version: int, reason: str) -> None:
        told = self.refusal is not None and self.refusal.reason == reason
        self.refusal = Refusal(version, reason, time.monotonic() + RETRY_S)
        if told:
            return
        self.refusals += 1
        kept = f"{self._serving.release.release_id} keeps serving" if self._serving else "nothing is served"
        log.error("refused champion version %d: %s %s.", version, reason, kept)

    def _loads(self) -> int:
        found = read_loaded(self._places)
        return found.loads if found else 0
