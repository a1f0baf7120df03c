"""Is compiled code never older than what it is made of?"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

from numba import njit

from feature_repo.compiling import compiled_for, named

INNER = "def inner(number):\n    return number {} 2\n"
OUTER = "def outer(number):\n    return inner(number) + STEP\n"


def made(sign: str = "*", step: object = 1) -> Callable[..., Any]:
    """`outer`, which calls a compiled function and reads a constant that might both stand elsewhere."""
    known: dict[str, Any] = {"STEP": step, "__name__": __name__}
    exec(INNER.format(sign), known)
    known["inner"] = njit(named(known["inner"]))
    exec(OUTER, known)
    return named(known["outer"])  # type: ignore[no-any-return]


def test_what_is_made_of_the_same_has_the_same_name() -> None:
    assert made().__qualname__ == made().__qualname__ != "outer"


def test_another_function_that_is_called_makes_another_name() -> None:
    assert made("*").__qualname__ != made("+").__qualname__


def test_another_constant_that_is_read_makes_another_name() -> None:
    assert made(step=1).__qualname__ != made(step=2).__qualname__


def test_what_is_compiled_for_its_types_answers_as_before() -> None:
    @compiled_for("int64(int64)")
    def doubled(number: int) -> int:
        return 2 * number

    assert doubled(21) == 42


def test_what_numba_only_looks_for_is_not_imported_and_there_for_whoever_wants_it() -> None:
    code = "import sys, feature_repo.compiling; assert not {'scipy.linalg', 'cffi'} & set(sys.modules)"

    assert subprocess.run([sys.executable, "-c", f"{code}; import scipy.linalg, cffi"]).returncode == 0
