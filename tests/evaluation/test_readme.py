"""What the README shows is what happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "evaluation" / "README.md").read_text(encoding="utf-8")


def test_the_example_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

    exec(compile(example, "README.md", "exec"), {})

    assert capsys.readouterr().out.splitlines() == ["1.0000 [1.0000, 1.0000]", "False"]


def test_every_module_is_in_the_table() -> None:
    modules = {path.name for path in Path(__file__).parents[2].glob("evaluation/*.py")} - {"__init__.py"}

    assert {name for name in modules if f"`{name}`" not in README} == set()
