"""The chain of stages one run consists of: what each reads, and so when it must be made anew.

log -> build-features -> train-towers -> build-training-set -> train-ranker -> release
"""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from feature_repo.clock import SECOND_US
from feature_repo.log import EventLog
from feature_repo.places import Run, run_from_environment
from feature_repo.scales import Scale, scale_named
from pipelines.splits import Splits, splits
from pipelines.stages import OutOfOrder, Stage

FEATURE_SOURCES = ("feature_repo",)
TOWER_SOURCES = (*FEATURE_SOURCES, "serving/towers.py", "pipelines/watches.py", "pipelines/train_towers.py")
ROW_SOURCES = (*TOWER_SOURCES, "pipelines/build_training_set.py", "pipelines/splits.py")
RANKER_SOURCES = (
    "serving/heads.py",
    "serving/calibrators.py",
    "pipelines/training_sets.py",
    "pipelines/train_ranker.py",
    "pipelines/calibrate.py",
    "pipelines/weights.py",
    "evaluation/baselines.py",
)
RELEASE_SOURCES = ("serving", "evaluation", "pipelines")


@dataclass(frozen=True)
class Plan:
    """One run's log, splits and stages; every verb makes or needs stages of the same plan."""

    run: Run
    train_until: dt.date | None = None

    @property
    def work(self) -> Path:
        return self.run.places.work

    @cached_property
    def log(self) -> EventLog:
        """The event log; an empty one names the command that fills it."""
        log = EventLog(self.run.places.log)
        if log.is_empty():
            remedy = (
                "python -m simulator logs" if self.run.logs == "simulated" else "python -m pipelines ingest"
            )
            raise OutOfOrder(f"{log.root} holds no events. Run `{remedy}` first (or `make train`).")
        return log

    @cached_property
    def scale(self) -> Scale:
        return scale_named(self.run.scale)

    @cached_property
    def log_digest(self) -> str:
        return self.log.digest()

    @cached_property
    def splits(self) -> Splits:
        """Windows over the days on which somebody was served; uploads and joins may be much older."""
        served = self.log.read("served", columns=("event_time",))["event_time"].to_physical()
        if served.is_empty():
            raise OutOfOrder(
                f"{self.log.root} holds no served impressions, which is what heads and towers learn from. "
                "Bring some: `python -m simulator logs`, or REAL_LOGS with impressions."
            )
        return splits(
            self.run.logs, int(served[0]), max(int(served[-1]) + 1, self.log_end_us), self.train_until
        )

    @cached_property
    def log_end_us(self) -> int:
        """The world's now: the end of the log, up to a whole second as Feast's online store keeps them."""
        return -(-self.log.end_us() // SECOND_US) * SECOND_US

    @cached_property
    def features(self) -> Stage:
        engine = {} if self.run.engine == "embedded" else {"engine": self.run.engine}
        return Stage("build-features", {"log": self.log_digest}, engine, FEATURE_SOURCES)

    @cached_property
    def towers(self) -> Stage:
        settings = {"seed": self.run.seed, "scale": self.scale.name, "splits": self.splits.as_settings()}
        return Stage("train-towers", {"log": self.log_digest}, settings, TOWER_SOURCES)

    @cached_property
    def rows(self) -> Stage:
        inputs = {"features": self.features.key, "towers": self.towers.key}
        return Stage("build-training-set", inputs, {"splits": self.splits.as_settings()}, ROW_SOURCES)

    @cached_property
    def ranker(self) -> Stage:
        settings = {"seed": self.run.seed, "trees": self.scale.trees}
        return Stage("train-ranker", {"rows": self.rows.key}, settings, RANKER_SOURCES)

    @cached_property
    def release(self) -> Stage:
        inputs = {"ranker": self.ranker.key, "rows": self.rows.key, "towers": self.towers.key}
        return Stage("release", inputs, {"seed": self.run.seed}, RELEASE_SOURCES)


def plan_of(run: Run) -> Plan:
    """The plan of a run; TRAIN_UNTIL=YYYY-MM-DD names the last day that may be trained on."""
    until = os.environ.get("TRAIN_UNTIL") or ""
    try:
        return Plan(run, dt.date.fromisoformat(until) if until else None)
    except ValueError as wrong:
        raise ValueError(f"TRAIN_UNTIL is {until!r}, must be a day like 2022-05-01.") from wrong


def plan_from_environment() -> Plan:
    return plan_of(run_from_environment())
