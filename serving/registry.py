"""Which release is champion: one registered model, one version per release, aliases, a log of every move.

MLflow takes seconds to import, so only who registers a version pays for it. Aliases and tags are read and
moved where MLflow keeps them, SQLite rows, in milliseconds; tests prove that MLflow's own client answers the
same. MLflow has no compare-and-swap on aliases: every move happens under a file lock and is told in
`promotions.jsonl`.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_repo.places import Places
from serving import registry_rows
from serving.registry_rows import MODEL as MODEL
from serving.releases import DamagedRelease, verify_release

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

EXPERIMENT = "releases"
CHAMPION = "champion"
CHALLENGER = "challenger"
ROLLBACK = "rollback"
"""The reason of every move back, by hand or by a guardrail; a guardrail's sentence is told beside it."""


class NothingToRollBackTo(LookupError):
    """The champion has no predecessor."""


class MovedMeanwhile(LookupError):
    """The champion is no longer the version that was to be moved away from."""


class UnknownVersion(LookupError):
    """No such version is registered."""


@dataclass(frozen=True)
class Registered:
    """One version of the registered model and where its release lies."""

    version: int
    release_id: str
    directory: Path


@dataclass(frozen=True)
class RolledBack:
    """What a rollback did, and how long it took."""

    from_version: int
    to_version: int
    took_ms: float

    def __str__(self) -> str:
        moved = f"from version {self.from_version} to {self.to_version}"
        return f"champion moved back {moved} in {self.took_ms:.0f} ms"


