"""A log, its shadow and its sealed truth change place together: all of the new world, or all of the old one.

The log moves last and says by its presence that the move is over; a run that was killed on the way is undone
by the next one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from feature_repo.places import Places
from feature_repo.processes import is_running
from simulator import sealed

NAMES = ("shadow", sealed.NAME, sealed.OPENED, "log")
"""What changes place in a run's folder, the log last."""


@contextmanager
def swapped_in(root: Path, finish: Callable[[Path], None]) -> Iterator[Places]:
    """Places to fill; what is there takes the old world's place if the block and `finish` succeed."""
    fresh, aside = _beside(root, "unfinished"), _beside(root, "replaced")
    fresh.mkdir(parents=True)
    try:
        yield Places(fresh)
        finish(fresh)
        _move(root, aside)
        _move(fresh, root)
    finally:
        _settle(root, fresh, aside)


def recover(root: Path) -> None:
    """Undo what killed runs left: nothing of theirs is read, and what they moved aside comes back."""
    for fresh in root.glob(".world.*.unfinished"):
        if not is_running(int(fresh.name.split(".")[-2])):
            _settle(root, fresh, fresh.with_name(fresh.name.replace("unfinished", "replaced")))
    if not (root / "log").exists():
        _remove(root / "shadow")


def _settle(root: Path, fresh: Path, aside: Path) -> None:
    """Before the new log has left its folder the move is undone; from then on the old things are rubbish."""
    if aside.exists() and (fresh / "log").exists():
        if (aside / "log").exists() or not (root / "log").exists():
            for name in NAMES:
                _remove(root / name)
        _move(aside, root)
    _remove(aside)
    _remove(fresh)


def _move(old: Path, new: Path) -> None:
    new.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        if (old / name).exists():
            (old / name).rename(new / name)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _beside(root: Path, state: str) -> Path:
    return root / f".world.{os.getpid()}.{state}"
