"""The event log: append-only parquet, one folder per kind and day, validated on the way in.

A part is written to a temporary name and renamed, so a reader sees a whole part or none; the same part name
on the same day replaces, so a repeated append changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from feature_repo.clock import MINUTE_US, day_of
from feature_repo.events import KINDS, empty
from feature_repo.reports import write_text_atomically
from feature_repo.schemas import BadLog, validated, without_repeats

ROWS_PER_GROUP = 1 << 18
"""Named so that the same rows are the same bytes, whatever a library's default will be."""

LATE_US = 10 * MINUTE_US
"""An event known more than this after it happened is counted as late; phones are often offline for a
while.
"""


@dataclass(frozen=True)
class Audit:
    """What reading one kind repairs or accepts: rows stored, repeats, rows out of order, rows late."""

    rows: int
    repeated: int
    unordered: int
    late: int


@dataclass(frozen=True)
class EventLog:
    """Everything that happened, under one folder."""

    root: Path

    def append(self, kind: str, frame: pl.DataFrame, part: str) -> None:
        """Store rows under this part name, a file per UTC day; BadLog, and nothing stored, if invalid."""
        _refuse_part_name(part)
        rows = _in_order(validated(kind, frame))
        unfinished = [self._write_unfinished(kind, day, part) for day in _days(rows)]
        for temporary, final in unfinished:
            temporary.replace(final)

    def read(
        self,
        kind: str,
        start_us: int | None = None,
        end_us: int | None = None,
        known_before_us: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Rows with start <= event_time < end and known_time < known_before, by (event_time, event_id).

        Repeated ids are dropped; the same id with another body is BadLog.
        """
        wanted = list(KINDS[kind]) if columns is None else ["event_id", "event_time", *columns]
        rows = _between(self.scan(kind, start_us, end_us), start_us, end_us, known_before_us)
        found = rows.select(list(dict.fromkeys(wanted))).collect()
        return _in_order(without_repeats(kind, found), columns)

    def scan(self, kind: str, start_us: int | None = None, end_us: int | None = None) -> pl.LazyFrame:
        """Rows as stored, lazily: unsorted, repeats included, of the days that overlap the range."""
        parts = [path for path in self.parts(kind) if _may_hold(path, start_us, end_us)]
        if not parts:
            return empty(kind).lazy()
        _refuse_foreign_columns(kind, parts)
        return pl.scan_parquet(parts, hive_partitioning=False, glob=False).select(list(KINDS[kind]))

    def shown(self, known_before_us: int) -> pl.DataFrame:
        """impression_id and video_id of all that was served, as stored: unsorted, repeats included."""
        served = self.scan("served").filter(pl.col("known_time").to_physical() < known_before_us)
        return served.select("impression_id", "video_id").collect()

    def parts(self, kind: str) -> list[Path]:
        """Finished files of a kind, oldest day first; unfinished ones never match."""
        return sorted((self.root / kind).glob("day=*/[!.]*.parquet"))

    def start_us(self, *kinds: str) -> int:
        """The earliest event_time of these kinds (of any kind if none is named)."""
        return min(low for low, _ in self._ranges(kinds or tuple(KINDS)))

    def end_us(self, *kinds: str) -> int:
        """The end of the log: one microsecond after the latest event_time of these kinds (or of any)."""
        return max(high for _, high in self._ranges(kinds or tuple(KINDS))) + 1

    def all_known_us(self) -> int:
        """One microsecond after the newest known_time: from here on, all that is stored is known."""
        return max(1, *map(self.known_us, KINDS))

    def known_us(self, kind: str) -> int:
        """One microsecond after the newest known_time of a kind; 0 if there is none."""
        newest = self.scan(kind).select(pl.col("known_time").to_physical().max()).collect().item()
        return 0 if newest is None else int(newest) + 1

    def ids_outside(self, kind: str, part: str, ids: pl.Series) -> pl.Series:
        """Which of these event ids other parts already hold."""
        others = [path for path in self.parts(kind) if path.stem != part]
        if not others:
            return ids.clear()
        stored = pl.scan_parquet(others, hive_partitioning=False, glob=False).select("event_id")
        return stored.filter(pl.col("event_id").is_in(ids.implode())).unique().collect()["event_id"]

    def is_empty(self) -> bool:
        return not any(self.parts(kind) for kind in KINDS)

    def audit(self, kind: str) -> Audit:
        """What a read of this kind repairs, counted for reports."""
        rows = self.scan(kind).select("event_id", "event_time", "known_time").collect()
        late = (rows["known_time"] - rows["event_time"]).dt.total_microseconds() > LATE_US
        return Audit(
            rows=len(rows),
            repeated=len(rows) - rows["event_id"].n_unique(),
            unordered=int((rows["event_time"].diff().dt.total_microseconds() < 0).sum()),
            late=int(late.sum()),
        )

    def digest(self) -> str:
        """A hash of the content of every part; parts unchanged since the last call are not read again."""
        known = self._manifest()
        current = {
            str(path.relative_to(self.root)): _stamp(path, known, self.root) for path in self._all_parts()
        }
        if current != known:
            write_text_atomically(self.root / "manifest.json", json.dumps(current, indent=1))
        whole = hashlib.sha256()
        for name, stamp in sorted(current.items()):
            whole.update(f"{name} {stamp['sha256']}\n".encode())
        return whole.hexdigest()

    def _all_parts(self) -> Iterator[Path]:
        for kind in KINDS:
            yield from self.parts(kind)

    def _manifest(self) -> dict[str, dict[str, str]]:
        path = self.root / "manifest.json"
        found: dict[str, dict[str, str]] = json.loads(path.read_text()) if path.exists() else {}
        return found

    def _ranges(self, kinds: Sequence[str]) -> list[tuple[int, int]]:
        """(first, last) event_time of each kind that has rows, in microseconds."""
        moment = pl.col("event_time").to_physical()
        kinds_held = [self.scan(kind) for kind in kinds if self.parts(kind)]
        if not kinds_held:
            what = "events" if len(kinds) == len(KINDS) else " or ".join(kinds) + " events"
            raise BadLog("log", "*", f"{self.root} holds no {what}", "run `make train` or append some")
        rows = [scan.select(moment.min().alias("low"), moment.max().alias("high")) for scan in kinds_held]
        return [(int(low), int(high)) for low, high in pl.concat(rows).drop_nulls().collect().rows()]

    def _write_unfinished(self, kind: str, day: tuple[str, pl.DataFrame], part: str) -> tuple[Path, Path]:
        folder = self.root / kind / f"day={day[0]}"
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{part}.{os.getpid()}.unfinished"
        day[1].write_parquet(
            temporary, compression="zstd", compression_level=1, row_group_size=ROWS_PER_GROUP
        )
        return temporary, folder / f"{part}.parquet"


def _in_order(rows: pl.DataFrame, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """These columns by (event_time, event_id). Names are compared, and moved, only where moments tie."""
    wanted, moments = rows if columns is None else rows.select(columns), rows["event_time"].to_physical()
    order = np.argsort(moments.to_numpy(), kind="stable")
    rising = moments.to_numpy()[order]
    same = np.concatenate([[False], rising[1:] == rising[:-1], [False]])
    tied = np.flatnonzero(same[1:] | same[:-1])
    if len(tied):
        told = {"moment": rising[tied], "name": rows["event_id"].gather(order[tied]), "row": order[tied]}
        order[tied] = pl.DataFrame(told).sort("moment", "name", maintain_order=True)["row"].to_numpy()
    return wanted if (order[1:] > order[:-1]).all() else wanted[order]


def _days(rows: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """Each UTC day's slice of rows that are sorted by event_time."""
    days = rows.select(pl.col("event_time").dt.date().rle().struct.unnest()).iter_rows()
    first = 0
    for length, day in days:
        yield str(day), rows.slice(first, length)
        first += length


def _between(
    rows: pl.LazyFrame, start_us: int | None, end_us: int | None, known_us: int | None
) -> pl.LazyFrame:
    event, known = pl.col("event_time").to_physical(), pl.col("known_time").to_physical()
    if start_us is not None:
        rows = rows.filter(event >= start_us)
    if end_us is not None:
        rows = rows.filter(event < end_us)
    return rows if known_us is None else rows.filter(known < known_us)


def _may_hold(path: Path, start_us: int | None, end_us: int | None) -> bool:
    """Whether this part's day overlaps [start, end)."""
    day = path.parent.name.removeprefix("day=")
    after_start = start_us is None or day >= str(day_of(start_us))
    return after_start and (end_us is None or day <= str(day_of(end_us - 1)))


def _refuse_foreign_columns(kind: str, parts: list[Path]) -> None:
    """A file somebody else put there must have our columns and dtypes and no others, or it is named and
    refused.
    """
    for path in parts:
        found = _schema_of(kind, path)
        for column, dtype in KINDS[kind].items():
            if found.get(column) != dtype:
                rule = f"{path.name} ({path.parent.name}) has {found.get(column)}, must be {dtype}"
                raise BadLog(kind, column, rule, "remove or rewrite that file")
        for column in found.keys() - KINDS[kind].keys():
            rule = f"{path.name} ({path.parent.name}) has a column that is not in the schema"
            raise BadLog(kind, column, rule, "remove or rewrite that file")


def _schema_of(kind: str, path: Path) -> dict[str, pl.DataType]:
    """Columns and dtypes of a file; one that ends early, or was never parquet, is named and refused."""
    try:
        return dict(pl.read_parquet_schema(path))
    except (pl.exceptions.PolarsError, OSError) as error:
        rule = f"{path} is not a whole parquet file ({str(error).splitlines()[0]})"
        raise BadLog(kind, "*", rule, "remove that file, or put back a whole one") from error


def _refuse_part_name(part: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", part):
        raise BadLog("log", "part", f"part is named {part!r}, must be letters, digits, - and _", "rename it")


def _stamp(path: Path, known: dict[str, dict[str, str]], root: Path) -> dict[str, str]:
    status = path.stat()
    seen = f"{status.st_size}-{status.st_mtime_ns}"
    old = known.get(str(path.relative_to(root)), {})
    if old.get("seen") == seen:
        return old
    return {"seen": seen, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
