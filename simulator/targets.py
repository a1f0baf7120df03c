"""What the world must look like from outside: published figures of a real short-video log, each with a band.

Written down and committed before any model was trained on the world, and not moved to flatter one.
Bands: marginals and play time +-10 % relative; rates below .2 % +-20 %; correlations +-.04; activity quarters
+-.05; the ratio of long_view on policy exposure to random exposure between 2.5 and 5; gaps between active
days +-10 % or +-.02, whichever is wider; durations +-10 %. What is published as a range stands at its middle.

Sources. S3: KuaiRec's Statistics_KuaiRec.ipynb. S4: KuaiRand README (label rules, exploration). S5: KuaiSim's
KuaiRandDataset.ipynb outputs, standard log, n = 1,436,609. S6: KuaiRand-Pure profile, validation week,
cross-checked with S5 where both report. S7: KuaiRand-Pure's video features. S18: tiktokodds.com, a sample of
TikTok in 2020. Numbers only, cited; the rows themselves are CC BY-SA and not shipped.
"""

from __future__ import annotations

from dataclasses import dataclass

from simulator.slates import EXPLORED_SHARE

RARE = 0.002
"""A marginal rate below this is counted in hundreds at `laptop`, so its band is wider."""


@dataclass(frozen=True)
class Target:
    """One row of the calibration card: the real figure and the band it must fall in."""

    name: str
    real: float
    low: float
    high: float
    source: str
    unit: str = "share"

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class KnownMiss:
    """Where the world is known to differ from the real log, or where the two cannot be compared.

    `real` is the published figure, if there is one; `figure` names the card's own.
    """

    name: str
    what: str
    why: str
    real: float | None = None
    figure: str | None = None


def marginal(name: str, real: float, source: str, unit: str = "share") -> Target:
    """Relative band: +-20 % for a rate below .2 %, else +-10 %."""
    width = 0.20 if unit == "share" and real < RARE else 0.10
    return Target(name, real, real * (1 - width), real * (1 + width), source, unit)


def correlation(name: str, real: float) -> Target:
    """Absolute band of +-.04 around a correlation with long_view."""
    return Target(name, real, real - 0.04, real + 0.04, "S6", "correlation")


def quarter(number: int, real: float) -> Target:
    """long_view in one quarter of the impressions, ordered by how active their person is; +-.05 absolute.

    Quarters of impressions, not of people: the four published figures average to .328, the marginal itself,
    as they can only if each holds as many impressions as the next.
    """
    return Target(f"long_view_activity_q{number}", real, real - 0.05, real + 0.05, "S6")


def gap(days: int, real: float) -> Target:
    """Share of gaps between a person's active days that last this long; +-10 % or +-.02, the wider."""
    width = max(0.10 * real, 0.02)
    return Target(f"gap_{days}d", real, real - width, real + width, "S5, 384,000 gaps")


