"""Small parts: no function over 60 lines of code, no file over 450, and names that say something."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "feature_repo",
    "simulator",
    "pipelines",
    "serving",
    "evaluation",
    "monitoring",
    "labs",
    "tests",
    "docs",
)
SAY_NOTHING = {"utils", "util", "common", "helpers", "helper", "core", "base", "manager", "processor", "misc"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def functions(package: str) -> list[tuple[str, Function]]:
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node)
        for path in files(package)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, Function)
    ]


def code_lines(node: Function) -> int:
    """Lines of a function less its docstring."""
    first = node.body[0]
    documented = ast.get_docstring(node, clean=False) is not None
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if documented else 0
    return (node.end_lineno or node.lineno) - node.lineno + 1 - docstring


def quantile(values: list[int], q: float) -> int:
    return sorted(values)[min(len(values) - 1, int(q * len(values)))] if values else 0


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_is_longer_than_450_lines(package: str) -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in files(package)
    }

    assert {name: n for name, n in lengths.items() if n > 450} == {}
    assert quantile(list(lengths.values()), 0.9) <= 350


@pytest.mark.parametrize("package", PACKAGES)
def test_functions_are_small(package: str) -> None:
    sizes = {name: code_lines(node) for name, node in functions(package)}

    assert {name: n for name, n in sizes.items() if n > 60} == {}
    assert quantile(list(sizes.values()), 0.5) <= 10
    assert quantile(list(sizes.values()), 0.9) <= 30


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_has_a_name_that_says_nothing(package: str) -> None:
    assert [str(path) for path in files(package) if path.stem in SAY_NOTHING] == []


def test_every_module_opens_with_a_sentence() -> None:
    silent = [
        p
        for package in PACKAGES
        for p in files(package)
        if not ast.get_docstring(ast.parse(p.read_text("utf-8")))
    ]

    assert [str(path.relative_to(ROOT)) for path in silent] == []
