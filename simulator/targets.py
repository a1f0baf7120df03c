"""What the world must look like from outside: published figures of a real short-video log, each with a band.

Written down and committed before any model was trained on the world, and not moved to flatter one.
Bands: marginals and play time +-10 % relative; rates below .2 % +-20 %; correlations +-.04; activity quarters
+-.05; the ratio of long_view on policy exposure to random exposure between 2.5 and 5. A target published as a
range stands at its middle.

Sources. S4: KuaiRand README (label rules, exploration). S5: KuaiSim's KuaiRandDataset.ipynb outputs, standard
log, n = 1,436,609. S6: KuaiRand-Pure profile, validation week, cross-checked with S5 where both report.
Numbers only, cited; the rows themselves are CC BY-SA and not shipped.
"""

from __future__ import annotations

from dataclasses import dataclass

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
)
"""corr_* is Pearson's correlation of that column with long_view over the watched impressions of the log."""

EXPLORED_SHARE = 0.0037
"""Share of slots drawn uniformly from the eligible corpus (S4): a parameter of the policy, not a target."""
