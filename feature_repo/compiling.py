"""Functions as machine code, kept on disk and never older than what they are made of; no sum is reordered.

numba keeps compiled code until the file of the outermost function changes; an edit of what it calls or reads
in another file would go unnoticed. So a compiled function carries a digest of both in its name, by which it
is kept. It lets other threads run meanwhile.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np


@contextmanager
def _absent(*modules: str) -> Iterator[None]:
    """As if these were not installed, for whoever looks for them in the block."""
    missing = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(missing))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]


with _absent("scipy.linalg", "cffi"):  # a quarter of a second of every start, for what nothing here uses
    from numba import njit
    from numba.core.registry import CPUDispatcher
    from numba.core.typing import cffi_utils as cffi_utils
    from numba.np import arraymath as arraymath

Function = TypeVar("Function", bound=Callable[..., Any])

CONSTANTS = (bool, int, float, str, tuple, np.generic)
"""Kinds of global values that are compiled in."""


def compiled(function: Function) -> Function:
    """The same function, compiled for the types it is called with."""
    made: Function = njit(cache=True, nogil=True)(named(function))
    return made


def compiled_for(signature: Any) -> Callable[[Function], Function]:
    """The same for these types, when its module is imported: what a request runs must not wait for its first
    one.
    """

    def made(function: Function) -> Function:
        found: Function = njit(signature, cache=True, nogil=True)(named(function))
        return found

    return made


def named(function: Function) -> Function:
    """The function, its name followed by a digest of what it is made of."""
    digest = hashlib.sha256("\n".join(_made_of(function)).encode()).hexdigest()[:12]
    function.__qualname__ = f"{function.__qualname__}_{digest}"
    return function


def _made_of(function: Callable[..., Any]) -> Iterator[str]:
    """Its own steps, the constants it reads, and the functions it calls by the names that `compiled` gave."""
    code, known = function.__code__, function.__globals__
    yield code.co_code.hex()
    yield repr([each for each in code.co_consts if isinstance(each, CONSTANTS)])
    for name in sorted(set(code.co_names) & known.keys()):
        if isinstance(known[name], CPUDispatcher):
            yield f"{name} {known[name].py_func.__qualname__}"
        elif isinstance(known[name], CONSTANTS):
            yield f"{name} {known[name]!r}"
