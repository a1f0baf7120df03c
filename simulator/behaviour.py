"""What makes a person watch, react, leave and come back: every equation of the world, and nothing else.

Elementwise functions of latents, seconds and uniform draws, written once: on arrays as they stand, and for
one person at a time where person_days.py compiles them. Their numbers are `c`, see coefficients.py. The
thumb follows *pull*, the heart follows *satisfaction*, and clickbait has opposite signs in the two. Watching
is a hurdle model, reactions are logistic.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr

from simulator.coefficients import REACTIONS as REACTIONS
from simulator.coefficients import Coefficients
from simulator.compiled import either, equation
from simulator.luck import Floats, exponential, normal

Real = Any
"""A float in the compiled day, an array of float64 elsewhere."""

CLICK_S = 7.0
LONG_VIEW_S = 18.0
"""KuaiRand's label rules: a valid play lasts min(7 s, duration), a long view min(18 s, duration)."""

REPORT = REACTIONS.index("report")

FATIGUE_AT = 10.0
"""Recent impressions of a topic from which weariness grows with their logarithm."""


class WatchLuck(NamedTuple):
    """Seven uniforms per impression for the decisions of a thumb."""

    zero: Real
    skip: Real
    glance: Real
    intent: Real
    intent_angle: Real
    replay: Real
    replay_length: Real


@equation
def chance(logit: Real) -> Real:
    """The logistic function: a probability from log odds."""
    return 1.0 / (1.0 + np.exp(-logit))


@equation
def pull(
    c: Coefficients,
    relevance: Real,
    quality: Real,
    leniency: Real,
    clickbait: Real,
    freshness: Real,
    weariness: Real,
) -> Real:
    """What the thumb feels, in logits; drives watching and staying."""
    liking = c.pull_relevance * relevance + c.pull_quality * quality + c.pull_leniency * leniency
    return liking + c.pull_clickbait * clickbait + c.pull_freshness * freshness - weariness


@equation
def satisfaction(c: Coefficients, relevance: Real, quality: Real, clickbait: Real) -> Real:
    """What the person takes home, in logits; drives likes, returns and surveys."""
    gain = c.satisfaction_relevance * relevance + c.satisfaction_quality * quality
    return gain + c.satisfaction_clickbait * clickbait


@equation
def freshness(age_days: Real, evergreen: Real) -> Real:
    """1 when new; topical videos fall as (1 + age)^-.8, like KuaiRand impressions; evergreens stay at .5."""
    return either(evergreen, 0.5, (1.0 + np.maximum(age_days, 0.0)) ** -0.8)


@equation
def weariness(c: Coefficients, recent: Real) -> Real:
    """Fatigue less novelty, in logits of pull; `recent` counts a topic's impressions, fading by the night."""
    return c.fatigue * np.log1p(recent / FATIGUE_AT) - c.novelty * np.exp(-recent)


@equation
def zero_probability(c: Coefficients, pull: Real) -> Real:
    """Of swiping away at once."""
    return chance(c.zero_intercept + c.zero_slope * pull)


@equation
def skip_probability(c: Coefficients, pull: Real) -> Real:
    """Of swiping away after a glance, given that it played at all."""
    return chance(c.skip_intercept + c.skip_slope * pull)


@equation
def watched_seconds(c: Coefficients, pull: Real, duration_s: Real, luck: WatchLuck) -> Real:
    """The hurdle: gone at once, a glance, or an intended time cut by the end; replays reach 2.5 lengths."""
    seconds = seconds_once_playing(c, pull, duration_s, luck)
    return either(luck.zero < zero_probability(c, pull), 0.0, seconds)


@equation
def seconds_once_playing(c: Coefficients, pull: Real, duration_s: Real, luck: WatchLuck) -> Real:
    """Beyond the first hurdle; where a tapped cover starts."""
    glance = np.minimum(0.15 + exponential(luck.glance, c.glance_s), duration_s)
    noise = c.intent_noise * normal(luck.intent, luck.intent_angle)
    wish = c.intent_intercept + c.intent_pull * pull + c.intent_duration * np.log(duration_s)
    intended = np.exp(wish + noise)
    replays = (luck.replay < c.replay_chance) * exponential(luck.replay_length, c.replay_share)
    to_the_end = duration_s * np.minimum(1.0 + replays, c.longest_share)
    played = either(intended < duration_s, intended, to_the_end)
    return either(luck.skip < skip_probability(c, pull), glance, played)


