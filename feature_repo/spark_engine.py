"""The step tables written by Spark: the same files as steps.write_steps, past one machine's memory.

Law: every file holds the rows, the order and the types of the embedded engine's, cell by cell; the SQL is
steps_sql's. Here Spark runs in this process's machine and listens on loopback only; a cluster is a master.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from feature_repo import steps as embedded
from feature_repo.catalogue import VIEWS, View
from feature_repo.log import EventLog
from feature_repo.schemas import BadLog
from feature_repo.steps import Steps, source_of
from feature_repo.steps_sql import (
    READ,
    SPARK,
    columns_of,
    columns_read,
    empty_table,
    order_of,
    relations,
    two_bodies,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

INSTALL = "uv pip install -e '.[spark]'"

CONF: Mapping[str, str] = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "4",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",  # not INT96, which nobody else writes
    "spark.sql.execution.arrow.pyspark.enabled": "true",
}
"""Nothing is reachable from outside, moments are UTC microseconds, and small logs make few tasks."""

SHARED = ("first_uploaded", "facts")
"""Relations that several views stand on: kept once computed, until the last view is written."""


class NoSpark(RuntimeError):
    """Spark cannot run here: names what is missing and how to get it."""

    def __init__(self, missing: str):
        super().__init__(f"Spark needs {missing}; run `{INSTALL}` and have Java 17 or newer on the PATH.")


def missing_for_spark() -> str | None:
    """What Spark needs and this machine lacks: pyspark or Java. None if it can run."""
    if importlib.util.find_spec("pyspark") is None:
        return "the package pyspark (extra [spark])"
    java = Path(os.environ.get("JAVA_HOME") or "/nowhere") / "bin" / "java"
    return None if java.exists() or shutil.which("java") else "a Java runtime"


def session() -> SparkSession:
    """The one Spark of this process. Starting it takes seconds; it ends with the process."""
    missing = missing_for_spark()
    if missing:
        raise NoSpark(missing)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName("fourplanes").master(os.environ.get("SPARK_MASTER") or "local[*]")
    for name, value in CONF.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def write_steps(log: EventLog, features_dir: Path, until_us: int) -> Steps:
    """The same files as the embedded engine's; the manifest says which engine wrote them."""
    return embedded.write_steps(log, features_dir, until_us, written_views, "spark")


def written_views(log: EventLog, features_dir: Path, until_us: int) -> dict[str, int]:
    """Write each view's file; rows per view."""
    spark = session()
    try:
        _define(spark, log, until_us)
        return {view.name: _write(spark, view, features_dir) for view in VIEWS}
    finally:
        spark.catalog.clearCache()


def _define(spark: SparkSession, log: EventLog, until_us: int) -> None:
    """Name the log's tables and everything that is made of them; nothing is computed yet but a check."""
    for kind in READ:
        _read(spark, log, kind)
    for name, select in relations(SPARK, until_us):
        spark.sql(f"CREATE OR REPLACE TEMPORARY VIEW {name} AS {select}")
    for name in SHARED:
        spark.catalog.cacheTable(name)
    for row in spark.sql(two_bodies()).collect():
        raise BadLog(row.kind, "event_id", f"id {row.event_id!r} has two different bodies")


def _read(spark: SparkSession, log: EventLog, kind: str) -> None:
    """The finished parts of a kind under its name; scanning them refuses a file of another schema."""
    log.scan(kind)
    parts = log.parts(kind)
    for part in parts:
        if part.name.startswith("_"):
            raise BadLog(
                kind, "*", f"Spark does not see {part.name}: names must not start with _", "rename it"
            )
    rows = spark.read.parquet(*map(str, parts)) if parts else spark.sql(empty_table(SPARK, kind))
    rows.select(*columns_read(kind)).createOrReplaceTempView(kind)


def _write(spark: SparkSession, view: View, features_dir: Path) -> int:
    """One sorted file under a hidden name, renamed when it is whole."""
    path = source_of(features_dir, view)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    rows = spark.table(view.name).select(*columns_of(view)).repartition(1)
    rows.sortWithinPartitions(*order_of(view)).write.mode("overwrite").parquet(str(unfinished))
    next(unfinished.glob("part-*.parquet")).replace(path)
    shutil.rmtree(unfinished)
    return int(pl.scan_parquet(path).select(pl.len()).collect().item())