def client(places: Places) -> MlflowClient:
    """MLflow's client on this run's own database; telemetry is off before it is imported."""
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # MLflow's own mappings use an option SQLAlchemy is about to drop; nothing its users could mend.
    warnings.filterwarnings("ignore", message=".*noload.*")
    for chatty in ("mlflow", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    places.registry.mkdir(parents=True, exist_ok=True)
    if not _database(places).exists():
        _make_database(_database(places))
    return _client_of(_database(places))


def _client_of(database: Path) -> MlflowClient:
    from mlflow.tracking import MlflowClient

    address = f"sqlite:///{database.resolve()}"
    return MlflowClient(address, address)


def _make_database(database: Path) -> None:
    """MLflow creates its tables in many steps and cannot finish what was killed midway: make them aside."""
    unfinished = database.with_name(f".{database.name}.{os.getpid()}.unfinished")
    unfinished.unlink(missing_ok=True)
    _client_of(unfinished).search_experiments()  # the first question creates every table
    with suppress(FileExistsError):  # somebody else was faster: theirs it is
        os.link(unfinished, database)
    unfinished.unlink()


def start_run(places: Places, name: str, tags: Mapping[str, str] | None = None) -> str:
    """Open an MLflow run in the releases experiment and return its id; its artifacts stay inside var/."""
    mlflow = client(places)
    experiment = mlflow.get_experiment_by_name(EXPERIMENT)
    experiment_id = (
        experiment.experiment_id
        if experiment
        else mlflow.create_experiment(
            EXPERIMENT, artifact_location=(places.registry / "artifacts").resolve().as_uri()
        )
    )
    return str(mlflow.create_run(experiment_id, run_name=name, tags=dict(tags or {})).info.run_id)


def register(places: Places, directory: Path, metrics: Mapping[str, float], run_id: str | None = None) -> int:
    """Copy a release into the registry as a new version; the same release again is the same version."""
    with moving(places):
        manifest = verify_release(directory)
        release_id = str(manifest["release_id"])
        known = [entry for entry in versions(places) if entry.release_id == release_id]
        if known:
            _repair(known[-1].directory, directory)
            return known[-1].version
        return _register(places, directory, manifest, run_id or start_run(places, release_id), metrics)


def champion(places: Places) -> tuple[int, Path] | None:
    """Version and directory of the champion, or None. Cheap enough to ask every second."""
    return aliased(places, CHAMPION)


def aliased(places: Places, alias: str) -> tuple[int, Path] | None:
    """Version and directory behind an alias, read from MLflow's own table."""
    rows = _query(places, registry_rows.ALIASED, (MODEL, alias))
    return (int(rows[0][0]), places.registry / rows[0][1]) if rows else None


class Alias:
    """Asks twice a second what `aliased` answers, and opens the database only if it was written since."""

    def __init__(self, places: Places, name: str) -> None:
        self._places, self._name = places, name
        self._stamp: registry_rows.Stamp | None = None
        self._found: tuple[int, Path] | None = None

    def now(self) -> tuple[int, Path] | None:
        """Version and directory, or None. For one thread."""
        before = registry_rows.stamp(_database(self._places))
        if before is None or before != self._stamp:
            self._found = aliased(self._places, self._name)
            after = registry_rows.stamp(_database(self._places))
            self._stamp = after if after == before else None  # what came between is asked for again
        return self._found


def versions(places: Places) -> list[Registered]:
    """Every registered version, oldest first."""
    rows = _query(places, registry_rows.VERSIONS, (MODEL,))
    return [Registered(int(v), str(release), places.registry / folder) for v, folder, release in rows]


def set_champion(places: Places, version: int, reason: str = "promoted") -> float:
    """Move the champion alias to a version, remembering the one before; milliseconds it took."""
    with moving(places):
        return move_champion(places, version, reason)


def set_challenger(places: Places, version: int) -> None:
    """Point the challenger alias at a version that did not win."""
    with moving(places):
        _check_known(places, version)
        registry_rows.write(_database(places), [registry_rows.alias(CHALLENGER, version)])
        tell(places, {"alias": CHALLENGER, "to": version, "reason": "challenger"})


def tag(places: Places, version: int, tags: Mapping[str, object]) -> None:
    """Write tags on a version: the verdict of its gates, for instance."""
    _check_known(places, version)
    written = [registry_rows.tag(version, name, value) for name, value in tags.items()]
    registry_rows.write(_database(places), written)


def was_rolled_back(places: Places, version: int) -> bool:
    """True of a version the champion was moved away from; no pipeline may promote it again by itself."""
    return bool(_tag(places, version, "rolled_back"))


def rollback(places: Places, why: str = "asked for", version: int | None = None) -> RolledBack:
    """Move the champion alias back to the champion before this one; away from `version` or not at all."""
    with moving(places):
        now = champion(places)
        if version is not None and (now is None or now[0] != version):
            raise MovedMeanwhile(f"champion is {now}, no longer version {version}; nothing was moved.")
        before = _tag(places, now[0], "previous_champion") if now else ""
        if now is None or not before:
            found = (
                f"champion is version {now[0]}, and none was champion before it"
                if now
                else "there is no champion"
            )
            raise NothingToRollBackTo(f"Nothing to roll back to: {found}. `make train` makes a new release.")
        for entry in versions(places):
            if entry.version == int(before):
                verify_release(entry.directory)  # no server would take up a damaged one
        mark = registry_rows.tag(now[0], "rolled_back", _timestamp())
        took_ms = _alias(places, int(before), mark)
        moved = {"alias": CHAMPION, "from": now[0], "to": int(before)}
        tell(places, {**moved, "reason": ROLLBACK, "why": why})
        return RolledBack(now[0], int(before), took_ms)


def promotions(places: Places) -> list[dict[str, Any]]:
    """Every move of an alias ever made, oldest first."""
    path = _promotions(places)
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def _query(places: Places, sql: str, arguments: tuple[object, ...]) -> list[tuple[Any, ...]]:
    return registry_rows.rows(_database(places), sql, arguments)


def _tag(places: Places, version: int, name: str) -> str:
    rows = _query(places, registry_rows.TAG, (MODEL, version, name))
    return str(rows[0][0]) if rows else ""


def _register(
    places: Places, directory: Path, manifest: Mapping[str, Any], run_id: str, metrics: Mapping[str, float]
) -> int:
    mlflow = client(places)
    folder = Path("releases") / str(manifest["release_id"])
    _copy(directory, places.registry / folder)
    _log(mlflow, run_id, manifest, metrics)
    if not mlflow.search_registered_models(f"name = '{MODEL}'"):
        mlflow.create_registered_model(
            MODEL, description="One version is one release: towers, index, heads, policy."
        )
    tags = {
        name: str(manifest[name]) for name in ("release_id", "release_hash", "git_commit", "snapshot_hash")
    }
    made = mlflow.create_model_version(
        MODEL,
        str((places.registry / folder).resolve()),
        run_id=run_id,
        tags={**tags, "folder": folder.as_posix()},
    )
    return int(made.version)


def _log(
    mlflow: MlflowClient, run_id: str, manifest: Mapping[str, Any], metrics: Mapping[str, float]
) -> None:
    from mlflow.entities import Metric

    now_ms = int(time.time() * 1000)
    mlflow.log_batch(
        run_id, metrics=[Metric(name, float(value), now_ms, 0) for name, value in metrics.items()]
    )
    mlflow.log_dict(run_id, dict(manifest), "manifest.json")
    mlflow.set_terminated(run_id)


def _copy(source: Path, target: Path) -> None:
    """Copy a release so that it appears whole; one that is there already is the same by its id."""
    half = target.with_name(f".{target.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    half.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, half)
    shutil.rmtree(target, ignore_errors=True)
    half.rename(target)


def _repair(registered: Path, sound: Path) -> None:
    """Put a sound copy in the place of a registered release that was damaged since."""
    try:
        verify_release(registered)
    except DamagedRelease:
        _copy(sound, registered)


def move_champion(places: Places, version: int, reason: str) -> float:
    """The same for whoever holds `moving`."""
    _check_known(places, version)
    now = champion(places)
    if now and now[0] == version:
        return 0.0
    marks = [registry_rows.tag(version, "previous_champion", now[0])] if now else []
    took_ms = _alias(places, version, *marks)
    tell(places, {"alias": CHAMPION, "from": now[0] if now else None, "to": version, "reason": reason})
    return took_ms


def _alias(places: Places, version: int, *marks: registry_rows.Statement) -> float:
    """Move the champion alias and write its marks, both or neither."""
    started = time.perf_counter()
    registry_rows.write(_database(places), [*marks, registry_rows.alias(CHAMPION, version)])
    moved = champion(places)
    if moved is None or moved[0] != version:
        raise UnknownVersion(f"the champion alias reads {moved} after it was moved to version {version}.")
    return (time.perf_counter() - started) * 1000


def _check_known(places: Places, version: int) -> None:
    known = [entry.version for entry in versions(places)]
    if version not in known:
        raise UnknownVersion(f"{MODEL} has no version {version}; it has {known}. `make train` registers one.")


def tell(places: Places, move: Mapping[str, object]) -> None:
    """Add a line to the promotion log; whoever tells a move holds `moving`."""
    with _promotions(places).open("a", encoding="utf-8") as told:
        told.write(json.dumps({"at": _timestamp(), **move}) + "\n")


def _timestamp() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _database(places: Places) -> Path:
    return places.registry / "mlflow.db"


def _promotions(places: Places) -> Path:
    return places.registry / "promotions.jsonl"


@contextmanager
def moving(places: Places) -> Iterator[None]:
    """One mover at a time, across processes."""
    places.registry.mkdir(parents=True, exist_ok=True)
    with (places.registry / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
