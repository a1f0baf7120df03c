"""Execute the notebooks against the trained state, and save them with their plots.

    python notebooks/execute.py                          all of this folder, each saved beside its source
    python notebooks/execute.py --into DIR source.py     some of them, elsewhere
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TIMEOUT_S = 600
"""Of one cell."""


def executed(source: Path, folder: Path) -> Path:
    """The .ipynb made from a percent-format source, run from the repository root; an error stops it."""
    import jupytext
    from nbclient import NotebookClient

    notebook = jupytext.read(source)
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    NotebookClient(
        notebook,
        timeout=TIMEOUT_S,
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
        resources={"metadata": {"path": str(HERE.parent)}},
    ).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day, which differ between runs of the same state
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]  # names folders
    target = folder / f"{source.stem}.ipynb"
    jupytext.write(notebook, target)
    return target


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", type=Path, default=sorted(HERE.glob("[0-9]*.py")))
    parser.add_argument("--into", type=Path, default=HERE)
    asked = parser.parse_args(argv)
    for source in asked.sources:
        print(f"{source.name} ...", flush=True)
        print(f"  wrote {executed(source, asked.into)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
