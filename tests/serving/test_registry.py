"""Aliases move under a lock, every move is told, and reading one costs no import of MLflow."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from feature_repo.places import Places
from serving import registry, registry_rows
from serving.releases import DamagedRelease, read_release
from tests.serving.builders import released

Aliased = Callable[[Places, str], tuple[int, Path] | None]


def test_there_is_no_champion_before_the_first(tmp_path: Path) -> None:
    assert registry.champion(Places(tmp_path)) is None
    assert registry.versions(Places(tmp_path)) == []


def test_the_alias_read_from_the_table_is_the_one_mlflow_tells(places: Places) -> None:
    for version in (2, 1):
        registry.set_champion(places, version)
        told = registry.client(places).get_model_version_by_alias(registry.MODEL, registry.CHAMPION)
        found = registry.champion(places)

        assert found is not None
        assert found[0] == int(told.version) == version


def test_an_alias_that_is_looked_at_says_what_is_told_whoever_moves_it(places: Places) -> None:
    alias, mlflow = registry.Alias(places, registry.CHAMPION), registry.client(places)

    for move in (
        lambda: registry.set_champion(places, 2),
        lambda: mlflow.set_registered_model_alias(registry.MODEL, registry.CHAMPION, "1"),
        lambda: mlflow.delete_registered_model_alias(registry.MODEL, registry.CHAMPION),
    ):
        assert alias.now() == registry.champion(places)
        move()
        assert alias.now() == registry.champion(places)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The aliases that were looked for in the database."""
    asked: list[str] = []

    def aliased(places: Places, name: str, of: Aliased = registry.aliased) -> tuple[int, Path] | None:
        asked.append(name)
        return of(places, name)

    monkeypatch.setattr(registry, "aliased", aliased)
    return asked


def test_the_database_is_opened_again_only_if_it_was_written(places: Places, opened: list[str]) -> None:
    alias = registry.Alias(places, "challenger")
    for _ in range(3):
        alias.now()
    assert len(opened) == 1

    registry.tag(places, 1, {"gates": "hold"})
    for _ in range(3):
        alias.now()
    assert len(opened) == 2


def test_beside_somebody_who_writes_the_database_is_opened_every_time(
    places: Places, opened: list[str]
) -> None:
    """Or wrote and died: then what lies there may be half a change."""
    alias = registry.Alias(places, "challenger")
    alias.now()
    (places.registry / "mlflow.db-journal").touch()
    for _ in range(3):
        alias.now()

    assert len(opened) == 4


