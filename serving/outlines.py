"""Vectors in a quarter of their bytes, and how far a score by them may lie from the exact one.

In an outline every number of a vector is a whole number of steps, 127 of which make the largest number of its
dimension. Law: from any point, the score by outline and the exact one differ by `error_of(point)` at most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feature_repo.compiling import compiled_for

Floats = npt.NDArray[np.float32]
Steps = npt.NDArray[np.int8]

MOST = 127
"""Steps that a signed byte counts in either direction."""
PIECE = 512
"""Videos at once: what is added up for them stays in the fastest cache."""
TOGETHER = 4
"""Dimensions added per pass over the sums of a piece."""
PAIR = 2
"""Points at once: a step is read, and made a number, for both."""
UNDERFLOW = 1e-30
"""More than is lost where a product is too small for a float32."""


@dataclass(frozen=True)
class Outline:
    """The outlines of an index's vectors, as they lie in memory: one piece of videos after the other."""

    steps: Steps
    """i8[pieces, dimensions, PIECE]; zeros up to full pieces, and to a multiple of TOGETHER dimensions."""
    sizes: Floats
    """Of one step, by dimension."""
    videos: int
    error: float
    """Of a score, by length of the point: how far a vector lies from its outline, and what rounding adds."""

    def scores(self, points: Floats) -> Floats:
        """f32[points, videos]: dot products with the outlines, in one pass over memory."""
        pieces, dimensions, _ = self.steps.shape
        weights = np.zeros((len(points) + len(points) % PAIR, dimensions), np.float32)
        np.multiply(points, self.sizes, out=weights[: len(points), : len(self.sizes)])
        found = np.empty((len(weights), pieces * PIECE), np.float32)
        _add_products(self.steps, weights, found)
        return found[: len(points), : self.videos]

    def error_of(self, point: Floats) -> float:
        """How far at most the score of any video from this point may be off."""
        return self.error * float(np.linalg.norm(point.astype(np.float64))) + UNDERFLOW


def outline(vectors: Floats) -> Outline:
    """The outline of f32[videos, dimensions]."""
    videos, size = vectors.shape
    largest = np.abs(vectors).max(axis=0, initial=0.0)
    sizes = np.where(largest > 0, largest / MOST, 1).astype(np.float32)
    steps = np.zeros((-(-videos // PIECE), -(-size // TOGETHER) * TOGETHER, PIECE), np.int8)
    longest = furthest = 0.0
    for piece, first in enumerate(range(0, videos, PIECE)):
        exact = vectors[first : first + PIECE].astype(np.float64)
        counts = np.clip(np.rint(exact / sizes), -MOST, MOST)
        steps[piece, :size, : len(exact)] = counts.T
        longest = max(longest, float(np.linalg.norm(exact, axis=1).max()))
        furthest = max(furthest, float(np.linalg.norm(exact - counts * sizes, axis=1).max()))
    return Outline(steps, sizes, videos, furthest + _rounding(steps.shape[1]) * (longest + furthest))


def _rounding(dimensions: int) -> float:
    """What rounding adds to two sums of products, by length of both vectors (Higham 2002, section 3.1).

    A product is rounded once, once more where its weight was, and then in every sum it is part of.
    """
    return 2 * (dimensions + 4) * float(np.finfo(np.float32).eps) / 2


@compiled_for("void(int8[:, :, ::1], float32[:, ::1], float32[:, ::1])")
def _add_products(steps: Steps, weights: Floats, found: Floats) -> None:
    """Into `found` the sums of steps times weights, TOGETHER dimensions at a time.

    Sums of many videos side by side need no licence to reorder, and those of a piece stay near.
    """
    for piece in range(len(steps)):
        first, end = piece * PIECE, (piece + 1) * PIECE
        for point in range(0, len(weights), PAIR):
            one, other = found[point, first:end], found[point + 1, first:end]
            v, w = weights[point], weights[point + 1]
            one[:], other[:] = 0, 0
            for at in range(0, steps.shape[1], TOGETHER):
                a, b, c, d = (
                    steps[piece, at],
                    steps[piece, at + 1],
                    steps[piece, at + 2],
                    steps[piece, at + 3],
                )
                for row in range(PIECE):
                    e, f = np.float32(a[row]), np.float32(b[row])
                    g, h = np.float32(c[row]), np.float32(d[row])
                    one[row] += e * v[at] + f * v[at + 1] + g * v[at + 2] + h * v[at + 3]
                    other[row] += e * w[at] + f * w[at + 1] + g * w[at + 2] + h * w[at + 3]
