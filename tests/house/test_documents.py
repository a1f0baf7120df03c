"""Documents are true of the tree: links lead somewhere, figures come from commands, no machine is named."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
IGNORED = {".venv", ".git", "var", "__pycache__"}
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("[a-z]*/*.md"))]
WRITTEN = [
    path
    for pattern in ("*.md", "*.py", "*.toml", "*.yml", "*.yaml", "*.lock", "Makefile", "run", "*.ipynb")
    for path in sorted(ROOT.rglob(pattern))
    if not any(part in IGNORED or part.endswith("_cache") for part in path.relative_to(ROOT).parts)
]
PUBLIC = (
    "127.0.0.1", "localhost", "testserver", "HOST:PORT", "creativecommons.org", "doi.org", "kuairand.com",
    "arxiv.org", "keepachangelog.com", "semver.org", "zenodo.org", "github.com",
)  # fmt: skip


ADDRESS = r"https?://([A-Za-z0-9.:-]+)"
LINK = r"\]\((?!https?:|#)([^)#]+)[^)]*\)|href=\"(?!https?:|#)([^\"#]+)"
DOCUMENT = r"\b((?:docs/)?[A-Za-z_]+\.md)\b"
OF_A_RELEASE = ("model_card.md", "data_card.md")


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def script(name: str) -> ModuleType:
    """A script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_file_names_a_machine() -> None:
    machine = re.compile("/(?:home|root|Users" + "|" + "work)/[a-z]")

    assert {
        relative(path): found for path in WRITTEN if (found := machine.findall(path.read_text("utf-8")))
    } == {}


def test_every_address_is_a_public_one() -> None:
    named = {(relative(p), host) for p in WRITTEN for host in re.findall(ADDRESS, p.read_text("utf-8"))}

    assert {(name, host) for name, host in named if not any(known in host for known in PUBLIC)} == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_every_link_leads_to_a_file(path: Path) -> None:
    links = re.findall(LINK, path.read_text("utf-8"))
    targets = [markdown or html for markdown, html in links]

    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_a_document_the_code_speaks_of_exists() -> None:
    code = [path for path in WRITTEN if path.suffix == ".py"]
    named = {
        (relative(path), name) for path in code for name in re.findall(DOCUMENT, path.read_text("utf-8"))
    }

    missing = {
        (path, n) for path, n in named if not any((ROOT / folder / n).exists() for folder in (".", "docs"))
    }
    assert {(path, n) for path, n in missing if n not in OF_A_RELEASE} == set()


def test_figures_in_documents_are_those_the_commands_wrote() -> None:
    write_figures = script("write_figures")
    figures = json.loads((ROOT / "docs" / "figures.json").read_text("utf-8"))

    stale = [
        d.name
        for d in DOCUMENTS
        if write_figures.filled(d.read_text("utf-8"), figures) != d.read_text("utf-8")
    ]

    assert stale == [], "run `make figures` after the commands that measure"


def test_the_reading_order_counts_lines_about_right() -> None:
    write_figures = script("write_figures")
    figures = json.loads((ROOT / "docs" / "figures.json").read_text("utf-8"))

    for name in write_figures.READING_ORDER:
        lines = len((ROOT / name).read_text("utf-8").splitlines())
        assert figures["lines"][name] == pytest.approx(lines, rel=0.15, abs=10)


def test_the_features_page_is_the_catalogue() -> None:
    assert (ROOT / "docs" / "features.md").read_text("utf-8") == script("write_features").page()


def test_the_changelog_keeps_its_form() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    kinds = re.findall(r"^### (.+)$", text, re.MULTILINE)

    assert re.search(r"^## \[Unreleased\]$", text, re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert [line for line in text.splitlines() if line.startswith("- ") and not line.endswith(".")] == []


def test_contributing_quotes_code_that_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    quotes = re.findall(r"`([a-z_/]+\.py)`:\n\n```python\n(.*?)```", text, re.DOTALL)

    assert len(quotes) == 3
    assert [name for name, code in quotes if code not in (ROOT / name).read_text("utf-8")] == []
