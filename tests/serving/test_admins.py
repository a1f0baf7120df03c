"""Who is admin: one secret, from the environment or a file that is its owner's alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from feature_repo.places import BadSetting
from serving.admins import TOKEN, TOKEN_FILE, Admins, admins_of

SECRET = "correct-horse-battery"


def a_file(folder: Path, mode: int = 0o600, token: str = SECRET) -> Path:
    path = folder / "token"
    path.write_text(token + "\n")
    path.chmod(mode)
    return path


@pytest.mark.parametrize("given", [f"Bearer {SECRET}", f"bearer {SECRET}"])
def test_who_knows_the_token_is_admitted(given: str) -> None:
    assert admins_of({TOKEN: SECRET}).admit(given)


@pytest.mark.parametrize(
    "given", ["", SECRET, "Bearer", "Bearer ", f"Basic {SECRET}", f"Bearer {SECRET}x", "Bearer é"]
)
def test_nobody_else_is(given: str) -> None:
    assert not admins_of({TOKEN: SECRET}).admit(given)


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer ", f"Bearer {SECRET}"])
def test_without_a_token_there_is_no_admin(given: str) -> None:
    assert not admins_of({}).exist
    assert not Admins().admit(given)


def test_the_token_may_lie_in_a_file_of_its_owner(tmp_path: Path) -> None:
    assert admins_of({TOKEN_FILE: str(a_file(tmp_path))}).admit(f"Bearer {SECRET}")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_others_can_read_is_refused_with_the_command_to_run(tmp_path: Path, mode: int) -> None:
    path = a_file(tmp_path, mode)

    with pytest.raises(BadSetting, match=f"chmod 600 {path}"):
        admins_of({TOKEN_FILE: str(path)})


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="must be a file"):
        admins_of({TOKEN_FILE: str(tmp_path)})


def test_a_short_token_is_refused_and_not_repeated() -> None:
    with pytest.raises(BadSetting) as refused:
        admins_of({TOKEN: "hunter2"})

    assert "has 7 characters, must have 16" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_what_is_kept_does_not_say_the_token() -> None:
    admins = admins_of({TOKEN: SECRET})

    assert SECRET not in repr(admins)
    assert SECRET.encode() not in (admins.digest or b"")
