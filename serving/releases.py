"""A release: everything one slate depends on, in one immutable directory with one hash.

Towers, index, heads, calibrators, value weights, policy, matrix and snapshot can never be of different
versions. The hash covers exactly those; not the time, the commit or the metrics, so the same seed gives the
same hash. Nothing in it is a pickle: arrays are safetensors, boosters LightGBM text, the rest JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.policies import Policy as Policy
from serving.policies import policy_from_json

Json = Mapping[str, Any]

MANIFEST = "manifest.json"
CARDS = ("model_card.md", "data_card.md")


class DamagedRelease(ValueError):
    """A release whose content is not what its manifest promises; it must not be served."""


class MismatchedRelease(DamagedRelease):
    """A sound release made for another version of the code: its matrix has other columns."""


@dataclass(frozen=True)
class Release:
    """The plain parts of a release; `serving.models` makes the objects that predict out of them."""

    towers: Mapping[str, npt.NDArray[Any]]
    """Parameters of both towers by name."""
    video_ids: npt.NDArray[np.int64]
    video_vectors: npt.NDArray[np.float32]
    heads: Mapping[str, str]
    """LightGBM model text by head."""
    calibrators: Json
    values: Json
    columns: tuple[str, ...]
    """The matrix columns, in order; `feature_repo.matrix.COLUMNS` of the code that made it."""
    matrix_hash: str
    feature_service: str
    snapshot_hash: str
    policy: Policy = field(default_factory=Policy)
    release_id: str = ""
    """Filled by `read_release`: the first letters of the hash."""


@dataclass(frozen=True)
class Notes:
    """What a release carries beside its hash: who made it, when, and how good it is."""

    git_commit: str
    created_at: str
    metrics: Json
    """Estimates with their intervals, as reports write them."""
    model_card: str = ""
    data_card: str = ""


def write_release(directory: Path, release: Release, notes: Notes) -> str:
    """Write a release and return its id. The directory appears whole or not at all."""
    half = directory.with_name(f".{directory.name}.half-{os.getpid()}")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    _write_parts(half, release)
    files = _hashes(half)
    _write_cards(half, notes)
    manifest = _manifest(release, notes, files)
    _write_json(half / MANIFEST, manifest)
    shutil.rmtree(directory, ignore_errors=True)
    half.rename(directory)
    return str(manifest["release_id"])


def read_release(directory: Path) -> Release:
    """The release of a directory, after it was verified."""
    return _read_parts(directory, verify_release(directory))


def verify_release(directory: Path) -> dict[str, Any]:
    """The manifest, after every file and the whole were found to match it; otherwise `DamagedRelease`."""
    manifest = read_manifest(directory)
    _verify_files(directory, manifest)
    _verify_whole(directory, manifest)
    _verify_matrix(directory, manifest)
    return manifest


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest alone, unverified: hashes, FeatureService, snapshot, commit, metrics."""
    path = directory / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        remedy = "A release needs one; run `make train` for a new release."
        raise DamagedRelease(f"{path} cannot be read ({error}). {remedy}") from error
    missing = {"files", "release_hash", "release_id", "matrix_hash"} - set(manifest)
    if missing:
        raise DamagedRelease(
            f"{path} lacks {', '.join(sorted(missing))}. Run `make train` for a new release."
        )
    return dict(manifest)


def release_hash(files: Mapping[str, str], fixed: Json) -> str:
    """One sha256 over the hashed files and the two names the files do not carry: service and snapshot."""
    told = {"files": dict(sorted(files.items())), "fixed": dict(fixed)}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _manifest(release: Release, notes: Notes, files: Mapping[str, str]) -> dict[str, object]:
    fixed = {"feature_service": release.feature_service, "snapshot_hash": release.snapshot_hash}
    whole = release_hash(files, fixed)
    return {
        "release_id": f"r-{whole[:12]}",
        "release_hash": whole,
        "files": dict(files),
        "matrix_hash": release.matrix_hash,
        **fixed,
        "git_commit": notes.git_commit,
        "created_at": notes.created_at,
        "metrics": dict(notes.metrics),
    }


