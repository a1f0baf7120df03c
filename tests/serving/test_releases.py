"""A release is whole, sound and of this code, or it is not read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.policies import Policy
from serving.releases import DamagedRelease, MismatchedRelease, Notes, read_release, write_release
from tests.serving.builders import NOTES, a_release, released


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    written = a_release(policy=Policy(exploration=0.07))

    release_id = write_release(tmp_path / "a", written, NOTES)
    read = read_release(tmp_path / "a")

    assert read.release_id == release_id
    assert np.array_equal(read.video_vectors, written.video_vectors)
    assert read.towers.keys() == written.towers.keys()
    assert (read.heads, read.values, read.policy) == (written.heads, written.values, written.policy)


def test_the_same_content_has_the_same_id_whenever_and_by_whomever(tmp_path: Path) -> None:
    other = Notes(
        git_commit="f" * 40, created_at="2027-01-01T00:00:00Z", metrics={"auc": 0.9}, model_card="# other"
    )

    assert released(tmp_path / "a") == write_release(tmp_path / "b", a_release(), other)


@pytest.mark.parametrize(
    "change",
    [{"policy": Policy(temperature=0.2)}, {"snapshot_hash": "another"}, {"feature_service": "ranker_v1"}],
)
def test_whatever_decides_a_slate_changes_the_id(tmp_path: Path, change: dict[str, Any]) -> None:
    assert released(tmp_path / "a") != released(tmp_path / "b", **change)


@pytest.mark.parametrize(
    "name",
    [
        "towers.safetensors",
        "index.safetensors",
        "heads/like.txt",
        "calibrators.json",
        "value.json",
        "policy.json",
    ],
)
def test_one_changed_byte_is_refused_with_both_hashes(tmp_path: Path, name: str) -> None:
    released(tmp_path / "a")
    promised = json.loads((tmp_path / "a" / "manifest.json").read_text())["files"][name]
    (tmp_path / "a" / name).write_bytes((tmp_path / "a" / name).read_bytes() + b" ")

    with pytest.raises(
        DamagedRelease, match=f"{name} has sha256 [0-9a-f]{{16}}, its manifest promises {promised[:16]}"
    ):
        read_release(tmp_path / "a")


def test_a_file_too_many_or_too_few_is_refused(tmp_path: Path) -> None:
    released(tmp_path / "a")
    released(tmp_path / "b")
    (tmp_path / "a" / "heads" / "extra.txt").write_text("tree")
    (tmp_path / "b" / "heads" / "like.txt").unlink()

    for name in ("a", "b"):
        with pytest.raises(DamagedRelease, match="no such file"):
            read_release(tmp_path / name)


def test_a_manifest_that_promises_another_whole_is_refused(tmp_path: Path) -> None:
    released(tmp_path / "a")
    path = tmp_path / "a" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "snapshot_hash": "another"}))

    with pytest.raises(DamagedRelease, match=r"hashes to [0-9a-f]{16}, its manifest promises"):
        read_release(tmp_path / "a")


@pytest.mark.parametrize("text", ["", "{", "{}", "[]"])
def test_an_unreadable_manifest_is_refused(tmp_path: Path, text: str) -> None:
    released(tmp_path / "a")
    (tmp_path / "a" / "manifest.json").write_text(text)

    with pytest.raises(DamagedRelease, match="manifest"):
        read_release(tmp_path / "a")


def test_a_release_of_another_matrix_is_refused_with_both_hashes(tmp_path: Path) -> None:
    released(tmp_path / "a", matrix_hash="0123456789abcdef0000")

    with pytest.raises(MismatchedRelease, match="trained on matrix 0123456789abcdef, this code assembles"):
        read_release(tmp_path / "a")


def test_cards_and_metrics_are_not_hashed(tmp_path: Path) -> None:
    released(tmp_path / "a")
    (tmp_path / "a" / "model_card.md").write_text("# corrected")

    assert read_release(tmp_path / "a").release_id


def test_a_release_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        released(tmp_path / "a", values={"weights": object()})

    assert not (tmp_path / "a").exists()
