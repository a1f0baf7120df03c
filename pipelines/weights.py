"""The reviewed value weights: what each predicted act is worth, and why. Change them by review, not by
tuning.

What we want is satisfaction; a long watch also answers to pull (clickbait pulls and disappoints), while
likes, shares, follows and hides answer to satisfaction itself but are rare. So the rare acts get weights that
let them contribute at their base rates, and the harder an act is to predict, the further below parity: a
weight multiplies a head's errors too. The log agrees: among impressions watched long, where attention is
spent already, value orders likes and shares better the more these acts weigh, with little gained beyond here.
"""

from __future__ import annotations

from collections.abc import Mapping

from serving.values import Values, Weight

WEIGHTS: Mapping[str, tuple[float, str]] = {
    "long_watch": (1.0, "the unit: most of what can be predicted well, but clickbait earns it too"),
    "watch": (
        0.5,
        "time against videos of like length: finishing a long video counts, length itself does not",
    ),
    "like": (
        15.0,
        "17 times rarer than a long watch and given for satisfaction: contributes nearly alike at its rate",
    ),
    "share_or_follow": (
        45.0,
        "the strongest yes, 160 times rarer; far below parity because it is hard to predict",
    ),
    "negative": (-75.0, "a hide or report says the feed failed; 500 times rarer and hardest to predict"),
}


KUAIRAND: Mapping[str, tuple[float, str]] = {
    "long_watch": (1.0, "the unit, and what results on this log are published for"),
    "watch": (0.5, WEIGHTS["watch"][1]),
    "like": (2.0, "worth two long watches; nobody told us what satisfied, so rarity alone earns no weight"),
    "share_or_follow": (4.0, "worth four; some 150 in the log, so little can be learned of it"),
    "negative": (-10.0, "a hide outweighs ten long watches; some 130 in the log"),
}
"""For a log whose people we cannot ask: what each act means, not its rarity."""

WEIGHTS_OF = {"simulated": WEIGHTS, "kuairand": KUAIRAND}


def values(base_rates: Mapping[str, float], logs: str = "simulated") -> Values:
    """The value file of these logs: weights and reasons above, base rates as found in the train rows."""
    weights = WEIGHTS_OF.get(logs, WEIGHTS)
    return Values(tuple(Weight(act, weight, why, base_rates[act]) for act, (weight, why) in weights.items()))
