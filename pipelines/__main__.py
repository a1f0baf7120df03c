"""`python -m pipelines <verb>`: one verb per file, each callable alone; `train` runs them in order in one
process.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
import warnings
from typing import Any

from feature_repo.processes import exit_code

VERBS = {
    "ingest": "absorb what the server acknowledged, or foreign logs, into the event log",
    "build-features": "write the steps of every feature view and register them with Feast",
    "train-towers": "learn the retrieval model",
    "build-training-set": "join labels with the features that were known at each impression",
    "train-ranker": "learn a calibrated head per objective, and the baselines on the same rows",
    "materialize": "bring the newest features online",
    "release": "assemble, measure and register one release",
    "promote": "make the release champion if every gate holds",
    "audit-leakage": "look for the future, and for labels, among the features of the training snapshot",
    "evaluate": "measure the champion on the days held out",
    "rollback": "move the champion alias back to the champion before",
    "canary": "let the challenger serve a --share of the people; 0 stops it, --promote makes it champion",
    "train": "every verb above from ingest to promote, in order",
}

NEXT = {
    "ingest": "python -m pipelines build-features",
    "build-features": "python -m pipelines train-towers",
    "train-towers": "python -m pipelines build-training-set",
    "build-training-set": "python -m pipelines train-ranker",
    "train-ranker": "python -m pipelines materialize",
    "materialize": "python -m pipelines release",
    "release": "python -m pipelines promote",
    "promote": "make serve",
    "audit-leakage": "make audit-parity",
    "evaluate": "make monitor",
    "rollback": "make monitor",
    "canary": "make monitor",
    "train": "make serve",
}


def quieten() -> None:
    """Settings that libraries read when they are imported: no telemetry, no spinning threads, no word to
    developers.
    """
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", message=".*noload.*")
    for name, value in (
        ("DO_NOT_TRACK", "true"),
        ("MLFLOW_DISABLE_TELEMETRY", "true"),
        ("OMP_WAIT_POLICY", "PASSIVE"),
        ("JAX_PLATFORMS", "cpu"),
    ):
        os.environ.setdefault(name, value)


def parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:20} {sentence}" for name, sentence in VERBS.items())
    made = argparse.ArgumentParser(
        prog="python -m pipelines",
        description=__doc__,
        epilog=f"verbs:\n{listed}\n\nread from the environment: LOGS SCALE SEED VAR TRAIN_UNTIL REAL_LOGS",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("verb", choices=list(VERBS), metavar="verb")
    made.add_argument("--quiet", action="store_true", help="print nothing but errors")
    made.add_argument("--share", type=float, help="canary: share of the people, 0 to 1 (default: only show)")
    made.add_argument("--version", type=int, help="canary: make this version challenger first")
    made.add_argument("--promote", action="store_true", help="canary: make the version on trial champion")
    return made


def main(argv: list[str]) -> int:
    """Run one verb; 0 when it did its work, 1 with a sentence when it could not."""
    made = parser()
    asked = made.parse_args(argv)
    options = {name: getattr(asked, name) for name in ("share", "version", "promote")}
    if asked.verb != "canary":
        if options != {"share": None, "version": None, "promote": False}:
            made.error(f"--share, --version and --promote are canary's, not {asked.verb}'s")
        options = {}
    quieten()
    started = time.perf_counter()
    stopped = "stopped; what was half done is deleted by the next run."
    return exit_code(asked.verb, lambda: _run(asked.verb, asked.quiet, started, options), stopped)


def _run(verb: str, quiet: bool, started: float, options: dict[str, Any]) -> int:
    from feature_repo.reports import write_report
    from pipelines.plan import plan_from_environment
    from pipelines.shell import Told, flat

    plan, told = plan_from_environment(), Told(quiet)
    module = importlib.import_module(f"pipelines.{verb.replace('-', '_')}")
    figures = module.run(plan, told, **options)
    if not hasattr(module, "closing"):  # verbs with many figures print their own, shorter table
        told.table(verb, ("figure", "value"), flat(figures))
    report = write_report(plan.run, verb, {**figures, "seconds": time.perf_counter() - started})
    told.say(f"report: {report}\nnext: {NEXT[verb]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