def test_a_move_in_the_very_moment_of_a_look_is_seen_by_the_next(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    alias, read = registry.Alias(places, registry.CHAMPION), registry.aliased

    def moved_meanwhile(places: Places, name: str) -> tuple[int, Path] | None:
        found = read(places, name)
        monkeypatch.setattr(registry, "aliased", read)
        registry.set_champion(places, 2)
        return found

    monkeypatch.setattr(registry, "aliased", moved_meanwhile)
    looks = [alias.now(), alias.now()]
    assert [found and found[0] for found in looks] == [1, 2]


def test_another_database_in_its_place_is_noticed_though_as_much_was_written_to_it(
    places: Places, tmp_path: Path
) -> None:
    database, other = places.registry / "mlflow.db", tmp_path / "other.db"
    shutil.copy(database, other)
    for path, version in ((database, 1), (other, 2)):
        registry_rows.write(path, [registry_rows.alias("challenger", version)])
    alias = registry.Alias(places, "challenger")
    before = alias.now()
    shutil.move(other, database)

    looks = [before, alias.now()]
    assert [found and found[0] for found in looks] == [1, 2]


def test_a_database_that_is_gone_is_noticed(places: Places) -> None:
    alias, database = registry.Alias(places, registry.CHAMPION), places.registry / "mlflow.db"
    before = alias.now()
    database.unlink()
    assert (before is not None, alias.now()) == (True, None)


def test_a_moved_run_still_finds_its_releases(places: Places, tmp_path: Path) -> None:
    """Even `places` is a copy of where it was registered; and once more."""
    shutil.move(places.root, tmp_path / "elsewhere")
    found = registry.champion(Places(tmp_path / "elsewhere"))

    assert found is not None
    assert read_release(found[1]).release_id


def test_the_same_release_registered_again_is_the_same_version(places: Places) -> None:
    assert registry.register(places, places.work / "1", {}) == 2
    assert len(registry.versions(places)) == 2


def test_registering_a_damaged_release_again_repairs_it(places: Places) -> None:
    folder = registry.versions(places)[1].directory
    (folder / "value.json").write_text("{}")

    registry.register(places, places.work / "1", {})

    assert read_release(folder).release_id


def test_a_rollback_moves_the_champion_back_and_says_so(places: Places) -> None:
    registry.set_champion(places, 2)

    moved = registry.rollback(places)

    assert str(moved).startswith("champion moved back from version 2 to 1 in ")
    assert registry.champion(places)[0] == 1  # type: ignore[index]
    assert registry.was_rolled_back(places, 2)
    assert not registry.was_rolled_back(places, 1)


def test_without_a_predecessor_there_is_nothing_to_roll_back_to(places: Places) -> None:
    with pytest.raises(
        registry.NothingToRollBackTo, match="champion is version 1, and none was champion before it"
    ):
        registry.rollback(places)


def test_without_a_champion_there_is_nothing_to_roll_back_to(tmp_path: Path) -> None:
    with pytest.raises(registry.NothingToRollBackTo, match="there is no champion"):
        registry.rollback(Places(tmp_path / "run"))


def test_every_move_is_told_in_order(places: Places) -> None:
    registry.set_champion(places, 2, "every gate holds")
    registry.rollback(places)

    told = [(move["from"], move["to"], move["reason"]) for move in registry.promotions(places)]
    assert told == [(None, 1, "promoted"), (1, 2, "every gate holds"), (2, 1, "rollback")]


def test_the_champion_cannot_be_a_version_nobody_registered(places: Places) -> None:
    with pytest.raises(registry.UnknownVersion, match=r"no version 9; it has \[1, 2\]"):
        registry.set_champion(places, 9)


def test_a_damaged_release_is_not_registered(places: Places) -> None:
    released(places.work / "3", seed=0, snapshot_hash="third")
    (places.work / "3" / "value.json").write_text("{}")

    with pytest.raises(Exception, match="damaged"):
        registry.register(places, places.work / "3", {})
    assert len(registry.versions(places)) == 2


def test_following_the_alias_does_not_import_mlflow(places: Places) -> None:
    code = (
        "import sys, pathlib; from feature_repo.places import Places; from serving import registry;"
        f"print(registry.champion(Places(pathlib.Path({str(places.root)!r})))[0], 'mlflow' in sys.modules)"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.split() == ["1", "False"]


def test_a_database_appears_with_all_of_its_tables_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places(tmp_path / "run")

    def killed(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("serving.registry._client_of", killed)
        with pytest.raises(KeyboardInterrupt):
            registry.client(places)
    assert not (places.registry / "mlflow.db").exists()

    assert registry.client(places).search_registered_models() == []
    assert [path.name for path in places.registry.iterdir()] == ["mlflow.db"]


def test_what_a_killed_writer_left_half_done_is_undone_by_the_next_reader(places: Places) -> None:
    database = places.registry / "mlflow.db"
    killed = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "c.execute('pragma cache_size=1'); c.execute('begin immediate'); "
        "c.execute('create table big (x)'); "
        "c.execute('insert into big with recursive n(i) as "
        "(select 1 union all select i + 1 from n where i < 50000) select hex(randomblob(50)) from n'); "
        "os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", killed, str(database)], check=False)
    assert database.with_name("mlflow.db-journal").exists()

    found = registry.champion(places)

    assert found is not None
    assert found[0] == 1


def test_a_rollback_onto_a_damaged_release_is_refused_and_moves_nothing(
    places: Places, break_release: Callable[[int], str]
) -> None:
    registry.set_champion(places, 2)
    break_release(1)

    with pytest.raises(DamagedRelease, match=r"has sha256 .*, its manifest promises"):
        registry.rollback(places)

    found = registry.champion(places)
    assert found is not None
    assert found[0] == 2
    assert not registry.was_rolled_back(places, 2)


def test_what_is_written_without_mlflow_is_what_mlflow_reads(places: Places) -> None:
    registry.set_challenger(places, 1)
    registry.set_champion(places, 2)
    registry.tag(places, 2, {"gates": "held"})
    registry.rollback(places)

    told = registry.client(places).get_model_version(registry.MODEL, "2")
    aliases = registry.client(places).get_registered_model(registry.MODEL).aliases
    assert {name: int(version) for name, version in aliases.items()} == {"challenger": 1, "champion": 1}
    assert (told.tags["gates"], told.tags["previous_champion"]) == ("held", "1")
    assert "rolled_back" in told.tags


def test_mlflow_may_move_what_we_moved(places: Places) -> None:
    registry.set_champion(places, 2)

    registry.client(places).set_registered_model_alias(registry.MODEL, registry.CHAMPION, "1")

    assert registry.champion(places)[0] == 1  # type: ignore[index]


def test_moving_an_alias_does_not_import_mlflow(places: Places) -> None:
    code = (
        "import sys, pathlib; from feature_repo.places import Places; from serving import registry;"
        f"places = Places(pathlib.Path({str(places.root)!r})); registry.set_champion(places, 2);"
        "print(registry.rollback(places).to_version, 'mlflow' in sys.modules)"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.split() == ["1", "False"]


def test_rows_are_written_all_or_none(places: Places) -> None:
    broken = ("insert into no_such_table values (?)", (1,))

    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        registry_rows.write(places.registry / "mlflow.db", [registry_rows.alias("champion", 2), broken])
    assert registry.champion(places)[0] == 1  # type: ignore[index]
