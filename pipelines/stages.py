"""A stage is made once per content: its folder is named by the hash of everything that could change it.

The key covers the stage's inputs (their digests), its settings and the source files it depends on. An
artifact is written into a temporary folder and renamed, so a stopped run leaves nothing a later run would
trust; what it leaves is deleted by the next.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from feature_repo.processes import is_running
from feature_repo.reports import write_text_atomically

ROOT = Path(__file__).resolve().parent.parent
UNFINISHED = ".unfinished-"
KEPT = 3
"""Finished artifacts kept per stage; older ones are deleted when a new one is made."""


class OutOfOrder(RuntimeError):
    """A verb was run before what it needs was made; the message names the command to run first."""


@dataclass(frozen=True)
class Artifact:
    """A finished stage: its folder, its key (its digest for later stages) and what making it took."""

    stage: str
    key: str
    path: Path
    reused: bool
    seconds: float

    def __str__(self) -> str:
        return "reused" if self.reused else f"{self.seconds:.1f} s"


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline: its verb, what it read, and where its artifacts live."""

    verb: str
    inputs: Mapping[str, str]
    settings: Mapping[str, Any]
    sources: tuple[str, ...]
    """Files or folders, from the repository root, whose change makes old artifacts worthless."""

    @property
    def key(self) -> str:
        """First letters of the sha256 of inputs, settings and sources."""
        told = {
            "verb": self.verb,
            "inputs": dict(self.inputs),
            "settings": dict(self.settings),
            "sources": source_digest(self.sources),
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def folder(self, work: Path) -> Path:
        return work / self.verb / self.key

    def is_made(self, work: Path) -> bool:
        return self.folder(work).is_dir()

    def made(self, work: Path, make: Callable[[Path], None]) -> Artifact:
        """The artifact: the one that exists, or one that `make` writes into the folder it is given."""
        started, key, folder = time.perf_counter(), self.key, self.folder(work)
        remove_unfinished(work / self.verb)
        if folder.is_dir():
            os.utime(folder)
            return Artifact(self.verb, key, folder, True, time.perf_counter() - started)
        unfinished = folder.with_name(f"{UNFINISHED}{os.getpid()}-{key}")
        unfinished.mkdir(parents=True)
        make(unfinished)
        unfinished.rename(folder)
        remove_old(work / self.verb, KEPT)
        return Artifact(self.verb, key, folder, False, time.perf_counter() - started)

    def needed(self, work: Path) -> Artifact:
        """The stage's artifact, which an earlier verb must have made."""
        if not self.is_made(work):
            raise OutOfOrder(
                f"{self.folder(work)} does not exist: the verb was not run, or log, settings, code changed. "
                f"Run `python -m pipelines {self.verb}` first (or `make train`, which runs them all)."
            )
        return Artifact(self.verb, self.key, self.folder(work), True, 0.0)


@cache
def source_digest(sources: tuple[str, ...]) -> str:
    """sha256 over the Python files named or contained; read once per process, as the code is."""
    whole = hashlib.sha256()
    for source in sources:
        path = ROOT / source
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        for file in files:
            whole.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return whole.hexdigest()


def remove_unfinished(folder: Path) -> None:
    """Delete what stopped runs left; folders of processes that still run stay."""
    for left in folder.glob(f"{UNFINISHED}*"):
        pid = int(left.name.removeprefix(UNFINISHED).split("-")[0])
        if pid == os.getpid() or not is_running(pid):
            shutil.rmtree(left)


def remove_old(folder: Path, kept: int) -> None:
    """Keep the artifacts used last."""
    finished = [path for path in folder.iterdir() if not path.name.startswith(UNFINISHED)]
    for old in sorted(finished, key=lambda path: path.stat().st_mtime)[:-kept]:
        shutil.rmtree(old)


def write_json(path: Path, content: object) -> None:
    """JSON with sorted keys, so that equal content has equal bytes; the whole of it or nothing."""
    write_text_atomically(path, json.dumps(content, indent=2, sort_keys=True) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
