"""Is the drill of two servers able to fail, and do two real servers pass it?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from feature_repo.places import Places, Run
from labs.audit_parity import copied
from labs.bench.bench_serving import people_of
from labs.bench.clients import Client
from labs.drill_workers import History, audit_of, figures_of, lived
from monitoring.audit_parity import Audit


class Forgetful:
    """A server that serves the same slate to everybody for ever, under one request id."""

    def timed_post(self, path: str, _: dict[str, Any]) -> tuple[dict[str, Any], float]:
        items = [{"impression_id": n, "video_id": n, "position": n} for n in range(10)]
        return {"request_id": 7, "served_at_us": 1, "items": items if path == "/v1/feed" else []}, 0.0


def test_what_comes_back_and_ids_given_twice_are_counted() -> None:
    history = History()

    history.ask([cast(Client, Forgetful())] * 2, person=1, turns=3, first=0)

    assert (history.slates, history.repeats) == (3, 6)
    sound = cast(Audit, SimpleNamespace(served=SimpleNamespace(mismatched=0), figures=dict))
    told = figures_of(history, sound, 1)
    assert (told["request_ids_given_twice"], told["holds"]) == (2, False)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_two_servers_give_one_person_one_history(trained: Run, tmp_path: Path) -> None:
    run = copied(replace(trained), tmp_path)

    history = lived(run, tmp_path, people_of(run, 4), turns=3)

    told = figures_of(history, audit_of(run.places, Places(tmp_path / "offline"), run.seed), 4)
    assert history.slates == 12
    assert told["holds"], told["parity"]
