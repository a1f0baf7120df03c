"""Compiled code is never older than the text it was compiled from."""

from __future__ import annotations

import ast
from pathlib import Path

from simulator.compiled import ENGINE, SOURCES, compiled, digest_of, either, equation


def imported_by(path: Path) -> set[str]:
    """The world's own modules that a file imports when it is run."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module == "simulator":
            found |= {f"{alias.name}.py" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("simulator."):
            found.add(f"{(node.module or '').removeprefix('simulator.')}.py")
    return found


def test_the_digest_covers_every_file_the_engine_is_made_of() -> None:
    found, waiting = set(), {"person_days.py"}

    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= imported_by(SOURCES / name) - found

    assert found <= set(ENGINE)


def test_another_text_has_another_digest() -> None:
    assert digest_of(["behaviour.py"]) != digest_of(["luck.py"])


@equation
def doubled(x: float) -> float:
    found: float = either(x > 0.0, 2.0 * x, 0.0)
    return found


@compiled
def doubled_twice(x: float) -> float:
    return doubled(doubled(x))


def test_an_equation_is_itself_inside_compiled_code() -> None:
    assert [doubled_twice(x) for x in (-1.0, 1.0)] == [doubled(doubled(x)) for x in (-1.0, 1.0)]
