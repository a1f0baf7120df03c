"""A tiny world trained once: the release is whole, judged, reused, and says what it knows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from evaluation.gates import GATES
from feature_repo.labels import learnable
from feature_repo.places import Places, Run
from feature_repo.reports import read_report
from pipelines import promote, rollback
from pipelines.build_training_set import SNAPSHOT
from pipelines.plan import Plan, plan_of
from pipelines.release import Trained, assembled
from pipelines.shell import Told
from serving import registry
from serving.heads import HEADS
from serving.registry import NothingToRollBackTo
from serving.releases import read_release

pytestmark = pytest.mark.slow
QUIET = Told(quiet=True)


@pytest.fixture
def plan(trained: Run, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.delenv("TRAIN_UNTIL", raising=False)
    return plan_of(trained)


@pytest.fixture
def own_registry(trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """The same log and artifacts with a registry of one's own: aliases may be moved."""
    monkeypatch.delenv("TRAIN_UNTIL", raising=False)
    root = tmp_path / trained.places.root.name
    root.mkdir()
    for part in trained.places.root.iterdir():
        if part.name != "registry":
            (root / part.name).symlink_to(part.resolve())
    return plan_of(replace(trained, places=Places(root)))


def a_rival(plan: Plan, tmp_path: Path) -> int:
    """Another registered version: the same release with another policy, so another hash."""
    from serving.policies import Policy
    from serving.releases import Notes, write_release

    release = replace(assembled(Trained.of(plan)), policy=Policy(temperature=0.2))
    write_release(tmp_path / "rival", release, Notes("", "", {}))
    return registry.register(plan.run.places, tmp_path / "rival", {})


def test_the_champion_is_the_release_that_was_trained(plan: Plan) -> None:
    champion = registry.champion(plan.run.places)

    assert champion is not None
    assert (
        read_release(champion[1]).release_id == read_report(plan.run.places, "train")["figures"]["release_id"]
    )


def test_the_same_artifacts_assemble_into_the_same_release(plan: Plan, tmp_path: Path) -> None:
    from serving.releases import Notes, write_release

    again = write_release(tmp_path / "again", assembled(Trained.of(plan)), Notes("other", "later", {}))

    assert again == read_report(plan.run.places, "release")["figures"]["release_id"]


def test_every_stage_is_made_and_so_would_be_reused(plan: Plan) -> None:
    stages = (plan.features, plan.towers, plan.rows, plan.ranker, plan.release)

    assert all(stage.is_made(plan.work) for stage in stages)


def test_one_label_row_of_the_swipe_feed_is_one_training_row(plan: Plan) -> None:
    snapshot = pl.read_parquet(Trained.of(plan).rows.path / SNAPSHOT, columns=["impression_id", "split"])

    from pipelines.watches import labels_of

    on_the_feed = learnable(plan.run.logs)
    labelled = sum(len(labels_of(plan.log, window).filter(on_the_feed)) for _, window in plan.splits.ranker)
    assert len(snapshot) == labelled == snapshot["impression_id"].n_unique()


def test_no_training_row_is_older_than_the_towers_know(plan: Plan) -> None:
    snapshot = pl.read_parquet(Trained.of(plan).rows.path / SNAPSHOT, columns=["event_time"])

    assert snapshot["event_time"].to_physical().min() >= plan.splits.towers.end_us  # type: ignore[operator]


def test_every_head_uses_all_its_mature_rows(plan: Plan) -> None:
    heads = read_report(plan.run.places, "train-ranker")["figures"]["heads"]

    assert set(heads) == set(HEADS)
    assert all(head["rows_used"] == head["rows_mature"] > 0 for head in heads.values())


def test_every_gate_was_asked_and_the_decision_is_on_record(plan: Plan) -> None:
    lines = (plan.run.places.registry / promote.DECISIONS).read_text().splitlines()

    decision = json.loads(lines[0])
    assert set(decision["gates"]) == {gate.name for gate in GATES}
    assert decision["promoted"] is True


def test_a_release_carries_its_cards(plan: Plan) -> None:
    release = plan.release.needed(plan.work).path / "release"

    assert "beats" not in (release / "model_card.md").read_text()
    assert "per-user AUC of a yes" in (release / "model_card.md").read_text()
    assert plan.log_digest[:16] in (release / "data_card.md").read_text()


def test_the_report_compares_what_was_shown_with_what_is_asked(plan: Plan) -> None:
    table = read_report(plan.run.places, "release")["figures"]["exposure_versus_candidates"]

    assert table["video_duration_s"].keys() == {"mean_trained", "mean_asked", "psi"}


def test_a_refused_release_leaves_the_old_champion(
    own_registry: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evaluation import gates

    old = a_rival(own_registry, tmp_path)
    registry.set_champion(own_registry.run.places, old)
    strict = tuple(replace(gate, bound=9.0) if gate is gates.BEATS_BASELINES else gate for gate in GATES)
    monkeypatch.setattr(gates, "GATES", strict)

    decision = promote.run(own_registry, QUIET)

    assert decision["promoted"] is False
    assert decision["gates"]["beats_baselines"]["holds"] is False
    assert registry.champion(own_registry.run.places)[0] == old  # type: ignore[index]


def test_an_equal_release_replaces_the_champion_and_rolls_back(own_registry: Plan, tmp_path: Path) -> None:
    old = a_rival(own_registry, tmp_path)
    registry.set_champion(own_registry.run.places, old)

    decision = promote.run(own_registry, QUIET)
    back = rollback.run(own_registry, QUIET)

    assert decision["gates"]["not_worse_than_champion"]["found"]["value"] == pytest.approx(0, abs=1e-6)
    assert (decision["promoted"], back["to_version"]) == (True, old)


def test_what_was_rolled_back_is_not_promoted_again_by_itself(own_registry: Plan, tmp_path: Path) -> None:
    registry.set_champion(own_registry.run.places, a_rival(own_registry, tmp_path))
    promote.run(own_registry, QUIET)
    rollback.run(own_registry, QUIET)

    assert promote.run(own_registry, QUIET)["promoted"] is False


def test_without_a_champion_before_there_is_nothing_to_roll_back_to(own_registry: Plan) -> None:
    with pytest.raises(NothingToRollBackTo, match="no champion"):
        rollback.run(own_registry, QUIET)
