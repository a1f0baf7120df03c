"""Functions as machine code, kept on disk, that let other threads run meanwhile. No sum is reordered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The same function, compiled for the types it is called with."""
    made: Function = njit(cache=True, nogil=True)(function)
    return made


def compiled_for(signature: Any) -> Callable[[Function], Function]:
    """The same for these types, when its module is imported: what a request runs must not wait for its first
    one.
    """
    made: Callable[[Function], Function] = njit(signature, cache=True, nogil=True)
    return made
