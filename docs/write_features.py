"""Write docs/features.md from feature_repo/catalogue.py: the one list of features, for people to read."""

from __future__ import annotations

import math
import sys
from pathlib import Path

from feature_repo import catalogue
from feature_repo.clock import DAY_US, HOUR_US

PAGE = Path(__file__).with_name("features.md")
HEAD = """# Features

Written by `make features` from `feature_repo/catalogue.py`, where each feature is defined once.
A windowed feature at moment t counts what was known before its snapshot; the snapshot used is the newest one
at or before t and not older than the view's time to live, else the default. Names read entity, what, window.
"""


def span(us: int | None) -> str:
    """A duration in days or hours, as people say it."""
    if not us:
        return "-"
    return f"{us // DAY_US} d" if us % DAY_US == 0 else f"{us // HOUR_US} h"


def default(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:g}"


def row(feature: catalogue.Feature) -> str:
    bounds = "any" if feature.low == -math.inf else f"from {feature.low:g}"
    bounds = f"{feature.low:g} to {feature.high:g}" if math.isfinite(feature.high) else bounds
    cells = (
        f"`{feature.name}`",
        span(feature.window_us),
        default(feature.default),
        bounds,
        feature.owner,
        feature.why,
    )
    return "| " + " | ".join(cells) + " |"


def section(title: str, law: str, features: tuple[catalogue.Feature, ...]) -> str:
    head = "| feature | window | default | range | owner | why |\n|---|---|---|---|---|---|"
    return "\n".join([f"\n## {title}\n", f"{law}\n", head, *map(row, features)]) + "\n"


def view_section(view: catalogue.View) -> str:
    keys = " and ".join(view.keys)
    every = f"snapshot every {span(view.every_us)}" if view.every_us else "written when it becomes known"
    ends = f"may be used for {span(view.ttl_us)}" if view.ttl_us else "never expires"
    return section(f"View `{view.name}`", f"Keyed by {keys}; {every}; {ends}.", view.features)


def page() -> str:
    """The whole document: the Feast views, then what is computed when a request arrives."""
    derived = (
        (
            "Request",
            "Known when the request is: `context.py`, the same code for training and serving.",
            catalogue.CONTEXT,
        ),
        ("Watch history", "From the last watched videos: `histories.py`.", catalogue.HISTORY_FEATURES),
        ("Model", "From the release itself.", catalogue.MODEL_FEATURES),
    )
    return HEAD + "".join([*map(view_section, catalogue.VIEWS), *(section(*each) for each in derived)])


def main() -> int:
    PAGE.write_text(page(), "utf-8")
    print(f"wrote {PAGE.name} from the catalogue; read it beside feature_repo/catalogue.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())