def _write_parts(directory: Path, release: Release) -> None:
    from safetensors.numpy import save_file

    arrays = {name: np.ascontiguousarray(values) for name, values in sorted(release.towers.items())}
    save_file(arrays, directory / "towers.safetensors")
    index = {
        "video_ids": np.ascontiguousarray(release.video_ids, dtype=np.int64),
        "vectors": np.ascontiguousarray(release.video_vectors, dtype=np.float32),
    }
    save_file(index, directory / "index.safetensors")
    (directory / "heads").mkdir()
    for name, text in release.heads.items():
        (directory / "heads" / f"{name}.txt").write_text(text, encoding="utf-8")
    _write_json(directory / "calibrators.json", release.calibrators)
    _write_json(directory / "value.json", release.values)
    _write_json(directory / "policy.json", release.policy.as_json())
    _write_json(directory / "matrix.json", {"columns": list(release.columns), "hash": release.matrix_hash})


def _write_cards(directory: Path, notes: Notes) -> None:
    for name, text in zip(CARDS, (notes.model_card, notes.data_card), strict=True):
        (directory / name).write_text(text, encoding="utf-8")


def _read_parts(directory: Path, manifest: Json) -> Release:
    from safetensors.numpy import load_file

    index = load_file(directory / "index.safetensors")
    matrix = _read_json(directory / "matrix.json")
    heads = sorted((directory / "heads").glob("*.txt"))
    return Release(
        towers=load_file(directory / "towers.safetensors"),
        video_ids=index["video_ids"],
        video_vectors=index["vectors"],
        heads={path.stem: path.read_text(encoding="utf-8") for path in heads},
        calibrators=_read_json(directory / "calibrators.json"),
        values=_read_json(directory / "value.json"),
        columns=tuple(matrix["columns"]),
        matrix_hash=str(matrix["hash"]),
        feature_service=str(manifest["feature_service"]),
        snapshot_hash=str(manifest["snapshot_hash"]),
        policy=policy_from_json(_read_json(directory / "policy.json")),
        release_id=str(manifest["release_id"]),
    )


def _hashes(directory: Path) -> dict[str, str]:
    """sha256 of every file that decides a slate, by its path inside the release."""
    unhashed = {MANIFEST, *CARDS}
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    named = {path.relative_to(directory).as_posix(): path for path in paths}
    return {name: _sha256(path) for name, path in named.items() if name not in unhashed}


def _verify_files(directory: Path, manifest: Json) -> None:
    promised: Mapping[str, str] = manifest["files"]
    found = _hashes(directory)
    for name in sorted({*promised, *found}):
        ours, theirs = found.get(name, "no such file"), promised.get(name, "no such file")
        if ours != theirs:
            raise DamagedRelease(
                f"{directory.name}/{name} has sha256 {ours[:16]}, its manifest promises {theirs[:16]}. "
                "The release is damaged: run `make rollback`, or `make train` for a new one."
            )


def _verify_whole(directory: Path, manifest: Json) -> None:
    fixed = {name: manifest.get(name) for name in ("feature_service", "snapshot_hash")}
    whole = release_hash(manifest["files"], fixed)
    if whole != manifest["release_hash"] or manifest["release_id"] != f"r-{whole[:12]}":
        raise DamagedRelease(
            f"{directory.name} hashes to {whole[:16]}, its manifest promises {manifest['release_hash'][:16]} "
            f"({manifest['release_id']}). Run `make rollback`, or `make train` for a new one."
        )


def _verify_matrix(directory: Path, manifest: Json) -> None:
    """The release's columns must be those of this code, or every tree would read the wrong feature."""
    from feature_repo.matrix import matrix_hash

    ours, theirs = matrix_hash(), str(_read_json(directory / "matrix.json")["hash"])
    if not ours == theirs == manifest["matrix_hash"]:
        raise MismatchedRelease(
            f"{directory.name} was trained on matrix {theirs[:16]}, this code assembles {ours[:16]}. "
            "Run `make train` for a release of this code, or check out the commit in its manifest."
        )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_json(path: Path, content: Json) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))
