"""Write docs/features.md from feature_repo/catalogue.py: the one list of features, for people to read."""

from __future__ import annotations

import sys
from pathlib import Path

from feature_repo import catalogue
from feature_repo.__main__ import HEADINGS, print_catalogue, row_of, span

PAGE = Path(__file__).with_name("features.md")
HEAD = """# Features

Written by `make features` from `feature_repo/catalogue.py`, where each feature is defined once.
A windowed feature is a step function of time: at moment t it counts what was known before t and happened no
longer than its window before t. It changes when something becomes known and when something leaves the window,
at no other moment; the view stores those steps. The value at t is the newest step at or before t and not
older than the view's time to live, else the default. Names read entity, what, window.

Range and the share that may be unknown are a contract: a value out of range, an infinity, or a larger share
of unknowns is a violation, and every one is counted (`feature_repo/contracts.py`).
"""


def row(feature: catalogue.Feature) -> str:
    name, *told = row_of(feature)
    return "| " + " | ".join([f"`{name}`", *told]) + " |"


def section(title: str, law: str, features: tuple[catalogue.Feature, ...]) -> str:
    head = "| " + " | ".join(HEADINGS) + " |\n" + "|---" * len(HEADINGS) + "|"
    return "\n".join([f"\n## {title}\n", f"{law}\n", head, *map(row, features)]) + "\n"


def view_section(view: catalogue.View) -> str:
    keys = " and ".join(view.keys)
    changes = "a row for every step" if view.windows_us else "one row, from when it became known"
    ends = f"a step may be used for {span(view.ttl_us)}" if view.ttl_us else "never expires"
    return section(f"View `{view.name}`", f"Keyed by {keys}; {changes}; {ends}.", view.features)


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
    print_catalogue()
    PAGE.write_text(page(), "utf-8")
    print(f"wrote {PAGE.name} from the catalogue; read it beside feature_repo/catalogue.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())
