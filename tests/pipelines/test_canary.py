"""`python -m pipelines canary`: start, widen, stop, look."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from feature_repo.places import Places
from pipelines.__main__ import main
from serving import canaries, registry
from tests.serving.builders import released


@pytest.fixture
def places(nowhere: Path) -> Places:
    """A run with two releases; version 1 is champion."""
    made = Places(nowhere / "simulated-tiny")
    for seed in (0, 1):
        released(made.work / str(seed), seed)
        registry.register(made, made.work / str(seed), {})
    registry.set_champion(made, 1)
    return made


def champion_of(places: Places) -> int:
    found = registry.champion(places)
    return found[0] if found else 0


def test_a_canary_is_started_told_and_stopped(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["canary", "--version", "2", "--share", ".05"]) == 0
    assert "version 2 serves 5.0% of the people, version 1 the others." in capsys.readouterr().out
    assert main(["canary"]) == 0
    assert canaries.running(places) == canaries.Canary(2, 0.05)
    assert main(["canary", "--share", "0"]) == 0
    assert canaries.running(places) == canaries.NO_CANARY
    report = json.loads((places.reports / "canary.json").read_text())["figures"]
    assert (report["champion"], report["challenger"], report["share"]) == (1, 2, 0)


def test_the_version_on_trial_is_promoted_and_its_trial_is_over(places: Places) -> None:
    assert main(["canary", "--version", "2", "--share", ".05"]) == 0

    assert main(["canary", "--promote"]) == 0

    assert champion_of(places) == 2
    assert canaries.running(places) == canaries.NO_CANARY
    moved = [move for move in registry.promotions(places) if move.get("alias") == registry.CHAMPION]
    assert (moved[-1]["from"], moved[-1]["to"]) == (1, 2)
    assert moved[-1]["reason"] == "promoted after a canary of 5.0%"


def test_a_canary_that_was_stopped_is_not_promoted(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["canary", "--version", "2", "--share", ".05"]) == 0
    assert canaries.stop(places, 2, "p99 was too high")

    assert main(["canary", "--promote"]) == 1

    assert champion_of(places) == 1
    assert "no canary runs" in capsys.readouterr().err


def test_without_a_challenger_the_ways_to_one_are_named(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["canary", "--share", ".05"]) == 1
    assert "there is no challenger" in capsys.readouterr().err
    assert canaries.running(places) == canaries.NO_CANARY


def test_a_share_of_another_verb_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["rollback", "--share", ".05"])
    assert "are canary's, not rollback's" in capsys.readouterr().err
