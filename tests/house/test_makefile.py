"""The Makefile explains itself, and the documents speak of nothing it cannot do."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("[a-z]*/*.md"))]
PROMISED = {
    "setup",
    "train",
    "serve",
    "test",
    "check",
    "evaluate",
    "monitor",
    "rollback",
    "bench-serving",
    "clean",
}

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def sentences() -> dict[str, str]:
    """Each target and what its `##` says."""
    return dict(re.findall(r"^([a-z-]+):.*?## (.+)$", MAKEFILE, re.MULTILINE))


def variables() -> set[str]:
    return set(re.findall(r"^([A-Z_]+) +\?=", MAKEFILE, re.MULTILINE)) - {"PYTHON"}


def make(*arguments: str) -> str:
    done = subprocess.run(
        ["make", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def commands(text: str) -> list[str]:
    """Lines of the shell blocks of a document, comments removed."""
    blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", text, re.DOTALL)
    return [line.split(" #")[0].removeprefix("$ ").strip() for block in blocks for line in block.splitlines()]


def made_in(path: Path) -> set[str]:
    """Targets a document tells its reader to make."""
    text = path.read_text("utf-8")
    spoken = re.findall(r"`make ([a-z-]+)", text)
    return {*spoken, *(word for line in commands(text) for word in re.findall(r"^make ([a-z-]+)", line))}


def test_every_promised_target_exists() -> None:
    assert sentences().keys() >= PROMISED


def test_every_target_has_one_sentence() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):(?!=)", MAKEFILE, re.MULTILINE))

    assert targets == sentences().keys()
    assert [target for target, said in sentences().items() if not said.endswith(".")] == []


@needs_make
def test_make_alone_prints_every_target_and_its_sentence() -> None:
    printed = make()

    assert [target for target, said in sentences().items() if said not in printed] == []


@needs_make
def test_every_target_has_a_recipe_make_accepts() -> None:
    assert make("--dry-run", *sentences())


@needs_make
def test_real_logs_are_not_simulated() -> None:
    assert "simulator" not in make("--dry-run", "train", "LOGS=kuairand")
    assert "simulator logs" in make("--dry-run", "train")


def test_the_readme_mentions_every_target_and_every_variable() -> None:
    assert [t for t in sentences() if not re.search(rf"make (\S+=\S+ )*{t}\b|`{t}`", README)] == []
    assert [name for name in variables() if name not in README] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_tells_its_reader_to_make_only_what_exists(path: Path) -> None:
    assert made_in(path) - sentences().keys() == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_runs_only_modules_that_exist(path: Path) -> None:
    named = re.findall(r"python -m ([a-z_.]+)", path.read_text("utf-8"))
    ours = [name for name in named if (ROOT / name.split(".")[0]).is_dir()]

    assert [n for n in ours if not (ROOT / n.replace(".", "/") / "__main__.py").exists()] == []
