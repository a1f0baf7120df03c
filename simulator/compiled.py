"""Functions compiled to machine code at their first call, and never an old version of an equation.

numba keeps compiled code on disk but looks only at the file that holds the outermost function; an edited
equation in another file would go unnoticed. So the cache lies in a folder named by a digest of the sources
that are compiled: another digest, another compilation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numba import config, njit
from numba.extending import overload, register_jitable

Function = TypeVar("Function", bound=Callable[..., Any])

SOURCES = Path(__file__).parent
ENGINE = (
    "../feature_repo/clock.py",
    "../feature_repo/events.py",
    "behaviour.py",
    "births.py",
    "coefficients.py",
    "compiled.py",
    "dials.py",
    "exposures.py",
    "luck.py",
    "person_days.py",
    "slates.py",
    "swipes.py",
)
"""The files whose text or constants are compiled; a test finds the one that is missing here."""


def digest_of(names: Iterable[str]) -> str:
    """A hash of these source files of the world."""
    found = hashlib.sha256()
    for name in sorted(names):
        found.update(name.encode() + b"\0" + (SOURCES / name).read_bytes())
    return found.hexdigest()[:16]


def source_digest(apart: Iterable[str] = ()) -> str:
    """A hash of every source file of the world but those named: who lives it, and how."""
    return digest_of({path.name for path in SOURCES.glob("*.py")} - set(apart))


def compiled(function: Function) -> Function:
    """The same function, compiled for the types it is called with; it lets other threads run meanwhile."""
    made: Function = njit(cache=True, nogil=True, error_model="numpy")(function)
    return made


def inner(function: Function) -> Function:
    """Compiled too, but only to be called by compiled functions: a third of the time to compile."""
    made: Function = njit(
        cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
    )(function)
    return made


def equation(function: Function) -> Function:
    """The function as it stands, for arrays; compiled functions may call it on single numbers."""
    made: Function = register_jitable(function)
    return made


def either(condition: Any, yes: Any, no: Any) -> Any:
    """`yes` where the condition holds, else `no`: elementwise, or for one number in compiled functions."""
    return np.where(condition, yes, no)


def _either_of_numbers(condition: Any, yes: Any, no: Any) -> Callable[..., Any]:  # noqa: ARG001
    """numba asks with types; the answer is what to compile for single numbers."""

    def one(condition: Any, yes: Any, no: Any) -> Any:
        return yes if condition else no

    return one


overload(either)(_either_of_numbers)
config.CACHE_DIR = str(Path(config.CACHE_DIR or SOURCES / "__pycache__") / f"world-{digest_of(ENGINE)}")
