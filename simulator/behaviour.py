"""What makes a person watch, react, leave and come back: every equation of the world, and nothing else.

Pure functions of latents, seconds and uniform draws, elementwise over arrays of one shape. The thumb follows
*pull*, the heart follows *satisfaction*, and clickbait has opposite signs in the two. The structure is a
hurdle model of watch time and logistic signals; constants called "solved" are what makes every row of the
card (targets.py) hold at `laptop`, by least squares on the card's own figures, in units of their bands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr

from simulator.luck import Floats, exponentials, normals

CLICK_S = 7.0
LONG_VIEW_S = 18.0
"""KuaiRand's label rules: a valid play lasts min(7 s, duration), a long view min(18 s, duration)."""

# Signs and sizes are a design choice: taste first, then quality, and clickbait that pulls and disappoints.
PULL = {"relevance": 1.0, "quality": 0.55, "leniency": 0.51, "clickbait": 0.35, "freshness": 0.40}
SATISFACTION = {"relevance": 0.8, "quality": 0.6, "clickbait": -0.7}

ZERO = (-1.275, -0.62)
SKIP = (1.965, -1.375)
"""Logits of "gone at once" and of "skipped after a glance": (intercept, slope in pull). Solved: zero-play
11.7 %, click, and long_view of .32 under the logging policy against .08 at random."""

GLANCE_S = 1.85
INTENT = (0.265, 0.51, 0.395, 0.82)
"""log intended seconds = a + b pull + c log duration + d noise. Solved, like GLANCE_S and the share replayed:
mean and median play of 21.5 and 4.6 s, correlation of play and click with long_view."""

REPLAY_CHANCE, REPLAY_SHARE, LONGEST_SHARE = 0.45, 0.45, 2.5

LEAVE = (-1.60, -0.45)
"""Hazard of leaving: (intercept, slope in felt pull); the intercept gives 1.1 M impressions at `laptop`."""
BOREDOM = 0.55
"""A repeated topic among the last six counts as this much lost pull when deciding to stay (after SARDINE)."""

HABIT_MEMORY, HABIT_SLOPE, HABIT_NEUTRAL = 0.8, 0.9, 0.6

REACTIONS = ("like", "comment", "share", "profile", "hide", "report", "follow")
REACTION_LOGITS: dict[str, tuple[float, float, float, float]] = {
    "like": (-6.02, 0.85, 1.20, 0.9),
    "comment": (-8.56, 0.50, 2.60, 0.8),
    "share": (-8.81, 0.70, 1.50, 0.6),
    "profile": (-5.54, 0.50, 1.80, 0.4),
    "hide": (-7.605, -0.55, -0.05, 0.0),
    "report": (-9.50, -0.30, 0.00, 0.0),
    "follow": (-8.935, 0.90, 1.40, 0.5),
}
"""(intercept, satisfaction, long view, warmth) of each reaction's logit; intercepts solved for the published
rates, the slopes of like and profile for their correlations with long_view. A report has no published
rate."""

REPORT_VIOLATION = 5.0


@dataclass(frozen=True)
class WatchLuck:
    """Six uniforms per impression, one per decision of the thumb."""

    zero: Floats
    skip: Floats
    glance: Floats
    intent: Floats
    replay: Floats
    replay_length: Floats


def pull(
    relevance: Floats, quality: Floats, leniency: Floats, clickbait: Floats, freshness: Floats
) -> Floats:
    """What the thumb feels, in logits; drives watching and staying."""
    parts = {
        "relevance": relevance,
        "quality": quality,
        "leniency": leniency,
        "clickbait": clickbait,
        "freshness": freshness,
    }
    return np.asarray(sum(PULL[name] * part for name, part in parts.items()))


def satisfaction(relevance: Floats, quality: Floats, clickbait: Floats) -> Floats:
    """What the person takes home, in logits; drives likes, returns and surveys."""
    of = SATISFACTION
    return of["relevance"] * relevance + of["quality"] * quality + of["clickbait"] * clickbait


