"""A world whose coefficients its user has not seen: drawn from a secret, sealed in a file, opened later.

What must be discovered is drawn: how much clickbait pulls and whether it harms, how fast eyes tire on the
grid, how much boredom there is. What holds the marginals (the intercepts) stays as published. The file is a
wax seal and no lock: whoever wants to can read it, nobody reads it by accident, and a broken one is seen.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from simulator.coefficients import PUBLISHED, Coefficients

NAME = "sealed-truth.bin"
OPENED = "sealed-truth.opened"
HEADER = b"fourplanes sealed truth, version 1. `python -m simulator reveal` opens it.\n"

RANGES: Mapping[str, tuple[float, float]] = {
    # What the thumb and the heart make of clickbait: it may even please a little.
    "pull_clickbait": (0.0, 0.7),
    "satisfaction_clickbait": (-1.0, 0.3),
    "cover_clickbait": (0.0, 1.0),
    "pull_freshness": (0.1, 0.7),
    # Where eyes fall on the grid, and what repetition does.
    "examination_decay": (0.5, 1.6),
    "boredom": (0.0, 1.1),
    "fatigue": (0.0, 0.3),
    "novelty": (0.0, 0.3),
    # How long satisfaction and interests last, and who answers a survey.
    "habit_slope": (0.3, 1.5),
    "drift_sd": (0.0, 0.1),
    "craze_logit": (0.0, 2.0),
    "survey_leniency": (0.0, 1.0),
    "friend_visit": (0.05, 0.35),
}
"""Uniform between these ends, around PUBLISHED; slopes of standardised latents move rates little."""


class BrokenSeal(ValueError):
    """A sealed file that cannot be what was sealed: damaged, or of another version."""


def new_secret() -> int:
    """128 bits of the machine's own chance; only the edge (`logs --hidden`) calls this."""
    return int.from_bytes(os.urandom(16), "big")


def drawn(secret: int) -> Coefficients:
    """The coefficients of the hidden world with this secret (>= 0), each within RANGES, independent."""
    rng = np.random.default_rng(secret)
    fields: dict[str, Any] = {name: float(rng.uniform(low, high)) for name, (low, high) in RANGES.items()}
    return PUBLISHED._replace(**fields)


def digest(coefficients: Coefficients) -> str:
    """16 hex digits that tell worlds apart and give no coefficient away."""
    return hashlib.sha256(_written(coefficients)).hexdigest()[:16]


def seal(root: Path, coefficients: Coefficients) -> Path:
    """Write the truth into a run's folder, whole or not at all; another truth than before is unopened."""
    path = root / NAME
    if is_sealed(root) and path.read_bytes() == _sealed(coefficients):
        return path
    root.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    unfinished.write_bytes(_sealed(coefficients))
    unfinished.replace(path)
    (root / OPENED).unlink(missing_ok=True)
    return path


def discard(root: Path) -> None:
    """Forget a run's hidden truth: the world it belonged to is replaced by one that hides nothing."""
    (root / NAME).unlink(missing_ok=True)
    (root / OPENED).unlink(missing_ok=True)


def is_sealed(root: Path) -> bool:
    """Whether this run's coefficients are hidden."""
    return (root / NAME).exists()


def unseal(path: Path) -> Coefficients:
    """The coefficients in a sealed file, for labs to compute with, unshown; BrokenSeal if it is damaged.

    zlib's own checksum holds the bytes together.
    """
    found = path.read_bytes()
    if not found.startswith(HEADER):
        raise BrokenSeal(f"{path} does not begin as version 1 of a sealed truth; live the world again.")
    try:
        written = zlib.decompress(base64.b85decode(found.removeprefix(HEADER)))
    except (ValueError, zlib.error) as error:
        raise BrokenSeal(f"{path} is damaged ({error}); live the world again.") from error
    return _read(path, written)


def of_run(root: Path) -> Coefficients:
    """The coefficients a run was lived with: the sealed ones if they are hidden, else the published."""
    return unseal(root / NAME) if is_sealed(root) else PUBLISHED


def _sealed(coefficients: Coefficients) -> bytes:
    return HEADER + base64.b85encode(zlib.compress(_written(coefficients), 9))


def _written(coefficients: Coefficients) -> bytes:
    return json.dumps(coefficients._asdict(), sort_keys=True, allow_nan=False).encode()


def _read(path: Path, written: bytes) -> Coefficients:
    fields: dict[str, Any] = json.loads(written)
    if fields.keys() != PUBLISHED._asdict().keys():
        odd = sorted(fields.keys() ^ PUBLISHED._asdict().keys())
        raise BrokenSeal(f"{path} was sealed by other code: {', '.join(odd)} differ; live the world again.")
    return Coefficients(**{name: _frozen(value) for name, value in fields.items()})


def _frozen(value: Any) -> Any:
    """JSON's lists as the tuples they were."""
    return tuple(_frozen(inner) for inner in value) if isinstance(value, list) else value
