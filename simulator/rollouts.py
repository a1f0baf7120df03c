"""What a policy does to people over days: whole worlds lived under it, with the same people and luck.

Enumeration sums over everything that can happen; over days that is too much, so worlds are lived. Two of them
with the same seed share every birth and every draw (common random numbers), and their difference per person
is the policy's doing. A policy here is a slates.Policy, lived at the speed of the compiled day.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from simulator.days import CHUNK, Lived, before_the_log, days, scene_of, shared_out
from simulator.enumeration import MOST_SLATES, Softmax, policy_worth, slates_there_are
from simulator.exposures import EXPOSURE, Exposures
from simulator.luck import Floats, Purpose, gumbel, keys, uniforms
from simulator.nights import Memory, dawned, slept
from simulator.person_days import Coming
from simulator.slates import DEFAULT, Policy
from simulator.truth import WALK_SESSION, SlatePolicy, walk
from simulator.visits import SESSIONS_PER_DAY, visits
from simulator.worlds import END_US, World

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

MONTH = 28
"""Long-term value is expected active days in the next 28."""
ARM_SALT = 0x5EED


@dataclass(frozen=True)
class Totals:
    """What became of each person over some days, arrays [people] by row; bots are people too here."""

    days: int
    satisfaction: Floats  # summed over what was seen, or tapped on the grid
    impressions: Ints  # how much that was
    active_days: Ints

    def taken(self, people: Mask) -> Totals:
        return Totals(
            self.days, self.satisfaction[people], self.impressions[people], self.active_days[people]
        )


def totals(world: World, living: Iterable[Lived]) -> Totals:
    """Add up days as they are lived."""
    n, lived_days = len(world.people.user_ids), 0
    satisfaction, impressions, active = np.zeros(n), np.zeros(n, np.int64), np.zeros(n, np.int64)
    for day in living:
        seen, lived_days = day.watched, lived_days + 1
        satisfaction += np.bincount(seen["person"], seen["satisfaction"], minlength=n)
        impressions += np.bincount(seen["person"], minlength=n)
        active[np.unique(day.rows["person"])] += 1
    return Totals(lived_days, satisfaction, impressions, active)


def counted(world: World, by_us: int) -> Mask:
    """Who is asked about: people who had joined by this moment, and no bots; [people]."""
    return ~world.people.bot & (world.people.joined_us < by_us)


def after_the_log(world: World, policy: Policy = DEFAULT, workers: int = 1) -> Memory:
    """The morning after the log's last day, lived under the policy that made it."""
    memory, living = past(world, policy, workers)
    for _ in living:
        pass
    return memory


def past(world: World, policy: Policy = DEFAULT, workers: int = 1) -> tuple[Memory, Iterator[Lived]]:
    """(memory, the log's days to be lived): lived through, they leave the memory of the morning after."""
    memory = before_the_log(world)
    return memory, islice(days(world, policy, workers, memory), world.size.days)


def branch(world: World, policy: Policy, memory: Memory, workers: int = 1) -> Iterator[Lived]:
    """The days after the log under this policy; the memory given stays as it is."""
    if world.future_days < 1:
        raise ValueError(f"future_days is {world.future_days}, must be 1 or more for days after the log.")
    return days(world, policy, workers, deepcopy(memory), world.size.days)


def arms(world: World, share: float = 0.5) -> Mask:
    """Who is treated in an experiment by user, keyed by seed and person; [people]."""
    luck = keys(world.seed ^ ARM_SALT, world.people.user_ids)
    return np.asarray(uniforms(luck, Purpose.EXPLORE) < share)


def experiment(world: World, control: Policy, treated: Policy, arm: Mask) -> Iterator[Lived]:
    """Days in which some get one policy and the rest another: one world, one corpus, one set of counts."""
    memory = before_the_log(world)
    for day in range(world.days):
        published = dawned(world, day, memory)
        coming = visits(world, day, memory.habit, memory.invited)
        parts = [
            _one_arm(world, policy, day, memory, _of_them(coming, who))
            for policy, who in ((control, ~arm), (treated, arm))
        ]
        rows = np.concatenate([np.empty(0, EXPOSURE), *parts])
        rows = rows[np.argsort(rows["person"], kind="stable")]
        slept(world, control, day, rows, memory)
        yield Lived(day, rows, published)


def _one_arm(world: World, policy: Policy, day: int, memory: Memory, coming: Coming) -> Exposures:
    scene = scene_of(world, policy, day, memory, coming)
    return shared_out(scene, day * SESSIONS_PER_DAY, len(world.videos.video_ids), 1, CHUNK)


def _of_them(coming: Coming, who: Mask) -> Coming:
    at = np.flatnonzero(who[coming.people])
    return Coming(coming.people[at], coming.counts[at], coming.starts_us[at])


def softmax_policy(world: World, scores: Floats, corpus: Ints, rule: Softmax, repeat: int = 0) -> SlatePolicy:
    """Slots by softmax over finite scores [people, corpus], or explored; keyed chance per request."""

    def slate(user_id: int, seen: Ints, _now_us: int, limit: int) -> Ints:
        of = keys(world.luck, user_id, WALK_SESSION + repeat, len(seen))
        free, chosen = ~np.isin(corpus, seen), list[int]()
        lots = scores[int(world.rows_of_people(user_id))] / rule.temperature
        lots = lots + gumbel(uniforms(of, Purpose.GUMBEL, corpus))
        for slot in range(min(limit, int(free.sum()))):
            if uniforms(of, Purpose.EXPLORE, slot)[0] < rule.explored_share:
                left = np.flatnonzero(free)
                best = int(left[int(uniforms(of, Purpose.EXPLORED_VIDEO, slot)[0] * len(left))])
            else:
                best = int(np.argmax(np.where(free, lots, -np.inf)))
            chosen.append(best)
            free[best] = False
        return corpus[chosen]

    return slate


@dataclass(frozen=True)
class SlateValue:
    """What one slate of a policy is worth to each person, [people]; errors are standard, 0 where exact."""

    length: Floats
    satisfaction: Floats
    length_error: Floats
    satisfaction_error: Floats
    exact: bool


def worth_of(
    world: World, people: Ints, scores: Floats, corpus: Ints, rule: Softmax, repeats: int = 200
) -> SlateValue:
    """Of one slate at the log's end: enumerated if the slates are few, else walked with common luck."""
    if slates_there_are(len(corpus), rule.slots) > MOST_SLATES:
        return walked_worth(world, people, scores, corpus, rule, repeats)
    rows = world.rows_of_people(people)
    of = world.encounters(rows[:, None], world.rows_of_videos(corpus), END_US)
    found, none = policy_worth(world.coefficients, of, scores[rows], rule), np.zeros(len(rows))
    return SlateValue(found.length, found.satisfaction, none, none, exact=True)


def walked_worth(
    world: World, people: Ints, scores: Floats, corpus: Ints, rule: Softmax, repeats: int = 200
) -> SlateValue:
    """The same by walking each person `repeats` times; two rules walked alike meet the same luck."""
    lengths, sums = np.empty((2, repeats, len(people)))
    for repeat in range(repeats):
        policy = softmax_policy(world, scores, corpus, rule, repeat)
        found = walk(world, policy, people, corpus=corpus, limit=rule.slots, most=rule.slots, repeat=repeat)
        lengths[repeat], sums[repeat] = found.session_length, found.satisfaction
    length_error, sum_error = (each.std(axis=0, ddof=1) / np.sqrt(repeats) for each in (lengths, sums))
    return SlateValue(lengths.mean(axis=0), sums.mean(axis=0), length_error, sum_error, exact=False)
