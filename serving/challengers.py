"""The release that would be champion: it follows its alias as the champion does, over the champion's world.

A challenger that cannot be taken up troubles nobody: it is refused, said so, and looked at again later.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from feature_repo.places import Places
from serving import registry
from serving.champions import RETRY_S, Refusal, Serving
from serving.compose import World, assembled
from serving.models import models_of
from serving.releases import read_release
from serving.state import PeopleState

log = logging.getLogger("serving.challengers")


class Challenger:
    """Holds the challenger, ready to rank. `follow` is called by one thread; reading `now` is a reference."""

    def __init__(self, places: Places, state: PeopleState) -> None:
        self._alias, self._state = registry.Alias(places, registry.CHALLENGER), state
        self.now: Serving | None = None
        self.refusal: Refusal | None = None

    def follow(self, champion: Serving) -> None:
        """Look at the alias once; a challenger that is champion by now challenges nobody."""
        found = self._alias.now()
        if found is None or found[0] == champion.version:
            self.now = self.refusal = None
        elif not self._is_refused(found[0]):
            self.now = self._over(champion.world, *found)

    def _over(self, world: World, version: int, directory: Path) -> Serving | None:
        now = self.now
        if now is None or now.version != version or now.world.catalog is not world.catalog:
            return self._taken_up(world, version, directory)
        if now.world is world:
            return now
        return replace(now, world=world, feed=assembled(now.models, now.release.policy, world))

    def _taken_up(self, world: World, version: int, directory: Path) -> Serving | None:
        try:
            release = read_release(directory)
            models = models_of(release, world.catalog)
            taken = Serving(version, release, world, models, assembled(models, release.policy, world), 0)
            taken.feed.rank(self._state.query(0, 0, world.mirror.read_at_us), np.random.default_rng(0))
        except Exception as error:  # whatever is wrong with it, the champion must go on
            log.exception("could not take up challenger version %d", version)
            self.refusal = Refusal(
                version, f"challenger version {version}: {error}", time.monotonic() + RETRY_S
            )
            return None
        self.refusal = None
        log.info("challenger is %s (version %d)", release.release_id, version)
        return taken

    def _is_refused(self, version: int) -> bool:
        refusal = self.refusal
        return refusal is not None and refusal.version == version and time.monotonic() < refusal.retry_s
