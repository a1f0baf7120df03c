"""Every number of the world's equations, in one value: change one, and another world is lived.

Constants called "solved" make every row of the card (targets.py) hold at `laptop`; the others are design
choices or published, as their comments say. A world may be given other coefficients (sealed.py draws them).
"""

from __future__ import annotations

from typing import NamedTuple

REACTIONS = ("like", "comment", "share", "profile", "hide", "report", "follow")

Logits = tuple[float, float, float, float]
"""(intercept, satisfaction, long view, warmth) of a reaction's logit."""


class Coefficients(NamedTuple):
    """What makes a person watch, react, leave and come back; logits unless a unit is named."""

    # Pull and satisfaction: taste first, then quality, and clickbait that pulls and disappoints.
    pull_relevance: float = 1.0
    pull_quality: float = 0.55
    pull_leniency: float = 0.51
    pull_clickbait: float = 0.35
    pull_freshness: float = 0.40
    satisfaction_relevance: float = 0.8
    satisfaction_quality: float = 0.6
    satisfaction_clickbait: float = -0.7

    # Weariness: what a person has had much of lately pulls less, what they have not had pulls more.
    fatigue: float = 0.15
    novelty: float = 0.15
    recent_memory: float = 0.6  # share of a topic's recent impressions that a night leaves

    # Watch time, a hurdle (solved): gone at once; a glance; an intended time cut by the end.
    zero_intercept: float = -1.215
    zero_slope: float = -0.623
    skip_intercept: float = 2.01
    skip_slope: float = -1.294
    glance_s: float = 1.82
    intent_intercept: float = 0.2475
    intent_pull: float = 0.51
    intent_duration: float = 0.396
    intent_noise: float = 0.82
    replay_chance: float = 0.45
    replay_share: float = 0.45
    longest_share: float = 2.5

    # Leaving the app (the intercept sets about 1.1 M impressions at `laptop`); boredom after SARDINE.
    leave_intercept: float = -1.71
    leave_slope: float = -0.45
    boredom: float = 0.55  # lost pull per repeat of a topic among the last six

    # Coming back.
    habit_memory: float = 0.8
    habit_slope: float = 0.9
    habit_neutral: float = 0.6

    # Reactions, in the order of REACTIONS. Intercepts solved for the published rates, the slopes of like and
    # profile for their correlations with long_view; a report has no published rate.
    reactions: tuple[Logits, Logits, Logits, Logits, Logits, Logits, Logits] = (
        (-6.01, 0.85, 1.20, 0.9),
        (-8.52, 0.50, 2.60, 0.8),
        (-8.78, 0.70, 1.50, 0.6),
        (-5.51, 0.50, 1.80, 0.4),
        (-7.70, -0.55, -0.05, 0.0),
        (-9.50, -0.30, 0.00, 0.0),
        (-8.95, 0.90, 1.40, 0.5),
    )
    report_violation: float = 5.0

    # The grid: covers are looked at in order of rank, and tapped for what they promise.
    examination_decay: float = 1.0  # eta: P(examined at rank k) = k^-eta
    cover_intercept: float = -1.2
    cover_slope: float = 0.7
    cover_clickbait: float = 0.5
    grid_leave: float = 0.35  # probability of closing the app after a page
    grid_share: float = 0.08  # of sessions that open on the grid

    # Surveys: who is lenient answers more often, and the answer is satisfaction seen through noise.
    survey_share: float = 0.005
    survey_intercept: float = -1.735  # a person of average leniency answers 15 %
    survey_leniency: float = 0.5
    survey_noise: float = 1.0

    # People and creators over days.
    drift_sd: float = 0.05  # of a topic's log share, per day
    craze_logit: float = 1.0
    energy_memory: float = 0.8
    energy_fade: float = 0.3
    energy_boost: float = 1.6
    friend_visit: float = 0.2  # probability that a share brings the friend back the next day


PUBLISHED = Coefficients()
