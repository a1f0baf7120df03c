"""The one dial, SCALE=tiny|laptop|full, and every size derived from it in sight."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """How large the world is; everything else follows by arithmetic."""

    name: str
    users: int
    days: int = 14

    @property
    def videos(self) -> int:
        """Videos that exist at the end of the log, uploads of its days included."""
        return 2 * self.users

    @property
    def creators(self) -> int:
        return max(20, self.videos // 8)

    @property
    def tower_epochs(self) -> int:
        return 6 if self.name == "tiny" else 3

    @property
    def trees(self) -> int:
        """The most trees a head may grow; early stopping usually ends sooner."""
        return 60 if self.name == "tiny" else 200


SCALES = {
    "tiny": Scale("tiny", users=400),
    "laptop": Scale("laptop", users=5_000),
    "full": Scale("full", users=100_000),
}


def scale_named(name: str) -> Scale:
    if name not in SCALES:
        raise ValueError(f"SCALE is {name!r}, must be one of {', '.join(SCALES)}.")
    return SCALES[name]
