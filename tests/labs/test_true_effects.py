"""Do the labs that live whole worlds infer what they say? In worlds small enough to live in a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feature_repo.places import Places, Run
from feature_repo.scales import Scale
from labs import global_effect, long_term, pairing
from labs.__main__ import main
from labs.rivals import NAMES, rivals, world_of_run
from simulator.worlds import World

SMALL = Scale("small", users=120, days=5)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A run without a log; returns where its reports go."""
    for name, value in (("VAR", str(tmp_path)), ("SCALE", "tiny"), ("SEED", "7"), ("LOGS", "simulated")):
        monkeypatch.setenv(name, value)
    return tmp_path / "simulated-tiny" / "reports"


def figures(reports: Path, verb: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((reports / f"{verb}.json").read_text())["figures"]
    return found


def test_every_policy_has_its_name() -> None:
    assert tuple(rivals()) == NAMES


def test_a_run_without_a_log_is_the_calm_world(tmp_path: Path) -> None:
    run = Run("simulated", "tiny", 3, Places(tmp_path))

    assert world_of_run(run, future_days=2) == World("tiny", 3, future_days=2)


def test_the_cut_is_the_ratio_of_the_variances() -> None:
    rng = np.random.default_rng(1)
    shared, ours, theirs = rng.normal(size=(3, 4_000))

    found = pairing.paired(3.0 * shared + ours, 3.0 * shared + theirs + 2.0, rng)

    assert found.unpaired == pytest.approx(20.0, rel=0.1)
    assert found.paired == pytest.approx(2.0, rel=0.1)
    assert found.times.value == pytest.approx(found.unpaired / found.paired)
    assert found.times.low < 10.0 < found.times.high
    assert found.difference.value == pytest.approx(-2.0, abs=0.1)


def test_near_policies_in_one_world_differ_more_quietly_than_in_two() -> None:
    found = pairing.measured(1, users=80, replications=5, step=lambda: None)

    assert all(found["other_worlds"][name].times.value > 2.0 for name in pairing.NEAR)


def test_other_luck_has_the_same_people() -> None:
    one, two = pairing.worlds("other_luck", 1, users=80, replications=2)

    assert (one.people.return_logit == two.people.return_logit).all()
    assert (one.luck, two.luck) == (1, 2)


def test_the_pairing_report_says_which_bars_are_met(environment: Path) -> None:
    assert main(["pairing", "--replications", "3", "--users", "40"]) == 0

    found = figures(environment, "pairing")
    assert set(found["other_luck"]) == set(found["other_worlds"]) == {*pairing.NEAR, *pairing.FAR}
    assert "meets_the_bar" in found["other_worlds"]["warmer"]


@pytest.mark.usefixtures("environment")
def test_a_variance_of_two_is_refused() -> None:
    with pytest.raises(SystemExit):
        main(["pairing", "--replications", "2"])


def test_satisfaction_brings_people_back(environment: Path) -> None:
    assert main(["long-term", "--policies", "by-satisfaction"]) == 0

    found = figures(environment, "long-term")
    assert found["default"]["more_days"]["value"] == 0.0
    assert found["by-satisfaction"]["more_days"]["low"] > 0.0
    assert found["by-satisfaction"]["active_days"]["value"] < 28.0


@pytest.mark.usefixtures("environment")
def test_a_policy_nobody_knows_is_refused() -> None:
    with pytest.raises(SystemExit):
        main(["long-term", "--policies", "by-magic"])


def test_a_change_of_nothing_has_no_effect_on_anybody() -> None:
    rng = np.random.default_rng(1)

    found = global_effect.effects(World(SMALL, 5), "default", "default", rng, lambda days, _name: days)

    assert found["satisfaction"].everybody.value == 0.0
    assert found["satisfaction"].experiment.low < 0.0 < found["satisfaction"].experiment.high


def test_two_groups_differ_by_their_means_with_the_error_of_welch() -> None:
    found = global_effect.between(np.asarray([1.0, 3.0]), np.asarray([0.0, 2.0, 1.0]))

    assert found.value == pytest.approx(1.0)
    assert found.high - found.value == pytest.approx(1.96 * np.sqrt(2.0 / 2 + 1.0 / 3), rel=1e-3)


def test_the_global_effect_report_has_both_answers(environment: Path) -> None:
    assert main(["global-effect", "--lucks", "2"]) == 0

    found = figures(environment, "global-effect")
    assert found["satisfaction"]["everybody"]["low"] > 0.0
    assert len(found["effects_by_luck"]["active_days"]["experiment"]) == 2


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("verb", ["long-term", "global-effect"])
def test_real_logs_have_no_other_worlds(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOGS", "kuairand")

    assert main([verb]) == 2
    assert "simulated" in capsys.readouterr().err


def test_the_labs_explain_the_policies_there_are() -> None:
    assert set(long_term.POLICIES) <= set(NAMES)
