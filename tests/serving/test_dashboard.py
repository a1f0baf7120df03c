"""The dashboard and the documents speak of metrics the server has: a name that changes, changes there too."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from serving.live import STALE, UNLOGGED
from serving.meters import Meters
from tests.serving.builders import NOW_US, a_watch

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "docs/dashboards/serving.json").read_text("utf-8"))
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
BAD_DAYS = (ROOT / "docs/BAD_DAYS.md").read_text("utf-8")


def labels_of(page: str) -> dict[str, set[str]]:
    """Every sample's name on a page of metrics, with the labels it has been seen with."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(page):
        found.setdefault(family.name, set())
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
        if family.type == "counter":
            found.setdefault(f"{family.name}_total", set())
    return found


@pytest.fixture
def page(client: TestClient) -> dict[str, set[str]]:
    client.post("/v1/feed", json={"user_id": 3})
    client.post("/v1/events", json={"events": [a_watch(3, 30, NOW_US)]})
    client.app.state.live.meters.shed("feeds")  # type: ignore[attr-defined]
    client.app.state.live.meters.ranked({}, (UNLOGGED,), 1, True)  # type: ignore[attr-defined]
    return labels_of(client.get("/metrics").text)


def names_in(text: str) -> set[str]:
    return set(re.findall(r"fourplanes_[a-z_]+", text))


def test_every_metric_of_the_dashboard_is_on_the_page(page: dict[str, set[str]]) -> None:
    assert {name for expression in EXPRESSIONS for name in names_in(expression)} - page.keys() == set()


def test_every_metric_the_documents_name_is_on_the_page(page: dict[str, set[str]]) -> None:
    assert names_in(BAD_DAYS) - page.keys() == set()


def test_what_a_panel_sums_by_is_a_label_of_what_it_sums(page: dict[str, set[str]]) -> None:
    wrong = [
        (expression, label)
        for expression in EXPRESSIONS
        for summed, inside in re.findall(r"sum by \(([a-z_, ]+)\) \(rate\((\w+)", expression)
        for label in summed.split(", ")
        if page[inside] and label not in page[inside]
    ]

    assert wrong == []


def test_every_metric_of_the_server_itself_is_on_the_dashboard() -> None:
    found = {family.name for family in text_string_to_metric_families(Meters().text().decode())}
    families = {name for name in found if not name.endswith("_created")}
    shown = names_in(" ".join(EXPRESSIONS))

    assert {name for name in families if not any(each.startswith(name) for each in shown)} == set()


def test_panels_stand_beside_each_other() -> None:
    places = [tuple(panel["gridPos"].values()) for panel in DASHBOARD["panels"]]
    cells = [(x + i, y + j) for h, w, x, y in places for i in range(w) for j in range(h)]

    assert len(cells) == len(set(cells))
    assert all(x < 24 for x, _ in cells)


def test_the_ladder_names_what_slates_say() -> None:
    assert f"`{UNLOGGED}`" in BAD_DAYS
    assert f"`{STALE}`" in BAD_DAYS
