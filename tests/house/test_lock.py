"""The lock names no host, covers pyproject.toml, and is what is installed."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements.lock").read_text("utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def locked() -> list[Requirement]:
    """The lines of the lock that hold on this interpreter and platform."""
    lines = (Requirement(line) for line in LOCK.splitlines() if line and not line.startswith("#"))
    return [line for line in lines if line.marker is None or line.marker.evaluate()]


def asked_for() -> list[Requirement]:
    dependencies = PYPROJECT["project"]["dependencies"] + PYPROJECT["dependency-groups"]["dev"]
    return [Requirement(line) for line in dependencies]


def pinned() -> dict[str, str]:
    return {str(canonicalize_name(line.name)): str(line.specifier).removeprefix("==") for line in locked()}


def test_the_lock_names_no_host_and_no_index() -> None:
    assert "://" not in LOCK
    assert not any(line.startswith("-") for line in LOCK.splitlines())


def test_every_line_of_the_lock_is_one_exact_version() -> None:
    assert [str(line) for line in locked() if not str(line.specifier).startswith("==")] == []


@pytest.mark.parametrize("wanted", asked_for(), ids=lambda wanted: wanted.name)
def test_the_lock_satisfies_what_pyproject_asks_for(wanted: Requirement) -> None:
    version = pinned().get(canonicalize_name(wanted.name))

    assert version is not None, (
        f"{wanted.name} is not in requirements.lock; compile it again (CONTRIBUTING.md)."
    )
    assert wanted.specifier.contains(version, prereleases=True)


def test_what_is_installed_is_what_is_locked() -> None:
    installed = {str(canonicalize_name(d.metadata["Name"])): d.version for d in metadata.distributions()}

    assert {name: v for name, v in pinned().items() if installed.get(name) != v} == {}