def freshness(age_days: Floats, evergreen: NDArray[np.bool_]) -> Floats:
    """1 when new; topical videos fall as (1 + age)^-.8, like KuaiRand impressions; evergreens stay at .5."""
    return np.where(evergreen, 0.5, (1.0 + np.maximum(age_days, 0.0)) ** -0.8)


def zero_probability(pull: Floats) -> Floats:
    return np.asarray(expit(ZERO[0] + ZERO[1] * pull))


def skip_probability(pull: Floats) -> Floats:
    """Of skipping after a glance, given that it played at all."""
    return np.asarray(expit(SKIP[0] + SKIP[1] * pull))


def watched_seconds(pull: Floats, duration_s: Floats, luck: WatchLuck) -> Floats:
    """The hurdle: gone at once, a glance, or an intended time cut by the end; replays reach 2.5 lengths."""
    glance = np.minimum(0.15 + exponentials(luck.glance, GLANCE_S), duration_s)
    a, b, c, d = INTENT
    intended = np.exp(a + b * pull + c * np.log(duration_s) + d * normals(luck.intent))
    replays = (luck.replay < REPLAY_CHANCE) * exponentials(luck.replay_length, REPLAY_SHARE)
    to_the_end = duration_s * np.minimum(1.0 + replays, LONGEST_SHARE)
    played = np.where(intended < duration_s, intended, to_the_end)
    seconds = np.where(luck.skip < skip_probability(pull), glance, played)
    return np.where(luck.zero < zero_probability(pull), 0.0, seconds)


def reach_probability(pull: Floats, duration_s: Floats, threshold_s: float) -> Floats:
    """P(watched >= min(threshold, duration)): the Bayes probability of a click (7 s) or long view (18 s)."""
    bar = np.minimum(threshold_s, duration_s)
    a, b, c, d = INTENT
    by_glance = np.exp(-np.maximum(bar - 0.15, 0.0) / GLANCE_S)
    by_intent = ndtr((a + b * pull + c * np.log(duration_s) - np.log(bar)) / d)
    skip = skip_probability(pull)
    return np.asarray((1.0 - zero_probability(pull)) * (skip * by_glance + (1.0 - skip) * by_intent))


def reached(watched_s: Floats, duration_s: Floats, threshold_s: float) -> Floats:
    """1.0 where the play lasted min(threshold, duration)."""
    return (watched_s >= np.minimum(threshold_s, duration_s)).astype(np.float64)


def reaction_probability(
    reaction: str, satisfied: Floats, long_view: Floats, warmth: Floats, violation: Floats
) -> Floats:
    """P(this reaction | how the watch went); violation only matters to reports."""
    a, by_satisfaction, by_long_view, by_warmth = REACTION_LOGITS[reaction]
    logit = a + by_satisfaction * satisfied + by_long_view * long_view + by_warmth * warmth
    if reaction == "report":
        logit = logit + REPORT_VIOLATION * violation
    return np.asarray(expit(logit))


def leave_probability(pull: Floats, same_topic_in_last_6: Floats, patience: Floats) -> Floats:
    """Hazard of closing the app after this impression; patience is log activity over the median person's."""
    felt = pull - BOREDOM * same_topic_in_last_6
    return np.asarray(expit(LEAVE[0] - patience + LEAVE[1] * felt))


def return_probability(base_logit: Floats, habit: Floats) -> Floats:
    """P(active on a day)."""
    return np.asarray(expit(base_logit + HABIT_SLOPE * (habit - HABIT_NEUTRAL)))


def next_habit(habit: Floats, mean_satisfaction: Floats) -> Floats:
    """A slow memory of how satisfying sessions were."""
    return HABIT_MEMORY * habit + (1.0 - HABIT_MEMORY) * mean_satisfaction


def hour_intensity(hour: Floats) -> Floats:
    """Relative traffic by UTC hour, mean 1: an evening peak and a lunch bump; assumed, not fitted."""
    day = 2.0 * np.pi / 24.0
    return 1.0 + 0.55 * np.cos(day * (hour - 21.0)) + 0.25 * np.cos(2.0 * day * (hour - 13.0))
