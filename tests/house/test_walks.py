"""What a newcomer runs first works, against a trained tiny world: the README's session, and the notebook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
import pytest

from feature_repo.places import Run
from labs.bench.servers import running

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "notebooks").glob("[0-9]*.py"))


def settings(run: Run) -> dict[str, str]:
    """The environment in which commands find this run."""
    return {"LOGS": run.logs, "SCALE": run.scale, "SEED": str(run.seed), "VAR": str(run.places.root.parent)}


@pytest.fixture(scope="module")
def session(served: Run) -> Iterator[str]:
    """What docs/session.sh prints against a server of that champion."""
    printed = served.places.root / "printed.txt"
    with running("session", ["-m", "serving"], settings(served), printed) as server:
        done = subprocess.run(
            ["bash", str(ROOT / "docs" / "session.sh"), "424242"],
            env={**os.environ, "PORT": str(server.port)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        yield done.stdout


def slates(session: str) -> tuple[list[str], list[str]]:
    """The videos of the first and of the second slate of the session."""
    before, after = session.split("watches the video")
    return tuple(
        [line.split()[2] for line in part.splitlines() if "  video " in line] for part in (before, after)
    )  # type: ignore[return-value]


@pytest.mark.slow
def test_the_session_of_the_readme_changes_the_feed(session: str) -> None:
    before, after = slates(session)

    assert len(before) == len(after) == 6
    assert before != after


@pytest.mark.slow
def test_the_session_does_not_show_a_watched_video_again(session: str) -> None:
    before, after = slates(session)

    assert before[2] not in after


@pytest.mark.slow
def test_the_session_stores_its_events_once(session: str) -> None:
    assert '{"stored":2,"repeated":0}' in session
    assert '{"stored":0,"repeated":2}' in session


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_a_notebook_runs_from_top_to_bottom(source: Path, trained: Run, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "notebooks" / "execute.py"), "--into", str(tmp_path), str(source)]
    done = subprocess.run(
        command,
        env={**os.environ, **settings(trained)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    assert pictures(json.loads((tmp_path / f"{source.stem}.ipynb").read_text("utf-8"))) >= 5


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_a_saved_notebook_is_its_source_executed(source: Path) -> None:
    saved = json.loads(source.with_suffix(".ipynb").read_text("utf-8"))
    written = ["".join(cell["source"]) for cell in saved["cells"]]

    assert written == [cell.source for cell in jupytext.read(source).cells], "run `make notebooks`"
    assert pictures(saved) >= 5


def pictures(notebook: dict[str, Any]) -> int:
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)
