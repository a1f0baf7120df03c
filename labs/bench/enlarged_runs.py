"""A scratch run of the size a bar names: a catalogue filled up with look-alikes, heads with more trees.

A look-alike is an upload of the log once more, under a new id, with the stored features of the first. The
trees of a head are repeated until there are enough, each copy with its share of the leaf, so scores stay what
they were and the work does not. Everything is registered as a release of its own, in the scratch run alone.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl

from feature_repo.catalogue import VIDEO_PROFILE, VIDEO_STATS
from feature_repo.log import EventLog
from feature_repo.materialization import schema_of
from feature_repo.places import Places
from feature_repo.store import open_tables
from serving import registry
from serving.releases import Notes, Release, read_release, write_release

PART = "enlarged"


def enlarge(real: Places, scratch: Places, videos: int, trees: int, rng: np.random.Generator) -> None:
    """Give a scratch run its own log and registry, with this many videos and trees per head."""
    _own_log(scratch)
    born = look_alikes(EventLog(scratch.log).read("uploaded"), videos, rng)
    if len(born):
        EventLog(scratch.log).append("uploaded", born.drop("like"), PART)
        _store_like(scratch, born)
    found = registry.champion(real)
    if found is None:
        raise LookupError("There is no champion to enlarge. Run `make train` first.")
    release = read_release(found[1])
    _register(scratch, replace(release, heads=with_trees(release.heads, trees)))


def look_alikes(uploaded: pl.DataFrame, videos: int, rng: np.random.Generator) -> pl.DataFrame:
    """Uploads that are missing to this many videos, each like one there is (column `like`)."""
    missing = max(0, videos - len(uploaded))
    like = uploaded[rng.integers(0, len(uploaded), missing)]
    first = int(uploaded["video_id"].to_numpy().max()) + 1
    ids = pl.Series("video_id", np.arange(first, first + missing))
    return like.with_columns(
        pl.col("video_id").alias("like"),
        ids,
        event_id=pl.format("look-alike-{}", pl.lit(ids)),
    )


def with_trees(heads: Mapping[str, str], trees: int) -> dict[str, str]:
    """The same heads with this many trees each; fewer than there are is refused."""
    return {name: _repeated(text, trees) for name, text in heads.items()}


def _repeated(text: str, trees: int) -> str:
    header, *parts = text.split("Tree=")
    body, end = parts[-1].split("end of trees", 1)
    bodies = [part.split("\n", 1)[1] for part in [*parts[:-1], body]]
    if trees < len(bodies):
        raise ValueError(f"the head has {len(bodies)} trees, cannot have {trees}; ask for more.")
    places = list(itertools.islice(itertools.cycle(range(len(bodies))), trees))
    copies = Counter(places)
    told = [f"Tree={n}\n{_shared(bodies[place], copies[place])}" for n, place in enumerate(places)]
    lines = [line for line in header.splitlines(keepends=True) if not line.startswith("tree_sizes")]
    return "".join([*lines, *told, "end of trees", end])


def _shared(tree: str, copies: int) -> str:
    """A tree whose leaves are worth one share of as many."""
    lines = tree.split("\n")
    for place, line in enumerate(lines):
        if line.startswith("leaf_value="):
            leaves = [float(leaf) / copies for leaf in line.removeprefix("leaf_value=").split()]
            lines[place] = "leaf_value=" + " ".join(repr(leaf) for leaf in leaves)
    return "\n".join(lines)


def _own_log(scratch: Places) -> None:
    """A folder of links instead of a link to a folder, so that a part can be added beside the real ones."""
    real = scratch.log.resolve()
    scratch.log.unlink()
    for path in real.rglob("*"):
        place = scratch.log / path.relative_to(real)
        if path.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path)


def _store_like(scratch: Places, born: pl.DataFrame) -> None:
    """The online rows of look-alikes are those of the videos they are like."""
    tables = open_tables(scratch)
    for view in (VIDEO_PROFILE, VIDEO_STATS):
        schema = schema_of(view)
        rows = tables.read(schema, born["like"].to_numpy())
        there = np.flatnonzero(rows.found)
        kept = replace(
            rows,
            found=rows.found[there],
            since_us=rows.since_us[there],
            until_us=rows.until_us[there],
            values=rows.values[there],
            null_bits=None if rows.null_bits is None else rows.null_bits[there],
        )
        tables.write(schema, born["video_id"].to_numpy()[there], kept)
    tables.close()


def _register(scratch: Places, release: Release) -> None:
    """A registry of the scratch run's own, with the enlarged release as champion."""
    scratch.registry.unlink()
    directory = scratch.root / "enlarged-release"
    write_release(directory, release, Notes("enlarged for a benchmark", "", {}))
    version = registry.register(scratch, directory, {})
    registry.set_champion(scratch, version, "enlarged for a benchmark")