def reach_probability(c: Coefficients, pull: Floats, duration_s: Floats, threshold_s: float) -> Floats:
    """P(watched >= min(threshold, duration)): the Bayes probability of a click (7 s) or long view (18 s)."""
    playing = reach_probability_once_playing(c, pull, duration_s, threshold_s)
    return np.asarray((1.0 - zero_probability(c, pull)) * playing)


def reach_probability_once_playing(
    c: Coefficients, pull: Floats, duration_s: Floats, threshold_s: float
) -> Floats:
    """The same beyond the first hurdle."""
    bar = np.minimum(threshold_s, duration_s)
    by_glance = np.exp(-np.maximum(bar - 0.15, 0.0) / c.glance_s)
    wish = c.intent_intercept + c.intent_pull * pull + c.intent_duration * np.log(duration_s)
    by_intent = ndtr((wish - np.log(bar)) / c.intent_noise)
    skip = skip_probability(c, pull)
    return np.asarray(skip * by_glance + (1.0 - skip) * by_intent)


@equation
def reached(watched_s: Real, duration_s: Real, threshold_s: float) -> Real:
    """1.0 where the play lasted min(threshold, duration)."""
    return either(watched_s >= np.minimum(threshold_s, duration_s), 1.0, 0.0)


@equation
def reaction_probability(
    c: Coefficients, number: int, satisfied: Real, long_view: Real, warmth: Real, violation: Real
) -> Real:
    """P(the reaction of this number | how the watch went); violation only matters to reports."""
    a, by_satisfaction, by_long_view, by_warmth = c.reactions[number]
    logit = a + by_satisfaction * satisfied + by_long_view * long_view + by_warmth * warmth
    if number == REPORT:
        logit = logit + c.report_violation * violation
    return chance(logit)


@equation
def at_odds(p: Real, times: Real) -> Real:
    """The probability whose odds are `times` those of p."""
    return times * p / (1.0 - p + times * p)


@equation
def leave_probability(c: Coefficients, pull: Real, same_topic_in_last_6: Real, patience: Real) -> Real:
    """Hazard of closing the app after this impression; patience is log activity over the median person's."""
    felt = pull - c.boredom * same_topic_in_last_6
    return chance(c.leave_intercept - patience + c.leave_slope * felt)


@equation
def examination(c: Coefficients, position: Real) -> Real:
    """P(eyes fall on the cover at this position, 0 at the top): the position-based model, (1 + k)^-eta."""
    return (1.0 + position) ** -c.examination_decay


@equation
def tap_probability(c: Coefficients, pull: Real, clickbait: Real) -> Real:
    """Of tapping a cover that was examined; a cover promises what clickbait does not keep."""
    return chance(c.cover_intercept + c.cover_slope * pull + c.cover_clickbait * clickbait)


@equation
def survey_response(c: Coefficients, leniency: Real) -> Real:
    """P(answering a survey that is shown): the lenient answer more, so answers alone are biased."""
    return chance(c.survey_intercept + c.survey_leniency * leniency)


@equation
def survey_answer(c: Coefficients, satisfied: Real, noise: Real) -> Real:
    """1 to 5: satisfaction through noise (standard normal), in steps of one logit around 3."""
    return np.minimum(np.maximum(np.floor(3.5 + satisfied + c.survey_noise * noise), 1.0), 5.0)


@equation
def return_probability(c: Coefficients, base_logit: Real, habit: Real) -> Real:
    """P(active on a day)."""
    return chance(base_logit + c.habit_slope * (habit - c.habit_neutral))


@equation
def next_habit(c: Coefficients, habit: Real, mean_satisfaction: Real) -> Real:
    """A slow memory of how satisfying sessions were."""
    return c.habit_memory * habit + (1.0 - c.habit_memory) * mean_satisfaction


def hour_intensity(hour: Floats) -> Floats:
    """Relative traffic by UTC hour, mean 1: an evening peak and a lunch bump; assumed, not fitted."""
    day = 2.0 * np.pi / 24.0
    return 1.0 + 0.55 * np.cos(day * (hour - 21.0)) + 0.25 * np.cos(2.0 * day * (hour - 13.0))
