"""The slow twin of one slot's draw: the parts of a mixture one by one, in numbers of Python."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

Row = int


@dataclass(frozen=True)
class Part:
    """A share of a slot's probability, spread in proportion to weights; 0 is closed."""

    name: str
    share: float
    weights: Sequence[float]

    def chance(self, row: Row) -> float:
        return self.share * self.weights[row] / list(accumulate(self.weights))[-1]

    def drawn(self, luck: float) -> Row:
        sums = list(accumulate(self.weights))
        beyond = [row for row, upto in enumerate(sums) if upto > luck * sums[-1]]
        return beyond[0] if beyond else max(row for row, weight in enumerate(self.weights) if weight > 0)


def weights(worth: Sequence[float], opened: Sequence[bool], temperature: float) -> list[float]:
    """exp(worth / temperature) of those opened, the best 1, the others 0, even if all are unknown."""
    highest = max((each for each, is_open in zip(worth, opened, strict=True) if is_open), default=-math.inf)
    if highest == -math.inf:
        return [float(is_open) for is_open in opened]
    return [
        math.exp((each - highest) / temperature) if is_open else 0.0
        for each, is_open in zip(worth, opened, strict=True)
    ]


def drawn_by_hand(
    worth: Sequence[float],
    opened: Sequence[bool],
    exploration: float,
    promised: Sequence[tuple[str, float, Sequence[bool]]],
    temperature: float,
    luck: tuple[float, float],
) -> tuple[Row, float, str]:
    """(row, propensity, name of the part): `promised` is name, share and members of every pool."""
    parts = [Part("uniform", exploration, [float(is_open) for is_open in opened])]
    for name, share, pool in promised:
        members = [is_in and is_open for is_in, is_open in zip(pool, opened, strict=True)]
        if any(members):
            parts.append(Part(name, share, weights(worth, members, temperature)))
    upto = list(accumulate(part.share for part in parts))
    parts.append(Part("value", 1.0 - upto[-1], weights(worth, opened, temperature)))
    part = next((part for part, end in zip(parts, upto, strict=False) if luck[0] < end), parts[-1])
    row = part.drawn(luck[1])
    return row, min(1.0, list(accumulate(each.chance(row) for each in parts))[-1]), part.name
