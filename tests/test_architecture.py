"""Who may import whom, read from the source. The same law is in pyproject.toml, checked by `make imports`."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Each package, and the packages of ours it may import besides itself.
MAY_IMPORT: dict[str, set[str]] = {
    "feature_repo": set(),
    "serving": {"feature_repo"},
    "evaluation": {"feature_repo"},
    "simulator": {"feature_repo"},
    "monitoring": {"feature_repo", "evaluation", "serving"},
    "pipelines": {"feature_repo", "evaluation", "serving"},
    "labs": {"feature_repo", "evaluation", "serving", "simulator", "pipelines", "monitoring"},
}
# Where the truth of the world can be read; pyproject.toml protects the same.
SEALED = {
    f"simulator.{name}"
    for name in (
        "truth",
        "worlds",
        "days",
        "rollouts",
        "enumeration",
        "ceilings",
        "exposures",
        "shadow",
        "sealed",
    )
}
HTTP = ("fastapi", "starlette")
HTTP_EDGE = ("serving.app", "serving.routers", "serving.wire", "serving.problems", "labs.bench")
PICKLES = {"pickle", "cloudpickle", "joblib", "dill", "shelve"}


def modules(*packages: str) -> Iterator[tuple[str, ast.Module]]:
    """Every module of these packages as (dotted name, syntax tree)."""
    for package in packages or MAY_IMPORT:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts), ast.parse(path.read_text("utf-8"))


def imports(tree: ast.Module) -> set[str]:
    """Dotted names a module imports, lazily or not: `from a import b` counts as a and a.b."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_the_map_allows(package: str) -> None:
    forbidden = MAY_IMPORT.keys() - MAY_IMPORT[package] - {package}

    broken = [
        f"{name} imports {i}"
        for name, tree in modules(package)
        for i in imports(tree)
        if within(i, *forbidden)
    ]

    assert broken == []


def test_only_the_world_and_labs_look_at_the_truth() -> None:
    planes = MAY_IMPORT.keys() - {"simulator", "labs"}

    assert [name for name, tree in modules(*planes) if SEALED & imports(tree)] == []


def test_what_is_sealed_is_there_and_import_linter_protects_it_too() -> None:
    law = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    protected = [set(each.get("protected_modules", ())) for each in law]

    assert SEALED in protected
    assert all((ROOT / f"{name.replace('.', '/')}.py").exists() for name in SEALED)


def test_no_plane_reads_the_shadow_log() -> None:
    planes = MAY_IMPORT.keys() - {"simulator", "labs"}

    attributes = {
        name: {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        for name, tree in modules(*planes)
    }

    assert [name for name, found in attributes.items() if "shadow" in found] == []


def test_http_stays_at_the_edge() -> None:
    behind = [(name, tree) for name, tree in modules() if not within(name, *HTTP_EDGE)]

    assert [name for name, tree in behind if any(within(i, *HTTP) for i in imports(tree))] == []


def test_the_app_is_imported_only_by_the_command_that_serves_it_and_by_benches() -> None:
    allowed = ("serving.__main__", "serving.app", "labs.bench")
    others = [(name, tree) for name, tree in modules() if not within(name, *allowed)]

    assert [
        n for n, tree in others if any(within(i, "serving.app", "serving.routers") for i in imports(tree))
    ] == []


def test_nothing_loads_a_pickle() -> None:
    loaders = {"pyfunc.load_model", "allow_pickle=True", "read_pickle"}

    assert [name for name, tree in modules() if PICKLES & imports(tree)] == []
    assert [name for name, tree in modules() if any(word in ast.unparse(tree) for word in loaders)] == []


def test_every_package_of_the_tree_is_on_the_map() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}

    assert packages == MAY_IMPORT.keys()
