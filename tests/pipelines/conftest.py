"""What tests of the commands share: a run that has nothing yet."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The empty VAR in which commands find a tiny simulated run."""
    for name, value in {
        "VAR": str(tmp_path),
        "LOGS": "simulated",
        "SCALE": "tiny",
        "TRAIN_UNTIL": "",
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path