TARGETS: tuple[Target, ...] = (
    marginal("click", 0.452, "middle of .4597 (S5) and .4438 (S6)"),
    marginal("long_view", 0.3225, "middle of .332 (S5) and .313 (S6)"),
    marginal("zero_play", 0.117, "S6"),
    marginal("play_mean_s", 21.5, "S6", unit="seconds"),
    marginal("play_median_s", 4.6, "S6", unit="seconds"),
    marginal("long_view_random", 0.0806, "S6, randomly exposed videos"),
    Target("long_view_ratio", 4.0, 2.5, 5.0, ".3225 over .0806", "ratio"),
    marginal("like", 0.01848, "S5"),
    marginal("comment", 0.002546, "S5"),
    marginal("share", 0.000962, "S5, is_forward"),
    marginal("follow", 0.001074, "S5"),
    marginal("hide", 0.000494, "S5, is_hate"),
    marginal("profile", 0.0195, "S6, is_profile_enter"),
    correlation("corr_click", 0.751),
    correlation("corr_play", 0.632),
    correlation("corr_profile", 0.127),
    correlation("corr_like", 0.095),
    correlation("corr_comment", 0.059),
    correlation("corr_share", 0.025),
    correlation("corr_follow", 0.025),
    correlation("corr_hide", -0.004),
    quarter(1, 0.374),
    quarter(2, 0.350),
    quarter(3, 0.331),
    quarter(4, 0.258),
    gap(1, 0.617),
    gap(2, 0.165),
    gap(3, 0.079),
    marginal("gap_mean_days", 2.00, "S5, 384,000 gaps", unit="days"),
    Target("videos_per_day_q3_over_q1", 83 / 19, 0.8 * 83 / 19, 1.2 * 83 / 19, "S3, 83 over 19", "ratio"),
    marginal("duration_p10_s", 14.6, "S7, 7,344 videos", unit="seconds"),
    marginal("duration_median_s", 81.2, "S7, 7,344 videos", unit="seconds"),
    marginal("duration_p90_s", 237.8, "S7, 7,344 videos", unit="seconds"),
    Target("exposure_gini", 0.93, 0.80, 1.0, "S18, views of about 20,000 videos", "Gini"),
    Target("age_decay", 0.82, 0.62, 1.02, "S6, fit to eleven days of one cohort", "exponent"),
    marginal("explored", EXPLORED_SHARE, "S4"),
)
"""corr_* is Pearson's correlation of that column with long_view over the watched impressions.

gap_*: product-limit estimates (Kaplan & Meier 1958), because the world's log is half as long as the real one
and long gaps are cut by its end. videos_per_day: +-20 %, one app's quartiles in another year. exposure_gini:
all videos public by the end, those nobody met included, over the last 14 days. age_decay: e of
impressions ~ (1 + age in days)^-e, least squares in logarithms, over the first eleven days of the videos of
the log's first three: S6's fixed cohort. Its band is as wide as that figure is known: the two ends of the
same eleven days alone give 1.10.
"""

KNOWN_MISSES: tuple[KnownMiss, ...] = (
    KnownMiss(
        "videos per active day",
        "the median person sees half of what KuaiRec's does",
        "20 is aimed at, so that a laptop lives 14 days in seconds; the spread (q3 over q1) is a target",
        real=42,
        figure="videos_per_day_median",
    ),
    KnownMiss(
        "watch ratio",
        "the median share watched is far below KuaiRec's",
        "KuaiRec's videos last 10 s and the world's 80 s (KuaiRand's); its preset is not refitted. "
        "Against KuaiRand's own rows: the table of real rows, where they are present",
        real=0.716,
        figure="watch_ratio_median",
    ),
    KnownMiss(
        "long videos are shown more",
        "the median impression is of a longer video than in the real rows of 25 April to 3 May 2022",
        "people here watch long videos longer, so a policy that learns from watching shows more of them",
        real=71.9,
        figure="duration_shown_median_s",
    ),
    KnownMiss(
        "long_view by duration",
        "long_view is highest for the longest videos; KuaiRand's peaks between 30 and 120 s",
        "intended time has one slope on log duration, and nobody has a taste for a length",
    ),
    KnownMiss(
        "zero plays",
        "the swipe surface has 11.7 % of them; in the real rows its tab (1) has .7 %, other tabs the rest",
        "the published share is over all tabs, and the world has one swipe surface to show it on",
    ),
    KnownMiss(
        "gaps are of a pool",
        "the real gaps are between days with an impression of one of 7,583 videos",
        "KuaiRand-Pure keeps a pool's impressions; the days its people opened the app are not published",
    ),
    KnownMiss(
        "inequality's pools",
        "the .93 is of lifetime views in a small sample of another app",
        "no public log has all videos of an app; Ginis of KuaiRand's own pool stand with the real rows",
    ),
    KnownMiss(
        "bots level exposures",
        "counted with bots, exposures are less unequal than among people; the line as logged says how much",
        "a bot asks for hundreds of videos a day and meets none twice, so it works down the whole corpus",
    ),
)
"""Stated before anybody finds them; rows out of their band join them by themselves."""
