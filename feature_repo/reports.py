"""Figures a command ends with, as a file: documents and checks read these, never the screen."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feature_repo.places import Places, Run


def estimate(value: float, low: float, high: float, n: int) -> dict[str, float | int]:
    """A figure with its 95 % interval and the number of units (people, rows) it rests on."""
    return {"value": float(value), "low": float(low), "high": float(high), "n": int(n)}


def write_report(run: Run, verb: str, figures: Mapping[str, object]) -> Path:
    """Write reports/<verb>.json whole or not at all; figures must be JSON, NaN is written as null."""
    report = {
        "verb": verb,
        "seed": run.seed,
        "scale": run.scale,
        "logs": run.logs,
        "git_commit": git_commit(),
        "written_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "figures": _plain(figures),
    }
    path = run.places.reports / f"{verb}.json"
    write_text_atomically(path, json.dumps(report, indent=2, allow_nan=False) + "\n")
    return path


def read_report(places: Places, verb: str) -> dict[str, Any]:
    """The report as written; a missing one says which command writes it."""
    path = places.reports / f"{verb}.json"
    if not path.exists():
        raise FileNotFoundError(f"no report {path}; it is written by `{verb}`: run that first.")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def git_commit() -> str | None:
    """The commit of the working tree; None outside a repository."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
            cwd=Path(__file__).parent,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def write_text_atomically(path: Path, text: str) -> None:
    """A reader sees the old file or the new one, never a part: temp file, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    unfinished.write_text(text)
    unfinished.replace(path)


def _plain(value: object) -> object:
    """The same value in JSON's own types."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int, bool)):
        return value
    return str(value)
